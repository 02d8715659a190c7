"""``db upgrade --dry-run``: the steps of an upgrade tried on a copy of the database, and the SQL they ran.

A copy of a SQLite database is made through a reading transaction (as for a backup) beside it, brought to the
new schema there, checked, and removed. The real one is only read. On PostgreSQL the steps are listed and not
tried: restore a backup into an empty database and run the new program on it.
"""

from __future__ import annotations

import secrets
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

from runtime import migrations, transactions
from runtime.database import open_engine
from runtime.storage_errors import StorageError


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What an upgrade would do. ``tried``: it was done on a copy, and the copy is whole."""

    found: str | None
    head: str
    written_by: str
    steps: list[migrations.Step]
    sql: list[str]
    tried: bool
    seconds: float


def status(engine: Engine, package: str) -> Rehearsal:
    """Return where the database is, and what is still to come; raises SchemaTooNew, StorageError."""
    found = migrations.current(engine)
    migrations.require_known(engine, package, found)
    written_by = transactions.read(engine, migrations.left_version) if found else ""
    head = migrations.head(package)
    return Rehearsal(found, head, written_by, migrations.steps(package, found), [], tried=False, seconds=0.0)


def rehearse(engine: Engine, package: str) -> Rehearsal:
    """Try the upgrade on a copy; raises what the real one would, StorageError, OSError."""
    before = status(engine, package)
    if not before.steps or engine.dialect.name != "sqlite":
        return before
    assert engine.url.database is not None
    database = Path(engine.url.database)
    copy = database.with_name(f".{database.name}.{secrets.token_hex(6)}.tmp")
    began_s = time.monotonic()
    try:
        _copy(engine, copy)
        sql = _upgrade(copy, package)
    finally:
        for ending in ("", "-wal", "-shm"):
            copy.with_name(copy.name + ending).unlink(missing_ok=True)
    seconds = time.monotonic() - began_s
    return Rehearsal(
        before.found, before.head, before.written_by, before.steps, sql, tried=True, seconds=seconds
    )


def _copy(engine: Engine, copy: Path) -> None:
    def slices(connection: Any) -> None:
        copy.touch(mode=0o600, exist_ok=False)
        connection.exec_driver_sql(
            "SELECT count(*) FROM sqlite_schema"
        ).scalar_one()  # the moment begins here
        with closing(sqlite3.connect(copy)) as target:
            connection.connection.driver_connection.backup(target, pages=1_024, progress=lambda *_: None)

    transactions.read(engine, slices)


def _upgrade(copy: Path, package: str) -> list[str]:
    engine = open_engine(f"sqlite:///{copy.absolute()}")
    sql: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if not statement.startswith(("SELECT", "PRAGMA")):
            sql.append(" ".join(statement.split()))

    event.listen(engine, "before_cursor_execute", note)
    try:
        migrations.upgrade(engine, package)
        word = transactions.read(
            engine, lambda c: c.exec_driver_sql("PRAGMA integrity_check(1)").scalar_one()
        )
        if word != "ok":
            raise StorageError(f"the upgraded copy is damaged: {word}; nothing was changed, report this")
    finally:
        engine.dispose()
    return sql
