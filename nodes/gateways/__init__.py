"""The doors for local systems: MLLP, the drop folder, the local API.

Every gateway puts into the same outbox and takes from the same inbox (``nodes.link``);
none has a delivery path of its own.
"""
