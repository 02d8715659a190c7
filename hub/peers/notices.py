"""Notices to the other processes on the same PostgreSQL, sent by the commit that they tell of.

A notice is a hint and says only what kind of thing was written: ``spool``, ``events`` (both sent where their
numbers are taken, ``hub.spool.store.take_numbers``) or ``directory``.
"""

from typing import Final

from sqlalchemy import Connection

CHANNEL: Final = "wasl"
DIRECTORY: Final = "directory"


def tell(connection: Connection, what: str) -> None:
    """Send a notice with this transaction's commit; does nothing on SQLite."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_notify('{CHANNEL}', '{what}')")
