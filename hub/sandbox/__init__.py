"""A network to try an interface against: a hub and two facilities on one machine, and faults on demand.

``network``  homes in a temporary directory, real daemons as child processes, ports in a row from one number
``between``  what stands between each node and its local system: passes MLLP on, and plays faults there
``faults``   what was asked for and is not played yet
``absence``  faults of the network: a facility away, a message late or expired
``control``  how another terminal asks for a fault

What an integrator's system sees is what the network shows: the reports and acknowledgements are those of the
real daemons. Only time is helped along: the validity of a message is cut in the hub's table instead of
waiting for it.
"""
