"""PostgreSQL: what is acknowledged is committed, what fails says why, and it comes back by itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from psycopg import DataError
from psycopg.errors import UniqueViolation
from sqlalchemy import Connection, Engine, bindparam, text
from sqlalchemy.exc import ProgrammingError
from twisted.internet.task import Clock

from runtime import postgresql, transactions
from runtime.database import ClockExecutor, Database
from runtime.driver_sql import PreparedSql
from runtime.storage_errors import (
    DatabaseCorrupt,
    DatabaseLocked,
    DatabaseLost,
    DatabaseUnavailable,
    StorageError,
    StorageFailed,
    StorageFull,
)
from runtime.transactions import open_engine, read, run_batch, transact
from tests.databases.server import Server
from tests.databases.urls import Databases
from tests.databases.wire import Wire

PUT = PreparedSql(text("INSERT INTO t VALUES (:n, :body)").bindparams(bindparam("n"), bindparam("body")))


@pytest.fixture
def name(databases: Databases) -> Iterator[str]:
    made = databases.create()
    yield made
    databases.drop(made)


@pytest.fixture
def engine(databases: Databases, name: str) -> Iterator[Engine]:
    made = open_engine(databases.server.url(name), busy_timeout_s=0.3)
    transact(made, lambda c: c.exec_driver_sql("CREATE TABLE t (n INTEGER PRIMARY KEY, body BYTEA)"))
    yield made
    made.dispose()


@pytest.fixture
def wire(databases: Databases) -> Iterator[Wire]:
    with Wire(databases.server.port) as made:
        yield made


def put(number: int, body: bytes = b"x") -> Callable[[Connection], int]:
    def operation(connection: Connection) -> int:
        PUT.run(connection, n=number, body=body)
        return number

    return operation


def found(connection: Connection) -> list[int]:
    return list(connection.exec_driver_sql("SELECT n FROM t ORDER BY n").scalars())


# ── what holds on every connection ─────────────────────────────────────────────────────────


def test_every_wait_has_a_bound(engine: Engine) -> None:
    with engine.connect() as connection:
        shown = [
            connection.exec_driver_sql(f"SHOW {setting}").scalar_one()
            for setting in ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")
        ]
        raw = connection.connection.driver_connection
        assert raw is not None
        asked = raw.info.get_parameters()
    assert shown == ["300ms", "1min", "20s"]
    assert (asked["connect_timeout"], asked["keepalives_idle"], asked["target_session_attrs"]) == (
        "5", "5", "read-write",
    )  # fmt: skip


def test_what_the_url_sets_is_left_alone(databases: Databases, name: str) -> None:
    made = open_engine(databases.server.url(name) + "?connect_timeout=9&application_name=x")
    with made.connect() as connection:
        raw = connection.connection.driver_connection
        assert raw is not None
        asked = raw.info.get_parameters()
    assert (asked["connect_timeout"], asked["application_name"]) == ("9", "x")
    made.dispose()


@pytest.mark.parametrize("value", ["off", "local", "remote_write"])
def test_a_server_that_acknowledges_too_early_is_refused(databases: Databases, name: str, value: str) -> None:
    databases.server.execute(f"ALTER DATABASE {name} SET synchronous_commit = {value}")
    with pytest.raises(
        DatabaseUnavailable, match=f"synchronous_commit = {value}.*Set synchronous_commit = on"
    ):
        open_engine(databases.server.url(name))


def test_another_encoding_is_refused(databases: Databases) -> None:
    databases.server.execute("CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    with pytest.raises(DatabaseUnavailable, match="encoding is LATIN1"):
        open_engine(databases.server.url("latin"))
    databases.drop("latin")


def test_a_reader_sees_one_state_and_cannot_write(engine: Engine) -> None:
    transact(engine, put(1))

    def look_twice(connection: Connection) -> tuple[list[int], list[int]]:
        before = found(connection)
        transact(engine, put(2))
        return before, found(connection)

    assert read(engine, look_twice) == ([1], [1])
    assert read(engine, found) == [1, 2]
    with pytest.raises(DatabaseUnavailable, match="`read` must only read"):
        read(engine, put(3))
    assert transact(engine, put(3)) == 3  # the connection is not kept


def test_writers_come_one_after_the_other(engine: Engine) -> None:
    """What a transaction has read stays true: no update is lost between two that read and then write."""
    transact(engine, put(0, b"0"))

    def count(connection: Connection) -> None:
        value = int(connection.exec_driver_sql("SELECT body FROM t WHERE n = 0").scalar_one())
        time.sleep(0.005)
        connection.exec_driver_sql("UPDATE t SET body = %s WHERE n = 0", (b"%d" % (value + 1),))

    patient = open_engine(str(engine.url.render_as_string(hide_password=False)))
    threads = [
        threading.Thread(target=lambda: [transact(patient, count) for _ in range(5)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    body = read(engine, lambda c: c.exec_driver_sql("SELECT body FROM t").scalar_one())
    patient.dispose()
    assert body == b"20"


def test_a_writer_waits_only_so_long(engine: Engine) -> None:
    with engine.begin(), pytest.raises(DatabaseLocked, match="pg_stat_activity"):
        transact(engine, put(1))
    assert transact(engine, put(1)) == 1


# ── operations ─────────────────────────────────────────────────────────────────────────────


def test_an_operation_that_fails_is_undone_alone(engine: Engine) -> None:
    def fails_late(connection: Connection) -> None:
        put(9)(connection)
        raise KeyError

    outcomes = run_batch(
        engine,
        [put(1), fails_late, put(1), lambda c: c.exec_driver_sql("SELECT * FROM nowhere"), put(2)],
    )
    assert [good for good, _ in outcomes] == [True, False, False, False, True]
    assert [type(value) for _, value in outcomes[1:4]] == [KeyError, UniqueViolation, ProgrammingError]
    assert read(engine, found) == [1, 2]
    assert run_batch(engine, [put(1)])[0][0] is False


def test_text_with_a_nul_is_an_error_of_the_operation(engine: Engine) -> None:
    def nul(connection: Connection) -> None:
        connection.connection.cursor().execute("SELECT %s::text", ("a\0b",))

    (good, error), (after, _) = run_batch(engine, [nul, put(1)])
    assert (good, after) == (False, True)
    assert isinstance(error, DataError)


# ── the server goes away ───────────────────────────────────────────────────────────────────


def test_a_lost_connection_is_replaced_by_itself(databases: Databases, engine: Engine, name: str) -> None:
    """Whoever writes when it breaks is told so; the next one is served, and no connection is used dead."""
    transact(engine, put(1))
    end_all = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"

    def breaks(connection: Connection) -> None:
        put(2)(connection)
        databases.server.execute(end_all)
        put(3)(connection)

    with pytest.raises(DatabaseLost, match="connection"):
        transact(engine, breaks)
    assert transact(engine, put(4)) == 4
    databases.server.execute(end_all)
    assert read(engine, found) == [1, 4]  # tried once more by itself
    databases.server.execute(end_all)
    time.sleep(postgresql.TRUSTED_S)
    assert transact(engine, put(5)) == 5  # asked for a sign of life first


def test_a_writer_that_was_idle_finds_the_server_that_came_back(
    databases: Databases, engine: Engine, name: str
) -> None:
    """The connection that it kept is asked for a sign of life: giving it back for that is no use of it."""
    clock = Clock()
    database = Database(engine, writer=ClockExecutor(clock), reader=ClockExecutor(clock), on_fatal=print)
    outcomes: list[Any] = []
    for number in (1, 2):
        database.write(put(number)).addBoth(outcomes.append)
        clock.advance(0)
        databases.server.execute(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        )
        time.sleep(max(postgresql.TRUSTED_S, transactions.KEPT_S) + 0.05)
    assert outcomes == [1, 2]


@pytest.mark.parametrize("batch", [1, 2])
def test_a_commit_without_an_answer_is_lost_and_may_have_happened(
    databases: Databases, engine: Engine, name: str, wire: Wire, batch: int
) -> None:
    far = open_engine(databases.server.url(name, port=wire.port))
    wire.cut_after_commit()
    with pytest.raises(DatabaseLost):
        run_batch(far, [put(n) for n in range(batch)])
    assert wire.cuts == 1
    assert read(engine, found) == list(range(batch))
    assert run_batch(far, [put(7)]) == [(True, 7)]
    far.dispose()


def test_nothing_of_a_transaction_that_was_cut_before_its_commit(
    databases: Databases, engine: Engine, name: str, wire: Wire
) -> None:
    far = open_engine(databases.server.url(name, port=wire.port))

    def cut(_connection: Connection) -> None:
        wire.cut()

    with pytest.raises(DatabaseLost):
        run_batch(far, [put(1), cut])
    assert read(engine, found) == []
    far.dispose()


def test_a_server_that_is_not_there(databases: Databases, name: str, wire: Wire) -> None:
    far = open_engine(databases.server.url(name, port=wire.port))
    wire.down = True
    wire.cut()
    for _ in range(2):
        with pytest.raises(DatabaseLost):
            read(far, lambda c: c.exec_driver_sql("SELECT 1").scalar_one())
    with pytest.raises(DatabaseUnavailable, match=r"wasl@127\.0\.0\.1"):
        open_engine(databases.server.url(name, port=wire.port))
    wire.down = False
    assert read(far, lambda c: c.exec_driver_sql("SELECT 1").scalar_one()) == 1
    far.dispose()


def test_group_commit_outlives_the_server(
    databases: Databases, engine: Engine, name: str, wire: Wire
) -> None:
    """A lost server fails what was under way and ends nothing; a failed disk of its ends the process."""
    far = open_engine(databases.server.url(name, port=wire.port))
    clock, fatal = Clock(), list[BaseException]()
    database = Database(far, writer=ClockExecutor(clock), reader=ClockExecutor(clock), on_fatal=fatal.append)
    outcomes: list[Any] = []

    def write(operation: Callable[[Connection], object]) -> None:
        database.write(operation).addCallbacks(
            outcomes.append, lambda failure: outcomes.append(failure.value)
        )
        clock.advance(0)
        clock.advance(0)

    write(put(1))
    wire.cut_after_commit()
    write(put(2))
    wire.down = True
    wire.cut()
    write(put(3))
    wire.down = False
    write(put(4))
    assert (outcomes[0], outcomes[3]) == (1, 4)
    assert [type(outcome) for outcome in outcomes[1:3]] == [DatabaseLost, DatabaseLost]
    assert fatal == []
    assert read(engine, found) == [1, 2, 4]
    write(lambda c: c.exec_driver_sql("DO $$ BEGIN RAISE EXCEPTION 'disk' USING ERRCODE = '58030'; END $$"))
    assert isinstance(fatal[0], StorageFailed)
    with pytest.raises(StorageFailed, match="nothing is tried again"):
        write(put(5))
    far.dispose()


@pytest.mark.parametrize("where", ["?host=127.0.0.1:{dead}&host=127.0.0.1:{alive}"])
def test_the_next_host_of_the_url_is_tried(databases: Databases, name: str, wire: Wire, where: str) -> None:
    wire.down = True
    hosts = where.format(dead=wire.port, alive=databases.server.port)
    made = open_engine(f"postgresql+psycopg://wasl@/{name}{hosts}")
    assert read(made, lambda c: c.exec_driver_sql("SELECT 1").scalar_one()) == 1
    made.dispose()


def test_a_database_that_is_not_there(databases: Databases) -> None:
    with pytest.raises(StorageError, match="nowhere"):
        open_engine(databases.server.url("nowhere"))


def test_a_server_that_was_demoted_is_let_go(databases: Databases, engine: Engine, name: str) -> None:
    """It answers, but takes nothing any more: DatabaseUnavailable, and no connection to it is kept."""
    transact(engine, put(1))
    databases.server.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")

    def demoted(connection: Connection) -> None:
        connection.exec_driver_sql("SET TRANSACTION READ ONLY")
        put(2)(connection)

    with pytest.raises(DatabaseUnavailable, match="25006"):
        transact(engine, demoted)
    with pytest.raises(DatabaseUnavailable, match="read-only"):  # by target_session_attrs: a new connection
        transact(engine, put(2))
    databases.server.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    assert transact(engine, put(2)) == 2


# ── a standby that does not answer ─────────────────────────────────────────────────────────


@pytest.fixture
def forsaken(databases: Databases) -> Iterator[Server]:
    """Yield a primary whose synchronous standby is not there."""
    server = Server()
    server.make()
    server.start()
    server.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, body BYTEA)")
    server.configure("synchronous_standby_names = 'standby'\n")
    server.reload()
    yield server
    server.close()


def test_a_commit_that_did_not_wait_for_its_standby_is_not_acknowledged(forsaken: Server) -> None:
    """PostgreSQL calls a commit whose wait was cancelled a success, and warns. It is none."""
    engine = open_engine(forsaken.url("postgres"))
    outcome: list[Any] = []

    def write() -> None:
        try:
            outcome.append(transact(engine, put(1)))
        except StorageError as error:
            outcome.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    cancel = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    deadline_s = time.monotonic() + 20
    with forsaken.connect() as connection:
        while not connection.execute(cancel.encode()).fetchone() and time.monotonic() < deadline_s:
            time.sleep(0.05)
    thread.join(20)
    assert isinstance(outcome[0], DatabaseLost)
    assert "synchronous standby" in str(outcome[0])
    engine.dispose()


# ── what the server's errors mean ──────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("state", "meaning"),
    [
        ("53100", StorageFull), ("08006", DatabaseLost), ("57P01", DatabaseLost), ("57P02", DatabaseLost),
        ("25P03", DatabaseLost), ("57P03", DatabaseUnavailable), ("53300", DatabaseUnavailable),
        ("28P01", DatabaseUnavailable), ("3D000", DatabaseUnavailable), ("25006", DatabaseUnavailable),
        ("55P03", DatabaseLocked), ("40001", DatabaseLocked), ("40P01", DatabaseLocked),
        ("57014", DatabaseLocked), ("XX001", DatabaseCorrupt), ("XX002", DatabaseCorrupt),
        ("58030", StorageFailed), ("23505", None), ("42P01", None), ("22021", None),
    ],
)  # fmt: skip
def test_what_each_state_means(engine: Engine, state: str, meaning: type[StorageError] | None) -> None:
    """The server itself raises each one, so that the driver's own classes are in it."""
    block = f"DO $$ BEGIN RAISE EXCEPTION 'told' USING ERRCODE = '{state}'; END $$"
    outcome: list[Any] = []
    try:
        transact(engine, lambda c: c.exec_driver_sql(block))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is looked at
        outcome.append(error)
    if meaning is None:
        assert not isinstance(outcome[0], StorageError)
    else:
        assert type(outcome[0]) is meaning
        assert state in str(outcome[0])
    assert isinstance(outcome[0], StorageFailed) == (state in {"XX001", "XX002", "58030"})
    assert transactions.read(engine, found) == []
