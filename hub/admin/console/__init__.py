"""The console: what administrators see in a browser. A process of its own, on the hub's database.

It holds none of the hub's keys and can fall over without a message noticing. Pages call the services of
:mod:`hub.admin`; the table of pages (:mod:`hub.admin.console.table`) says which permission each needs.
"""
