"""The node: a facility's end of the network.

``link`` holds what leaves and what arrives (outbox, inbox, the session to the hub);
``gateways`` are the doors through which local systems put and take; ``daemon`` composes
them; ``cli`` is the command line. The tables are the truth: every door works on the
database itself, and a poke over a local socket only saves waiting.
"""
