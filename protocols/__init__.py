"""Protocols without input or output: bytes to meaning, meaning to bytes, and the states between.

Nothing here knows a reactor, a socket, a clock, a file or a database. What a stranger sent
raises nothing but the exception types of :mod:`protocols.errors` and its children.
"""
