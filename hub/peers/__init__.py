"""Several hub processes on one database (PostgreSQL): who they are, and how they hear of each other's work.

Every process has a number of its own, a row in ``hubs`` and a heartbeat (``membership``). The row of a
facility in ``presence`` names the process that has its session; the newest session takes it over, and a
process that finds another's number there cuts its own session. A process whose heart has stopped is buried by
any other: its facilities are free, and what it may have delivered is in doubt until they come back.

What others have written is found by number: rows of ``spool`` and ``events`` become visible in the order of
their numbers, so one look behind the last number seen finds all of them (``following``). Looks are made once
a second; PostgreSQL's notices only make them sooner (``hints``).

With SQLite there is one process, and all of this finds nothing.
"""
