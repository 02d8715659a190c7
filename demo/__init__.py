"""A country in a directory: a hub, three invented facilities, and their hospital systems talking.

``python -m demo`` (``make demo``) starts a real hub and three real nodes on free ports of this machine, in a
temporary directory, by the same commands that people type. Beside each node runs a small simulated hospital
system (:mod:`demo.hospital`) that speaks MLLP both ways and knows nothing of Wasl. :mod:`demo.scenes` lets
them live: an admission, a laboratory order with its response and its results, a document in Arabic with a
DICOM image, a referral, an urgent order that overtakes. What the screen shows (:mod:`demo.screen`) is read
from the nodes' own tables (:mod:`demo.watching`), as ``wasl-node track`` reads it.

``--once`` plays each scene once, checks everything that is promised (:mod:`demo.checking`) and ends.

Every person in it is invented; their national numbers begin with 9999, as no real one does.
"""
