"""Engines, and the blocking ways to run SQL in one transaction: alone, read only, many operations together.

These functions belong in a thread that may block: the command line, a WSGI thread, or an executor of
:mod:`runtime.database`. Whatever the driver says about the file, the disk or a lock is raised as a type of
:mod:`runtime.storage_errors`; what it says about a statement (IntegrityError, a missing table) stays
SQLAlchemy's.

A transaction that writes takes the write lock when it begins and waits ``BUSY_TIMEOUT_S`` for it, so it never
fails halfway because of another writer. It is committed before the function returns, or nothing of it is.

What is particular to each database is in :mod:`runtime.sqlite` and :mod:`runtime.postgresql`; from here on
up they are alike. A transaction that only reads is tried once more by itself if PostgreSQL was lost.
"""

import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from runtime import sqlite
from runtime.storage_errors import DatabaseLost, DatabaseUnavailable, StorageError

KEPT_S = 1.0
"""How long a connection is kept for the next batch without asking whether it still lives."""
BUSY_TIMEOUT_S = 10.0
"""How long a transaction waits for another process's lock."""

_DAMAGED_SCHEMA = b"malformed database schema"
_T = TypeVar("_T")
Outcome = tuple[bool, Any]
"""(True, what an operation returned) or (False, the exception that it raised)."""


def open_engine(url: str, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> Engine:
    """Return an engine whose database was reached; a missing SQLite file is made, a missing directory is not.

    ``url`` is SQLAlchemy's: ``sqlite:////var/lib/wasl/hub.db`` or ``postgresql+psycopg://…``. Raises
    DatabaseUnavailable for a URL that cannot be used and a server that cannot be reached or does not keep
    what it acknowledges; DatabaseCorrupt (damaged, or no database), DatabaseLocked, StorageFull or
    StorageFailed.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise _unusable(error) from error
    if parsed.get_backend_name() == "sqlite":
        engine = _sqlite_engine(parsed, busy_timeout_s)
    else:
        engine = _postgresql_engine(parsed, busy_timeout_s)
    try:
        with translated(engine), _reading(engine) as connection:
            if engine.dialect.name == "sqlite":
                sqlite.probe(connection)
    except StorageError:
        engine.dispose()
        raise
    return engine


def _sqlite_engine(url: URL, busy_timeout_s: float) -> Engine:
    if url.database in {None, "", ":memory:"}:
        raise DatabaseUnavailable(
            'a database in memory keeps nothing: the URL must name a file, "sqlite:////…"'
        )
    engine = create_engine(url, connect_args={"timeout": busy_timeout_s}, hide_parameters=True)
    sqlite.prepare(engine)
    return engine


def _postgresql_engine(url: URL, busy_timeout_s: float) -> Engine:
    try:
        from runtime import postgresql  # noqa: PLC0415 - 60 ms that every command on SQLite saves

        engine = create_engine(
            url,
            connect_args=postgresql.connect_options(url, busy_timeout_s),
            hide_parameters=True,  # an error's text goes to the log, and no message goes there
            use_native_hstore=False,
        )
    except (ArgumentError, NoSuchModuleError, ImportError, TypeError) as error:
        raise _unusable(error) from error
    postgresql.prepare(engine)
    return engine


def _unusable(error: Exception) -> DatabaseUnavailable:
    return DatabaseUnavailable(
        f'the database URL cannot be used ({error}); it should be like "sqlite:////path/to/file.db" or'
        ' "postgresql+psycopg://user@host/name"'
    )


def transact(engine: Engine, operation: Callable[[Connection], _T]) -> _T:
    """Run ``operation`` in one transaction that may write, commit, and return what it returned.

    Raises what the operation raises (nothing is changed then) or a StorageError.
    """
    with translated(engine), engine.begin() as connection:
        return operation(connection)


def read(engine: Engine, operation: Callable[[Connection], _T]) -> _T:
    """Run ``operation`` in a transaction that sees one state of the database and cannot write."""
    try:
        return _read(engine, operation)
    except DatabaseLost:
        return _read(engine, operation)


def _read(engine: Engine, operation: Callable[[Connection], _T]) -> _T:
    with translated(engine), _reading(engine) as connection:
        return operation(connection)


class KeptConnection:
    """A connection for the writing transactions of one thread, kept while they follow each other closely.

    Taking one from the pool and giving it back costs 80 µs (measured), which is what a small commit costs
    without its sync. After ``KEPT_S`` without work the pool is asked again, and looks whether it still lives.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Connection | None = None
        self._used_s = 0.0

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Yield the connection in a transaction, which is committed at the end; any error gives both up."""
        if time.monotonic() - self._used_s > KEPT_S:
            self.close()
        if self._connection is None:
            self._connection = self._engine.connect()
        try:
            with self._connection.begin():
                yield self._connection
        except BaseException:
            self._connection.invalidate()
            self.close()
            raise
        self._used_s = time.monotonic()

    def close(self) -> None:
        """Give the connection back to the pool, if there is one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def run_batch(
    engine: Engine, operations: Sequence[Callable[[Connection], Any]], kept: KeptConnection | None = None
) -> list[Outcome]:
    """Run the operations, in order, in one transaction, and commit it; returns one outcome for each.

    An operation that raises is undone alone. Raises a StorageError, or RuntimeError if an operation ended the
    transaction itself: then nothing of the batch is committed.
    """
    with translated(engine), engine.begin() if kept is None else kept.begin() as connection:
        if len(operations) == 1:
            return _run_alone(connection, operations[0])
        cursor = connection.connection.cursor()  # the driver's: SQLAlchemy's savepoints cost 200 µs, these 6
        try:
            return [_run_one(engine, connection, cursor.execute, operation) for operation in operations]
        finally:
            cursor.close()


def close_engine(engine: Engine) -> None:
    """Leave the file tidy (SQLite: no log to replay) and let go of every connection."""
    if engine.dialect.name == "sqlite":
        with translated(engine):
            sqlite.truncate_log(engine)
    engine.dispose()


@contextmanager
def translated(engine: Engine) -> Iterator[None]:
    """Turn the driver's errors about file, disk, lock and connection into our own; others pass."""
    try:
        yield
    except Exception as error:
        own = _own_error(engine, error)
        if own is None:
            raise
        if isinstance(own, DatabaseUnavailable):
            engine.dispose()  # what else is connected there is of no use either
        raise own from error


def _own_error(engine: Engine, error: BaseException) -> StorageError | None:
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, sqlite3.Error):
        return sqlite.translate(cause, engine.url.database or "?")
    if isinstance(cause, UnicodeDecodeError) and cause.object.startswith(_DAMAGED_SCHEMA):
        # SQLite quotes the damage, and the driver cannot read the quotation.
        return sqlite.corrupt(engine.url.database or "?", cause.object.decode("utf-8", "backslashreplace"))
    if engine.dialect.name == "postgresql":
        from runtime import postgresql  # noqa: PLC0415 - as above

        if isinstance(cause, postgresql.DRIVER_ERROR):
            return postgresql.translate(cause, engine.url.render_as_string(hide_password=True))
    return None


def _run_alone(connection: Connection, operation: Callable[[Connection], Any]) -> list[Outcome]:
    """Run the only operation of a transaction: the transaction is its savepoint."""
    try:
        value = operation(connection)
    except Exception as error:
        if _is_storage_error(connection.engine, error):
            raise
        _still_open(connection)
        connection.rollback()
        return [(False, error)]
    _still_open(connection)
    return [(True, value)]


def _run_one(
    engine: Engine,
    connection: Connection,
    execute: Callable[[str], object],
    operation: Callable[[Connection], Any],
) -> Outcome:
    """Run one operation of many inside a savepoint."""
    execute("SAVEPOINT operation")
    outcome: Outcome
    try:
        outcome = (True, operation(connection))
    except Exception as error:
        if _is_storage_error(engine, error):
            raise
        outcome = (False, error)
        _still_open(connection)
        execute("ROLLBACK TO SAVEPOINT operation")
    _still_open(connection)
    execute("RELEASE SAVEPOINT operation")
    return outcome


def _is_storage_error(engine: Engine, error: BaseException) -> bool:
    """Tell whether the transaction is lost, not the operation: SQLite may have rolled all of it back."""
    return isinstance(error, StorageError) or _own_error(engine, error) is not None


def _still_open(connection: Connection) -> None:
    if not connection.in_transaction():
        raise RuntimeError("an operation ended the transaction: it must not call commit, rollback or close")


@contextmanager
def _reading(engine: Engine) -> Iterator[Connection]:
    options: Mapping[str, object] = sqlite.READING
    if engine.dialect.name != "sqlite":
        from runtime import postgresql  # noqa: PLC0415 - as above

        options = postgresql.READING
    with engine.connect().execution_options(**options) as connection, connection.begin():
        yield connection
