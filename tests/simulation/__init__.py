"""A hub and its nodes in one thread, on one clock, with everything that can go wrong going wrong.

What is real: the daemons' parts as they are composed in production, SQLite files, the keys, the handshake,
the records, the seals. What is simulated: time (one ``task.Clock``; each machine's wall clock may be wrong),
the network (``pipes``), and the slowness and faults of disks (``lives``). What one number decides, the
*seed*: who sends what to whom and when, how fast everything is, and what breaks (``faults``).

A process that crashes leaves exactly what it had committed (``lives``, ``machines``): its objects are cut off
from the clock, the network and the disk, and a new process is composed on the same home.

After each commit of any machine ``invariant`` reads the tables of all of them, as an outsider, and compares
them with what the applications did (``letters``, ``applications``). At the end, with all faults gone and time
enough, everything must have come to rest.

``python -m tests.simulation --seed N`` plays one schedule again and shows its log. The same seed gives the
same schedule on any machine; only the keys and ids differ.
"""
