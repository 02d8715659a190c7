"""PostgreSQL as this project uses it: durable, bounded in every wait, and with errors that say what to do.

What :func:`prepare` sees to, on every connection of an engine:

- ``synchronous_commit`` is ``on`` or ``remote_apply`` and ``fsync`` is on, or the connection is refused: a
  commit that returned survives a power cut, and with a synchronous standby the loss of the server as well.
- A commit whose wait for the standby was cancelled is reported as lost. PostgreSQL answers such a commit
  with success and a warning (https://www.postgresql.org/docs/15/warm-standby.html#SYNCHRONOUS-REPLICATION).
- Whoever writes takes one advisory lock when the transaction begins and holds it to its end. So writers, of
  however many processes, come one after the other as on SQLite: what an operation has read stays true until
  it commits, numbers become visible in the order in which they are given out, and nothing deadlocks.
- Whoever reads (:data:`READING`) sees one state throughout and cannot write.
- Connecting, waiting for a lock, a statement and silence on the wire have bounds. A process that stops in
  the middle of a transaction loses it, and the lock with it, after ``IDLE_IN_TRANSACTION_S``.

A connection that was idle for ``TRUSTED_S`` is asked for a sign of life before it is used; when one breaks,
or its server takes no writes any more, the whole pool is let go (:func:`runtime.transactions.translated`).
So after a fail-over the next transaction finds the new server by itself, if the URL names all of them:
``postgresql+psycopg://wasl@/wasl?host=db1&host=db2`` (it takes the one that can be written to).

Not promised: what became of a transaction whose COMMIT got no answer. It is :class:`DatabaseLost`, and the
operations, all safe to run twice, are run again by whoever wants them.
"""

import time
from collections.abc import Mapping
from typing import Any, Final

import psycopg
from psycopg import errors
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import URL, Dialect
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry

from runtime.storage_errors import (
    DatabaseCorrupt,
    DatabaseLocked,
    DatabaseLost,
    DatabaseUnavailable,
    StorageError,
    StorageFailed,
    StorageFull,
)

CONNECT_TIMEOUT_S: Final = 5
"""For each of the URL's hosts."""
STATEMENT_TIMEOUT_S: Final = 60
IDLE_IN_TRANSACTION_S: Final = 20
"""How long a process may think inside a transaction before the server ends it."""
SILENCE_S: Final = 10
"""A server that acknowledges nothing for so long is taken for dead."""
TRUSTED_S: Final = 1.0
"""A connection whose last transaction began so shortly ago is used again without asking."""
WRITE_LOCK: Final = int.from_bytes(b"wasl", "big")
"""Key of the advisory lock that a writing transaction holds."""
READING: Final[Mapping[str, object]] = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
"""Execution options of a SQLAlchemy connection that only reads."""

DRIVER_ERROR: Final = psycopg.Error
"""What the driver raises, all of it."""

_DURABLE: Final = ("on", "remote_apply")
_USED_S: Final = "wasl_used_s"
_LOST: Final = ("08", "57P01", "57P02", "57P04", "57P05", "25P03")
"""SQLSTATEs (https://www.postgresql.org/docs/15/errcodes-appendix.html), whole or by class."""
_UNAVAILABLE: Final = ("57P03", "25006", "28", "3D", "42501", "53")
_LOCKED: Final = ("55P03", "40", "57014")
_CORRUPT: Final = ("XX001", "XX002")


class WaryConnection(psycopg.Connection[Any]):
    """A connection whose :meth:`commit` fails unless the commit is where ``synchronous_commit`` wants it."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._replication_cancelled = False
        self.add_notice_handler(self._notice)

    def commit(self) -> None:
        """Commit; raises OperationalError if the server did not wait for its standby."""
        self._replication_cancelled = False
        super().commit()
        if self._replication_cancelled:
            self.close()
            raise psycopg.OperationalError(
                "the wait for the synchronous standby was cancelled: a fail-over might still undo the commit"
            )

    def _notice(self, notice: errors.Diagnostic) -> None:
        # The text is translated by the server, the function that says it is not.
        if (notice.source_function or "").startswith("SyncRep"):
            self._replication_cancelled = True


def connect_options(url: URL, lock_timeout_s: float) -> dict[str, object]:
    """Return the bounds of a connection, less those that the URL sets itself."""
    session = {
        "lock_timeout": lock_timeout_s,
        "statement_timeout": STATEMENT_TIMEOUT_S,
        "idle_in_transaction_session_timeout": IDLE_IN_TRANSACTION_S,
    }
    bounds: dict[str, object] = {
        "application_name": "wasl",
        "connect_timeout": CONNECT_TIMEOUT_S,
        "keepalives_idle": SILENCE_S // 2,
        "keepalives_interval": 1,
        "keepalives_count": SILENCE_S // 2,
        "tcp_user_timeout": SILENCE_S * 1000,
        "target_session_attrs": "read-write",
        "options": " ".join(f"-c {name}={int(seconds * 1000)}" for name, seconds in session.items()),
    }
    return {name: value for name, value in bounds.items() if name not in url.query}


def prepare(engine: Engine) -> None:
    """Make every connection of ``engine``, which is not yet used, hold what the module promises."""
    event.listen(engine, "do_connect", _connect)
    event.listen(engine, "connect", _on_connect)
    event.listen(engine, "checkout", _on_checkout)
    event.listen(engine, "begin", _on_begin)


def _connect(_dialect: Dialect, _entry: object, arguments: Any, options: Any) -> WaryConnection:
    return WaryConnection.connect(*arguments, **options)


def _on_connect(connection: Any, _entry: object) -> None:
    row = connection.execute(
        "SELECT current_setting('synchronous_commit'), current_setting('fsync'),"
        " current_setting('server_encoding')"
    ).fetchone()
    connection.rollback()
    commit, fsync, encoding = row
    if commit not in _DURABLE:
        raise DatabaseUnavailable(
            f"PostgreSQL has synchronous_commit = {commit}: it would acknowledge what a crash can still take."
            " Set synchronous_commit = on (or remote_apply) in postgresql.conf, or for the user by"
            " ALTER ROLE ... SET synchronous_commit = on"
        )
    if fsync != "on":
        raise DatabaseUnavailable(
            "PostgreSQL has fsync = off: a power cut would destroy the database. Set fsync = on in"
            " postgresql.conf"
        )
    if encoding != "UTF8":
        raise DatabaseUnavailable(
            f"the database's encoding is {encoding}: make it anew by CREATE DATABASE ... ENCODING 'UTF8'"
            " TEMPLATE template0"
        )


def _on_checkout(connection: Any, entry: ConnectionPoolEntry, _proxy: object) -> None:
    if time.monotonic() - entry.info.get(_USED_S, time.monotonic()) < TRUSTED_S:
        return
    try:
        connection.execute("SELECT 1")
        connection.rollback()
    except psycopg.Error as error:
        raise DisconnectionError(str(error)) from error  # the pool tries a new connection


def _on_begin(connection: Connection) -> None:
    if not connection.get_execution_options().get("postgresql_readonly", False):
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITE_LOCK})")
    # Not when it is given back: whoever keeps one gives it back after a long rest, to have it looked at.
    connection.info[_USED_S] = time.monotonic()


def translate(error: psycopg.Error, name: str) -> StorageError | None:  # noqa: PLR0911 - one return an answer
    """Return our own error for what PostgreSQL or the way to it says, None if the statement is to blame."""
    state = error.sqlstate
    said = f"{name}: {str(error).strip()}" + (f" (SQLSTATE {state})" if state else "")
    if state is None:
        # The client's own word; of its errors these two are about the connection, the rest about values.
        if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
            return DatabaseLost(f"{said}; it is tried again with the next transaction")
        return None
    if state == errors.DiskFull.sqlstate:
        return StorageFull(f"{said}; nothing was changed: make room on the database server's disk")
    if state.startswith(_LOST):
        return DatabaseLost(f"{said}; it is tried again with the next transaction")
    if state.startswith(_LOCKED):
        return DatabaseLocked(
            f"{said}; another transaction holds it: look into pg_stat_activity and pg_locks, then try again"
        )
    if state.startswith(_CORRUPT):
        return DatabaseCorrupt(f"{said}; stop, and fail over to a standby or restore a backup")
    if state == errors.IoError.sqlstate:
        return StorageFailed(f"{said}; the server's disk failed: check it before starting again")
    if state.startswith(_UNAVAILABLE):
        return DatabaseUnavailable(
            f"{said}; the URL must name the server that takes writes, and a user who may create tables;"
            " and `read` must only read"
        )
    return None
