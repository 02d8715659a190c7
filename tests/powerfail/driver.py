"""SQLite by ``apsw``, as much of DB-API 2 as SQLAlchemy needs, on a file system that records.

The product's own code runs on it unchanged: its engine set-up with all PRAGMAs (``runtime.sqlite.prepare``),
its group commit (``runtime.transactions``) and its statements. Only the driver is another one, because
Python's ``sqlite3`` knows no VFS; so the SQLite that writes here is the one inside apsw, and the one that
reads after the crash is the product's.

The VFS passes everything on to SQLite's own for Unix, and notes what it wrote. Two things happen below the
VFS and are noted as SQLite's source (os_unix.c) says: the first sync of a fresh log or journal syncs its
directory (``UNIXFILE_DIRSYNC``), and so does ``xDelete`` if asked to. The ``-shm`` file is left out: it means
nothing after a crash and is made anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from sqlite3 import (
    DatabaseError,
    DataError,
    Error,
    IntegrityError,
    InterfaceError,
    InternalError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    sqlite_version,
    sqlite_version_info,
)
from types import SimpleNamespace
from typing import Any, Final

import apsw
from sqlalchemy import Engine, create_engine

from runtime import sqlite
from tests.powerfail.disk import Cut, Sync, SyncNames, Trace, Write

_VFS: Final = "wasl-powerfail"
_LOGS: Final = apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL


class _RecordingVfs(apsw.VFS):
    """One for all: ``trace`` is where its files' acts go."""

    trace: Trace

    def __init__(self) -> None:
        super().__init__(_VFS, "unix")

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite calls it so
        return _RecordingFile(self.trace, name, flags)

    def xDelete(self, name: str, sync_directory: bool) -> None:  # noqa: N802 - likewise
        super().xDelete(name, sync_directory)
        relative = _relative(self.trace, name)
        self.trace.removed(relative)
        if sync_directory:
            self.trace.acts.append(SyncNames(str(PurePosixPath(relative).parent)))


class _RecordingFile(apsw.VFSFile):
    def __init__(self, trace: Trace, name: Any, flags: list[int]) -> None:
        super().__init__("unix", name, flags)
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        relative = _relative(trace, path)
        self._trace = trace
        self._inode = trace.opened(relative)
        self._directory: str | None = None
        if flags[0] & _LOGS and flags[0] & apsw.SQLITE_OPEN_CREATE:
            self._directory = str(PurePosixPath(relative).parent)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - likewise
        super().xWrite(data, offset)
        self._trace.acts.append(Write(self._inode, offset, bytes(data)))

    def xTruncate(self, size: int) -> None:  # noqa: N802 - likewise
        super().xTruncate(size)
        self._trace.acts.append(Cut(self._inode, size))

    def xSync(self, flags: int) -> None:  # noqa: N802 - likewise
        super().xSync(flags)
        self._trace.acts.append(Sync(self._inode))
        if self._directory is not None:
            self._trace.acts.append(SyncNames(self._directory))
            self._directory = None


def _relative(trace: Trace, path: str) -> str:
    return str(Path(path).relative_to(trace.root))


class _Cursor:
    """Rows are fetched at once; descriptions are taken when a statement begins, for those without rows."""

    arraysize = 1

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._rows: Iterator[Any] = iter(())
        self.description: Any = None
        self.rowcount = -1
        self.lastrowid: int | None = None

    def execute(self, sql: str, values: Sequence[Any] = ()) -> _Cursor:
        return self._run(lambda cursor: cursor.execute(sql, tuple(values)))

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]]) -> _Cursor:
        return self._run(lambda cursor: cursor.executemany(sql, [tuple(row) for row in rows]))

    def _run(self, run: Any) -> _Cursor:
        described: list[Any] = []

        def begins(cursor: apsw.Cursor, _sql: str, _values: Any) -> bool:
            described[:] = [(*column, None, None, None, None, None) for column in cursor.get_description()]
            return True

        cursor = self._connection.cursor()
        cursor.exec_trace = begins
        before = self._connection.total_changes()
        self._rows = iter(list(run(cursor)))
        self.description = described or None
        self.rowcount = -1 if described else self._connection.total_changes() - before
        self.lastrowid = self._connection.last_insert_rowid()
        return self

    def fetchone(self) -> Any:
        return next(self._rows, None)

    def fetchall(self) -> list[Any]:
        return list(self._rows)

    def fetchmany(self, size: int = 1) -> list[Any]:
        return [row for _, row in zip(range(size), self._rows, strict=False)]

    def close(self) -> None:
        self._rows = iter(())


class _Connection:
    isolation_level: str | None = None

    def __init__(self, path: str) -> None:
        self._raw = apsw.Connection(path, vfs=_VFS)

    def cursor(self) -> _Cursor:
        return _Cursor(self._raw)

    def create_function(self, name: str, arguments: int, function: Any, **_options: Any) -> None:
        self._raw.create_scalar_function(name, function, arguments)

    @property
    def in_transaction(self) -> bool:
        return self._raw.in_transaction

    def commit(self) -> None:
        if self._raw.in_transaction:
            self._raw.execute("COMMIT")

    def rollback(self) -> None:
        if self._raw.in_transaction:
            self._raw.execute("ROLLBACK")

    def close(self) -> None:
        self._raw.close()


_MODULE: Final = SimpleNamespace(
    connect=lambda path, **_options: _Connection(path),
    paramstyle="qmark",
    threadsafety=1,
    apilevel="2.0",
    sqlite_version=sqlite_version,
    sqlite_version_info=sqlite_version_info,
    Error=Error,
    DatabaseError=DatabaseError,
    DataError=DataError,
    IntegrityError=IntegrityError,
    InterfaceError=InterfaceError,
    InternalError=InternalError,
    NotSupportedError=NotSupportedError,
    OperationalError=OperationalError,
    ProgrammingError=ProgrammingError,
    Binary=bytes,
)
_vfs = _RecordingVfs()


@contextmanager
def recorded_engine(database: Path) -> Iterator[tuple[Engine, Trace]]:
    """Yield an engine on ``database``, set up as the product does it, and the trace of its directory.

    What is there at the beginning counts as durable. The end is in the trace as well: SQLite copies its log
    and removes it. One at a time.
    """
    trace = _vfs.trace = Trace.on(database.parent)
    engine = create_engine(f"sqlite:///{database}", module=_MODULE)
    sqlite.prepare(engine)
    try:
        yield engine, trace
    finally:
        engine.dispose()
