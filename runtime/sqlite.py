"""SQLite as this project uses it: durable, explicit, and with errors that say what to do.

What holds on every connection that :func:`prepare` has seen, asserted after it was set: write-ahead log,
``synchronous=FULL`` (a commit that returned survives a power cut), foreign keys enforced, a busy timeout, no
memory mapping (a disk error would arrive as a signal instead of an error), a page cache of
``CACHE_KIB``. The driver's own opening of transactions is switched off: a transaction begins with
``BEGIN IMMEDIATE``, so that two writers queue up at its start instead of failing in its middle, or with plain
``BEGIN`` on a connection that only reads (:data:`READ_ONLY`), where writing is an error.

The log is copied into the database file (*checkpoint*) by the writer itself every
``AUTOCHECKPOINT_PAGES``. A checkpoint beside a busy writer never gets to its end, so the log is never reset
and grows for as long as the load lasts; measured, it was no better for the commits either.

Every file that belongs to the database (``-wal``, ``-shm``) is SQLite's; nobody else opens or removes them.
"""

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection

from runtime.storage_errors import (
    DatabaseCorrupt,
    DatabaseLocked,
    DatabaseUnavailable,
    StorageError,
    StorageFailed,
    StorageFull,
)

CACHE_KIB = 16_384
"""Page cache of one connection, KiB."""
AUTOCHECKPOINT_PAGES = 4_000
"""Pages of 4 KiB in the log before a commit also checkpoints."""
LOG_LIMIT_BYTES = 64 * 1024 * 1024
"""What is kept of the log file once it has been reset."""
READ_ONLY = "wasl_read_only"
READING = {READ_ONLY: True}
"""Execution options of a SQLAlchemy connection: begin without the write lock, and refuse to write."""

_FULL_SYNC = 2
_NO_TEXT = "Could not decode to UTF-8"
"""What the driver says of a stored text that is none: nothing here writes such, so the file is damaged."""
_PRIMARY = 0xFF
"""An extended result code's low byte is its primary code (https://sqlite.org/rescode.html)."""
_NO_ROOM = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE})
"""Growing the ``-shm`` file on a full disk is reported as an input/output error of its own."""
_LOCKED = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL})
_CORRUPT = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_UNAVAILABLE = frozenset({sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM})


def prepare(engine: Engine) -> None:
    """Make every connection of ``engine`` (a file's, not yet used) hold what the module promises.

    A file that is not there yet is made first, mode 0600; SQLite gives its log the same mode. One that is
    there is not touched: closing any descriptor of it would drop the locks that this process holds on it
    (https://sqlite.org/howtocorrupt.html, 2.2), and the next process to leave would remove the log in use.
    """
    with contextlib.suppress(OSError):  # it is there, or SQLite will say what is wrong with the place
        os.close(
            os.open(str(engine.url.database), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        )
    event.listen(engine, "connect", _on_connect)
    event.listen(engine, "begin", _on_begin)


def _on_connect(connection: DBAPIConnection, _record: object) -> None:
    raw: Any = connection
    raw.isolation_level = None  # the driver begins nothing by itself
    cursor = raw.cursor()

    def pragma(text: str) -> Any:
        row = cursor.execute(f"PRAGMA {text}").fetchone()
        return row[0] if row else None

    journal_mode = pragma("journal_mode=WAL")
    for setting in (
        "synchronous=FULL",
        "foreign_keys=ON",
        "mmap_size=0",
        "temp_store=MEMORY",  # savepoints keep their undo pages here
        f"cache_size=-{CACHE_KIB}",
        f"wal_autocheckpoint={AUTOCHECKPOINT_PAGES}",
        f"journal_size_limit={LOG_LIMIT_BYTES}",
    ):
        pragma(setting)
    found = (journal_mode, pragma("synchronous"), pragma("foreign_keys"))
    cursor.close()
    if found != ("wal", _FULL_SYNC, 1):
        raise DatabaseUnavailable(
            f"SQLite answers (journal_mode, synchronous, foreign_keys) = {found}, should be ('wal', 2, 1):"
            " the file system or this build of SQLite cannot keep the database safely"
        )


def _on_begin(connection: Connection) -> None:
    read_only = connection.get_execution_options().get(READ_ONLY, False)
    cursor = connection.connection.cursor()
    cursor.execute(f"PRAGMA query_only={'ON' if read_only else 'OFF'}")
    cursor.execute("BEGIN" if read_only else "BEGIN IMMEDIATE")
    cursor.close()


def probe(connection: Connection) -> None:
    """Read the file's first pages, so that a damaged or foreign file is found at the start."""
    connection.exec_driver_sql("SELECT count(*) FROM sqlite_schema").scalar_one()


def truncate_log(engine: Engine) -> None:
    """Copy the whole log into the database and empty it; gives way to other processes that are at work."""
    connection = engine.raw_connection()
    try:
        connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        connection.close()


def corrupt(file: str, said: str) -> DatabaseCorrupt:
    """Return the error for a damaged file."""
    return DatabaseCorrupt(
        f"{file}: {said}; stop, keep a copy of the file with its -wal, and restore a backup"
    )


def translate(error: sqlite3.Error, file: str) -> StorageError | None:  # noqa: PLR0911 - one return an answer
    """Return our own error for what SQLite says about the file, or None where the statement is to blame."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:  # the driver's own word
        return corrupt(file, str(error)) if str(error).startswith(_NO_TEXT) else None
    primary = code & _PRIMARY
    said = f"{file}: {error} ({getattr(error, 'sqlite_errorname', code)})"
    if code in _NO_ROOM:
        return StorageFull(f"{said}; nothing was changed: make room on the disk")
    if primary in _LOCKED:
        return DatabaseLocked(
            f"{said}; another process holds it: find it with `fuser {file}`, then try again"
        )
    if primary in _CORRUPT:
        return corrupt(file, said.removeprefix(f"{file}: "))
    if primary == sqlite3.SQLITE_IOERR:
        return StorageFailed(f"{said}; the disk failed: check it (dmesg, smartctl) before starting again")
    if primary in _UNAVAILABLE:
        place = Path(file).parent
        return DatabaseUnavailable(
            f"{said}; {place} must exist and be writable for this process's user, and `read` must only read"
        )
    return None
