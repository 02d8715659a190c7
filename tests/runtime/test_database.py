"""Group commit on real SQLite files: what is acknowledged is committed, what fails says why."""

import os
import queue
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import IntegrityError, OperationalError
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from runtime.database import (
    ClockExecutor,
    Database,
    DatabaseBusy,
    DatabaseCorrupt,
    DatabaseLocked,
    DatabaseUnavailable,
    StorageError,
    StorageFailed,
    StorageFull,
    ThreadExecutor,
    open_engine,
    transact,
)
from runtime.transactions import close_engine

LATENCY_S = 0.01


class Store:
    """A database on a simulated clock, with what a test wants to look at."""

    def __init__(self, path: Path, **bounds: int) -> None:
        self.path = path
        self.engine = open_engine(f"sqlite:///{path}", busy_timeout_s=0.1)
        transact(
            self.engine, lambda c: c.exec_driver_sql("CREATE TABLE t (n INTEGER PRIMARY KEY, body BLOB)")
        )
        self.commits = 0
        event.listen(self.engine, "commit", self._count)
        self.clock = Clock()
        self.writer = ClockExecutor(self.clock, LATENCY_S)
        self.reader = ClockExecutor(self.clock, LATENCY_S)
        self.fatal: list[BaseException] = []
        self.registry = CollectorRegistry()
        self.database = Database(
            self.engine,
            writer=self.writer,
            reader=self.reader,
            on_fatal=self.fatal.append,
            registry=self.registry,
            **bounds,
        )

    def _count(self, connection: Connection) -> None:
        self.commits += 1

    def run(self) -> None:
        for _ in range(1000):
            if not self.clock.getDelayedCalls():
                return
            self.clock.advance(LATENCY_S)
        raise AssertionError("the database never comes to rest")

    def seen_by_others(self) -> list[int]:
        """Return what another process would find committed."""
        other = sqlite3.connect(self.path)
        rows = other.execute("SELECT n FROM t ORDER BY rowid").fetchall()
        other.close()
        return [row[0] for row in rows]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "store.db")
    yield made
    made.engine.dispose()


def put(number: int, body: bytes = b"x") -> Callable[[Connection], int]:
    def operation(connection: Connection) -> int:
        connection.exec_driver_sql("INSERT INTO t VALUES (?, ?)", (number, body))
        return number

    return operation


def outcome(deferred: "Deferred[Any]") -> list[Any]:
    """Collect what ``deferred`` fires with; an error as the exception."""
    fired: list[Any] = []
    deferred.addCallbacks(fired.append, lambda failure: fired.append(failure.value))
    return fired


def test_connections_hold_what_the_module_promises(store: Store) -> None:
    with store.engine.connect() as connection:
        found = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "mmap_size", "busy_timeout")
        ]
    assert found == ["wal", 2, 1, 0, 100]


def test_what_arrives_during_a_commit_goes_into_the_next_one(store: Store) -> None:
    results = [outcome(store.database.write(put(n))) for n in range(100)]
    store.run()
    assert results == [[n] for n in range(100)]
    assert store.commits == 2  # the first alone, the 99 that came while it ran together
    assert store.registry.get_sample_value("wasl_database_batch_operations_sum") == 100
    assert store.registry.get_sample_value("wasl_database_commit_seconds_count") == 2


def test_an_idle_database_commits_without_waiting_for_company(store: Store) -> None:
    result = outcome(store.database.write(put(1)))
    store.clock.advance(LATENCY_S)
    assert result == [1]


def test_a_batch_is_bounded(tmp_path: Path) -> None:
    store = Store(tmp_path / "b.db", max_batch=10)
    results = [outcome(store.database.write(put(n))) for n in range(31)]
    store.run()
    assert all(results)
    assert store.commits == 4
    store.engine.dispose()


def test_never_acknowledged_before_the_commit(store: Store) -> None:
    """Whoever hears of a write finds it through another connection, at that instant."""
    found: list[bool] = []
    for number in range(50):
        store.database.write(put(number)).addCallback(lambda n: found.append(n in store.seen_by_others()))
    store.run()
    assert found == [True] * 50


def test_a_crash_between_commit_and_acknowledgement_keeps_the_write(store: Store) -> None:
    result = outcome(store.database.write(put(1)))
    timer = store.clock.calls[0]
    commit = timer.func
    timer.cancel()
    commit()  # the writer's work, without the delivery of its result
    store.writer.stop()
    store.clock.advance(1)
    assert result == []
    assert store.seen_by_others() == [1]


def test_a_crash_before_the_commit_acknowledges_nothing(store: Store) -> None:
    result = outcome(store.database.write(put(1)))
    store.writer.stop()
    store.clock.advance(1)
    assert (result, store.seen_by_others()) == ([], [])


def test_operations_run_in_the_order_written(store: Store) -> None:
    order: list[int] = []

    def note(number: int) -> Callable[[Connection], None]:
        return lambda _: order.append(number)

    for number in range(50):
        store.database.write(note(number))
    store.run()
    assert order == list(range(50))


@pytest.mark.parametrize("alone", [True, False])
def test_a_failing_operation_fails_alone(store: Store, alone: bool) -> None:
    class OwnError(Exception):
        pass

    def fails_late(connection: Connection) -> None:
        put(999)(connection)
        raise OwnError

    if not alone:
        outcome(store.database.write(put(0)))
    failing = outcome(store.database.write(fails_late))
    before, doubled, after = (outcome(store.database.write(put(n))) for n in (1, 1, 2))
    missing = outcome(store.database.write(lambda c: c.exec_driver_sql("INSERT INTO nowhere VALUES (1)")))
    store.run()
    assert isinstance(failing[0], OwnError)
    assert isinstance(doubled[0], IntegrityError)
    assert isinstance(missing[0], OperationalError)
    assert (before, after) == ([1], [2])
    assert store.seen_by_others() == ([1, 2] if alone else [0, 1, 2])
    assert store.fatal == []


@pytest.mark.parametrize("alone", [True, False])
def test_an_operation_that_commits_by_itself_fails_its_batch(store: Store, alone: bool) -> None:
    def commits(connection: Connection) -> None:
        connection.rollback()

    neighbours = [] if alone else [outcome(store.database.write(put(n))) for n in (1, 2)]
    failing = outcome(store.database.write(commits))
    later = outcome(store.database.write(put(3)))
    store.run()
    assert isinstance(failing[0], RuntimeError)
    assert "must not call commit" in str(failing[0])
    assert later == [3] if alone else isinstance(later[0], RuntimeError)
    assert store.seen_by_others() == ([3] if alone else [1])
    assert len(neighbours) in (0, 2)


def test_full_disk_refuses_the_whole_batch_and_the_next_one_works(store: Store) -> None:
    limit = store.engine.raw_connection()
    pages = limit.cursor().execute("PRAGMA page_count").fetchone()[0]
    limit.close()

    def restrict(connection: Any, _record: object, _proxy: object) -> None:
        connection.execute(f"PRAGMA max_page_count={pages + 4}")

    event.listen(store.engine, "checkout", restrict)
    first, small, big = (
        outcome(store.database.write(put(n, b"x" * size))) for n, size in ((0, 1), (1, 1), (2, 100_000))
    )
    store.run()
    assert first == [0]
    assert isinstance(small[0], StorageFull)
    assert isinstance(big[0], StorageFull)
    assert "make room" in str(big[0])
    later = outcome(store.database.write(put(3)))
    store.run()
    assert later == [3]
    assert store.seen_by_others() == [0, 3]
    assert store.fatal == []


def test_failing_commit_acknowledges_nobody(store: Store) -> None:
    def fail(connection: Connection) -> None:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
        error.sqlite_errorname = "SQLITE_IOERR_FSYNC"
        raise error

    event.listen(store.engine, "commit", fail)
    first = outcome(store.database.write(put(1)))
    queued = outcome(store.database.write(put(2)))
    store.run()
    assert isinstance(first[0], StorageFailed)
    assert isinstance(queued[0], StorageFailed)
    assert store.fatal == [first[0]]  # once
    assert store.seen_by_others() == []
    with pytest.raises(StorageFailed, match="nothing is tried again"):
        store.database.write(put(3))


def test_too_much_queued_is_refused_at_once(tmp_path: Path) -> None:
    store = Store(tmp_path / "q.db", max_queued=5)
    taken = [outcome(store.database.write(put(n))) for n in range(6)]  # one in commit, five waiting
    with pytest.raises(DatabaseBusy, match="5 writes are waiting"):
        store.database.write(put(6))
    reads = [outcome(store.database.read(lambda _: 1)) for _ in range(5)]
    with pytest.raises(DatabaseBusy, match="5 reads are waiting"):
        store.database.read(lambda _: 1)
    store.run()
    assert all(taken + reads)
    assert outcome(store.database.write(put(6))) == []
    store.run()
    assert store.seen_by_others() == list(range(7))
    store.engine.dispose()


def test_reads_see_commits_and_cannot_write(store: Store) -> None:
    store.database.write(put(1))
    store.run()
    count = outcome(store.database.read(lambda c: c.exec_driver_sql("SELECT count(*) FROM t").scalar_one()))
    wrong = outcome(store.database.read(put(2)))
    store.run()
    assert count == [1]
    assert isinstance(wrong[0], DatabaseUnavailable)
    after = outcome(store.database.write(put(3)))  # the pooled connection is not left unable to write
    store.run()
    assert (after, store.seen_by_others()) == ([3], [1, 3])


def test_close_finishes_what_was_taken_and_empties_the_log(store: Store) -> None:
    results = [outcome(store.database.write(put(n))) for n in range(20)]
    read = outcome(store.database.read(lambda _: "read"))
    closed = outcome(Deferred.fromCoroutine(store.database.close()))
    with pytest.raises(DatabaseBusy, match="closing"):
        store.database.write(put(99))
    assert closed == []
    store.run()
    assert closed == [None]
    assert results == [[n] for n in range(20)]
    assert read == ["read"]
    assert not store.path.with_name("store.db-wal").exists()
    again = outcome(Deferred.fromCoroutine(store.database.close()))
    assert again == [None]
    assert store.seen_by_others() == list(range(20))


class _Reactor:
    """Only what ThreadExecutor asks of a reactor; the test's thread is the reactor's."""

    def __init__(self) -> None:
        self.calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    def callFromThread(self, call: Callable[..., None], *args: Any) -> None:  # noqa: N802 - Twisted's name
        self.calls.put(lambda: call(*args))

    def until(self, done: Callable[[], bool]) -> None:
        while not done():
            self.calls.get(timeout=10)()


def test_the_same_in_threads(tmp_path: Path) -> None:
    reactor = _Reactor()
    engine = open_engine(f"sqlite:///{tmp_path / 'threads.db'}")
    transact(engine, lambda c: c.exec_driver_sql("CREATE TABLE t (n INTEGER PRIMARY KEY, body BLOB)"))
    fatal: list[BaseException] = []
    database = Database(
        engine,
        writer=ThreadExecutor(reactor, "writer"),
        reader=ThreadExecutor(reactor, "reader"),
        on_fatal=fatal.append,
    )
    results = [outcome(database.write(put(n % 400))) for n in range(500)]
    reactor.until(lambda: all(results))
    assert [r[0] for r in results[:400]] == list(range(400))
    assert all(isinstance(r[0], IntegrityError) for r in results[400:])
    total = outcome(database.read(lambda c: c.exec_driver_sql("SELECT count(*) FROM t").scalar_one()))
    reactor.until(lambda: bool(total))
    assert total == [400]
    closed = outcome(Deferred.fromCoroutine(database.close()))
    reactor.until(lambda: bool(closed))
    assert fatal == []
    with pytest.raises(DatabaseBusy):
        database.write(put(1))


KILLED = """
import sys
from twisted.internet import reactor
from runtime.database import Database, ThreadExecutor, open_engine, transact
engine = open_engine("sqlite:///" + sys.argv[1])
transact(engine, lambda c: c.exec_driver_sql("CREATE TABLE t (n INTEGER PRIMARY KEY, body BLOB)"))
writer, reader = ThreadExecutor(reactor, "w"), ThreadExecutor(reactor, "r")
database = Database(engine, writer=writer, reader=reader, on_fatal=print)
def put(n):
    def operation(connection):
        connection.exec_driver_sql("INSERT INTO t VALUES (?, ?)", (n, bytes(500)))
    def acknowledged(_):
        sys.stdout.write(f"{n}\\n"); sys.stdout.flush()
        put(n + 20)
    database.write(operation).addCallback(acknowledged)
for n in range(20):
    reactor.callWhenRunning(put, n)
reactor.run()
"""


@pytest.mark.parametrize("after_lines", [5, 200, 1500])
def test_kill_9_loses_nothing_acknowledged(tmp_path: Path, after_lines: int) -> None:
    """Promise 2 of the design: an acknowledgement means durable."""
    path = tmp_path / "killed.db"
    command = [sys.executable, "-c", KILLED, str(path)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    ) as process:
        assert process.stdout is not None
        acknowledged = [process.stdout.readline() for _ in range(after_lines)]
        process.send_signal(signal.SIGKILL)
        acknowledged += process.stdout.readlines()
    complete = {int(line) for line in acknowledged if line.endswith("\n")}
    assert len(complete) >= after_lines
    engine = open_engine(f"sqlite:///{path}")
    found = transact(engine, lambda c: set(c.exec_driver_sql("SELECT n FROM t").scalars()))
    engine.dispose()
    assert complete <= found


LOCKER = """
import sqlite3, sys, time
c = sqlite3.connect(sys.argv[1], isolation_level=None)
c.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
time.sleep(float(sys.argv[2]))
c.execute("COMMIT")
"""


@pytest.mark.parametrize(("held_s", "busy_timeout_s"), [(0.3, 5.0), (30.0, 0.3)])
def test_locked_by_another_process(tmp_path: Path, held_s: float, busy_timeout_s: float) -> None:
    """It waits for the lock; when that takes too long, the error says who to look for."""
    path = tmp_path / "locked.db"
    engine = open_engine(f"sqlite:///{path}", busy_timeout_s=busy_timeout_s)
    transact(engine, lambda c: c.exec_driver_sql("CREATE TABLE t (n INTEGER PRIMARY KEY, body BLOB)"))
    clock, fatal = Clock(), list[BaseException]()
    database = Database(
        engine, writer=ClockExecutor(clock), reader=ClockExecutor(clock), on_fatal=fatal.append
    )
    command = [sys.executable, "-c", LOCKER, str(path), str(held_s)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        began_s = time.monotonic()
        result = outcome(database.write(put(1)))
        clock.advance(0)
        waited_s = time.monotonic() - began_s
        process.kill()
    assert waited_s > 0.2
    if held_s < busy_timeout_s:
        assert result == [1]
    else:
        assert isinstance(result[0], DatabaseLocked)
        assert f"fuser {path}" in str(result[0])
        again = outcome(database.write(put(1)))
        clock.advance(0)
        assert again == [1]
    assert fatal == []
    engine.dispose()


def test_locked_while_opening(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("PRAGMA locking_mode=EXCLUSIVE")
    holder.execute("CREATE TABLE t (n)")
    with pytest.raises(DatabaseLocked, match="another process holds it"):
        open_engine(f"sqlite:///{path}", busy_timeout_s=0.1)
    holder.close()


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    path.write_bytes(b"these are my notes, kept safe\n" * 200)
    with pytest.raises(DatabaseCorrupt, match=r"notes\.db.*restore a backup"):
        open_engine(f"sqlite:///{path}")
    assert path.read_bytes().startswith(b"these are my notes")


def test_damage_found_later_ends_the_process(store: Store) -> None:
    for number in range(200):
        store.database.write(put(number, os.urandom(2000)))
    store.run()
    close_engine(store.engine)  # nothing is left in the log
    with store.path.open("r+b") as file:  # everything behind the first page
        file.seek(4096)
        file.write(os.urandom(store.path.stat().st_size - 4096))
    result = outcome(store.database.read(lambda c: c.exec_driver_sql("SELECT n, body FROM t").all()))
    store.run()
    assert isinstance(result[0], DatabaseCorrupt)
    assert store.fatal == result
    with pytest.raises(StorageFailed):
        store.database.write(put(1))


def test_directories_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailable, match="must exist and be writable"):
        open_engine(f"sqlite:///{tmp_path}/missing/x.db")
    with pytest.raises(DatabaseUnavailable, match="must exist and be writable"):
        open_engine("sqlite:////proc/x.db")  # read-only even for root


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere; /proc stands in for it above")
def test_read_only_directory(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(DatabaseUnavailable, match="must exist and be writable"):
        open_engine(f"sqlite:///{tmp_path}/x.db")
    tmp_path.chmod(0o700)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "no url", "oracul://x", ""])
def test_urls_that_cannot_be_used(url: str) -> None:
    with pytest.raises(DatabaseUnavailable, match="sqlite:////"):
        open_engine(url)


def test_transact_commits_or_changes_nothing(store: Store) -> None:
    assert transact(store.engine, put(1)) == 1
    assert store.seen_by_others() == [1]

    def fails(connection: Connection) -> None:
        put(2)(connection)
        raise KeyError

    with pytest.raises(KeyError):
        transact(store.engine, fails)
    with pytest.raises(IntegrityError):
        transact(store.engine, put(1))
    assert store.seen_by_others() == [1]


def test_transactions_take_the_write_lock_when_they_begin(store: Store) -> None:
    """Two that read and then write queue up, instead of one failing in the middle."""
    other = open_engine(f"sqlite:///{store.path}", busy_timeout_s=0.05)
    with store.engine.begin(), pytest.raises(DatabaseLocked):
        transact(other, lambda c: c.exec_driver_sql("SELECT 1"))
    other.dispose()


def test_errors_are_one_family() -> None:
    for kind in (
        StorageFull,
        StorageFailed,
        DatabaseBusy,
        DatabaseCorrupt,
        DatabaseLocked,
        DatabaseUnavailable,
    ):
        assert issubclass(kind, StorageError)
    assert issubclass(DatabaseCorrupt, StorageFailed)  # it ends the process as well


def test_foreign_keys_are_enforced(store: Store) -> None:
    def operation(connection: Connection) -> None:
        connection.execute(text("CREATE TABLE child (n INTEGER REFERENCES t (n))"))
        connection.execute(text("INSERT INTO child VALUES (77)"))

    with pytest.raises(IntegrityError):
        transact(store.engine, operation)
