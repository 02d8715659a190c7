"""What administrators do, as plain functions: the command line, the JSON API and the console all call these.

Each takes a SQLAlchemy connection (the caller's transaction), who acts (``actor``: ``cli:NAME`` or
``user:NAME``) and the time in milliseconds, and tells the journal in the same transaction. After a change the
caller pokes the daemon (``runtime.home.poke``).
"""
