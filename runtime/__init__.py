"""The machinery that both daemons need: thin Twisted adapters, the database, clocks and services.

A module stays here only while the hub and the nodes both use it; none knows a medical word.
"""
