"""A process with two engines on one file (a node's daemon and its local API), and others beside it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from sqlalchemy import Connection

from runtime.transactions import close_engine, open_engine, transact

LOOK = """
import sqlite3, sys
print(sqlite3.connect(sys.argv[1]).execute("SELECT count(*) FROM t").fetchone()[0])
"""


def test_what_is_committed_beside_a_second_engine_is_seen_by_other_processes(tmp_path: Path) -> None:
    """Opening a second engine must not drop the first one's locks.

    Without them another process believes to be the last one when it leaves, and removes the log: what the
    first engine then commits goes into a file that nobody finds again.
    """
    path = tmp_path / "x.db"

    def look() -> int:
        done = subprocess.run([sys.executable, "-c", LOOK, path], capture_output=True, check=True, timeout=30)
        return int(done.stdout)

    def add(connection: Connection) -> None:
        connection.exec_driver_sql("INSERT INTO t VALUES (1)")

    first = open_engine(f"sqlite:///{path}")
    transact(first, lambda connection: connection.exec_driver_sql("CREATE TABLE t (a INTEGER)").close())
    second = open_engine(f"sqlite:///{path}")
    for count in range(3):
        assert look() == count
        transact(first, add)
    assert look() == 3
    close_engine(second)
    close_engine(first)


def test_a_new_database_is_private(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    engine = open_engine(f"sqlite:///{path}")
    assert path.stat().st_mode & 0o777 == 0o600
    close_engine(engine)
