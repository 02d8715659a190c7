"""Power failures under the databases: the real statements, the real PRAGMAs, the real group commit.

A recording does some batches of real work on a store, each by ``runtime.transactions.run_batch``, and notes
after each COMMIT that returned what its writer would now acknowledge, and every row of every table as the
running process sees it. A crash then leaves an image of the disk (:mod:`tests.powerfail.disk`), which is
opened as the daemon opens it. What must hold:

* SQLite finds the file sound (``integrity_check``, foreign keys) and the schema is whole;
* the tables are exactly those of the last acknowledged batch, or of the one whose COMMIT had begun: nothing
  lost, nothing halfway, nothing else;
* by our own memory, not SQLite's: every message that was promised is there, byte for byte, or what became of
  it is.

Not covered: two writers (the command line beside a daemon), PostgreSQL, anything outside the database.
"""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final
from unittest import mock

from sqlalchemy import Connection, Engine, event

from runtime import migrations, sqlite, transactions
from runtime.storage_errors import StorageError
from tests.powerfail.disk import Image, Note, Trace, crashes, write_image
from tests.powerfail.driver import recorded_engine

BATCHES: Final = 25
_PAGES: Final = (8, 40, 200, sqlite.AUTOCHECKPOINT_PAGES)
"""Pages in the log before a checkpoint: at the product's own number there is seldom one in a recording."""
_CLOSES: Final = 0.06
"""How often the process ends in good order between two batches."""

Operation = Callable[[Connection], Any]
Rows = frozenset[tuple[str, Any]]
"""Each row that there is, beside the name of its table."""


@dataclass(frozen=True, slots=True)
class Promise:
    """What was acknowledged: a message for one recipient."""

    id: bytes
    recipient: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Committed:
    """What holds from the end of a COMMIT on."""

    rows: Rows
    promises: tuple[Promise, ...]


class Store(ABC):
    """One of the stores, and somebody who works with it."""

    package: str
    file: str

    @abstractmethod
    def make(self, database: Path) -> None:
        """Make the database that a recording begins with, in good order."""

    @abstractmethod
    def batch(self, random: Random) -> tuple[list[Operation], list[Promise]]:
        """Return what is done in one transaction, and what is promised after it."""

    @abstractmethod
    def broken(self, connection: Connection, promises: Sequence[Promise]) -> list[str]:
        """Return which promises the tables do not keep."""


def record(
    store: Store,
    database: Path,
    random: Random,
    *,
    synchronous: str | None = None,
    kept: tuple[Promise, ...] = (),
) -> Trace:
    """Work with ``database`` and return what was written.

    ``synchronous`` weakens the product's setting; ``kept`` was promised before the recording begins.
    """
    pages = random.choice(_PAGES) if synchronous is None else sqlite.AUTOCHECKPOINT_PAGES
    with (
        mock.patch.object(sqlite, "AUTOCHECKPOINT_PAGES", pages),
        recorded_engine(database) as (engine, trace),
    ):
        if synchronous is not None:
            event.listen(engine, "connect", lambda raw, _record: _weaken(raw, synchronous))
        trace.note(Committed(_rows(engine), kept))
        for _ in range(BATCHES):
            operations, promises = store.batch(random)
            for succeeded, value in transactions.run_batch(engine, operations):
                if not succeeded:
                    raise value
            trace.note(Committed(_rows(engine), tuple(promises)))
            if random.random() < _CLOSES:
                transactions.close_engine(engine)
    return trace


def _weaken(raw: Any, synchronous: str) -> None:
    cursor = raw.cursor()
    cursor.execute(f"PRAGMA synchronous={synchronous}")
    cursor.close()


def judged(
    store: Store, trace: Trace, points: Sequence[int], directory: Path, random: Random
) -> Iterator[tuple[int, list[str]]]:
    """Crash at each point; yield it with what is wrong afterwards; meanwhile ``directory`` is the disk."""
    for point, image in crashes(trace, points, random):
        yield point, _faults(store, trace, point, image, directory)


def _faults(store: Store, trace: Trace, point: int, image: Image, directory: Path) -> list[str]:
    before: list[Committed] = list(trace.notes(point))
    if not before:
        return []  # nothing was acknowledged yet: the recording's own beginning
    following = next((act.what for act in trace.acts[point:] if isinstance(act, Note)), before[-1])
    write_image(image, directory)
    try:
        with opened(store, directory / store.file) as engine:
            sound = transactions.read(engine, _unsound)
            found = _rows(engine)
            promises = [promise for committed in before for promise in committed.promises]
            broken = transactions.read(engine, lambda connection: store.broken(connection, promises))
    except (StorageError, sqlite3.Error) as error:
        return [f"cannot be opened: {error}"]
    faults = sound + broken
    if found not in (before[-1].rows, following.rows):
        lost = sorted(table for table, _ in before[-1].rows - found)
        more = sorted(table for table, _ in found - before[-1].rows)
        faults.append(f"rows lost: {lost}; rows nobody acknowledged: {more}")
    return faults


@contextmanager
def opened(store: Store, database: Path) -> Iterator[Engine]:
    """Open a database as the daemon does."""
    engine = transactions.open_engine(f"sqlite:///{database}")
    try:
        found = migrations.current(engine)
        if found != migrations.head(store.package):
            raise StorageError(f"the schema is {found}")
        yield engine
    finally:
        engine.dispose()


def _unsound(connection: Connection) -> list[str]:
    said = [row[0] for row in connection.exec_driver_sql("PRAGMA integrity_check")]
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
    return [f"integrity_check: {line}" for line in said if line != "ok"] + [
        f"foreign key: {tuple(row)}" for row in broken
    ]


def _rows(engine: Engine) -> Rows:
    """Return every row of every table, SQLite's own counters included."""

    def operation(connection: Connection) -> Rows:
        cursor = connection.connection.cursor()  # the driver's: this is most of the work here
        cursor.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        found: set[tuple[str, Any]] = set()
        for (table,) in cursor.fetchall():
            cursor.execute(f'SELECT * FROM "{table}"')
            found.update((table, row) for row in cursor.fetchall())
        cursor.close()
        return frozenset(found)

    return transactions.read(engine, operation)
