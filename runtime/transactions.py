"""Engines, and the blocking ways to run SQL in one transaction: alone, read only, many operations together.

These functions belong in a thread that may block: the command line, a WSGI thread, or an executor of
:mod:`runtime.database`. Whatever the driver says about the file, the disk or a lock is raised as a type of
:mod:`runtime.storage_errors`; what it says about a statement (IntegrityError, a missing table) stays
SQLAlchemy's.

A transaction that writes takes the write lock when it begins and waits ``BUSY_TIMEOUT_S`` for it, so it never
fails halfway because of another writer. It is committed before the function returns, or nothing of it is.

That is how it is on SQLite. PostgreSQL is reached and commits likewise, but its errors, a lost connection
among them, stay SQLAlchemy's; locks are waited for as the server is set; and a transaction that only reads
is not kept from writing, nor shown one state throughout.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from runtime import sqlite
from runtime.storage_errors import DatabaseUnavailable, StorageError

BUSY_TIMEOUT_S = 10.0
"""How long a transaction waits for another process's lock."""

_DAMAGED_SCHEMA = b"malformed database schema"
_T = TypeVar("_T")
Outcome = tuple[bool, Any]
"""(True, what an operation returned) or (False, the exception that it raised)."""


def open_engine(url: str, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> Engine:
    """Return an engine whose database was reached; a missing SQLite file is made, a missing directory is not.

    ``url`` is SQLAlchemy's: ``sqlite:////var/lib/wasl/hub.db`` or ``postgresql+psycopg://…``. Raises
    DatabaseUnavailable for a URL that cannot be used; SQLite raises DatabaseCorrupt (damaged, or no
    database), DatabaseLocked, StorageFull, StorageFailed or DatabaseUnavailable, PostgreSQL a DBAPIError.
    """
    try:
        parsed = make_url(url)
        on_sqlite = parsed.get_backend_name() == "sqlite"
        if on_sqlite and parsed.database in {None, "", ":memory:"}:
            raise DatabaseUnavailable(
                'a database in memory keeps nothing: the URL must name a file, "sqlite:////…"'
            )
        engine = create_engine(
            url,
            connect_args={"timeout": busy_timeout_s} if on_sqlite else {},
            hide_parameters=True,  # an error's text goes to the log, and no message goes there
        )
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        raise DatabaseUnavailable(
            f'the database URL cannot be used ({error}); it should be like "sqlite:////path/to/file.db"'
        ) from error
    if on_sqlite:
        sqlite.prepare(engine)
    try:
        with translated(engine), _reading(engine) as connection:
            if on_sqlite:
                sqlite.probe(connection)
    except StorageError:
        engine.dispose()
        raise
    return engine


def transact(engine: Engine, operation: Callable[[Connection], _T]) -> _T:
    """Run ``operation`` in one transaction that may write, commit, and return what it returned.

    Raises what the operation raises (nothing is changed then) or a StorageError.
    """
    with translated(engine), engine.begin() as connection:
        return operation(connection)


def read(engine: Engine, operation: Callable[[Connection], _T]) -> _T:
    """Run ``operation`` in a transaction that (on SQLite) sees one state of the database and cannot write."""
    with translated(engine), _reading(engine) as connection:
        return operation(connection)


def run_batch(engine: Engine, operations: Sequence[Callable[[Connection], Any]]) -> list[Outcome]:
    """Run the operations, in order, in one transaction, and commit it; returns one outcome for each.

    An operation that raises is undone alone. Raises a StorageError, or RuntimeError if an operation ended the
    transaction itself: then nothing of the batch is committed.
    """
    with translated(engine), engine.begin() as connection:
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
    """Turn SQLite's errors about file, disk and lock into our own; others pass, and all of PostgreSQL's."""
    try:
        yield
    except DBAPIError as error:
        own = _own_error(engine, error.orig)
        if own is None:
            raise
        raise own from error
    except sqlite3.Error as error:
        own = _own_error(engine, error)
        if own is None:
            raise
        raise own from error
    except UnicodeDecodeError as error:  # SQLite quotes the damage, and the driver cannot read the quotation
        if not error.object.startswith(_DAMAGED_SCHEMA):
            raise
        said = error.object.decode("utf-8", "backslashreplace")
        raise sqlite.corrupt(engine.url.database or "?", said) from error


def _own_error(engine: Engine, error: BaseException | None) -> StorageError | None:
    if isinstance(error, sqlite3.Error):
        return sqlite.translate(error, engine.url.database or "?")
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
    cause = error.orig if isinstance(error, DBAPIError) else error
    return isinstance(error, StorageError) or _own_error(engine, cause) is not None


def _still_open(connection: Connection) -> None:
    if not connection.in_transaction():
        raise RuntimeError("an operation ended the transaction: it must not call commit, rollback or close")


@contextmanager
def _reading(engine: Engine) -> Iterator[Connection]:
    with engine.connect().execution_options(**{sqlite.READ_ONLY: True}) as connection, connection.begin():
        yield connection
