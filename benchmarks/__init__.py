"""Benchmarks: each a command that prints one table, and with ``--json`` one object."""
