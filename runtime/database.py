"""One writer and group commit: the machinery under every store.

Stores hand in *operations*: functions that take a SQLAlchemy connection, run SQL and return plain values.
:meth:`Database.write` queues one. The writer takes all that is queued (at most ``max_batch``), runs them in
the order they were written inside one transaction, and commits; whatever arrives meanwhile is the next
batch. There is no timer: an idle database commits at once, a busy one commits in large groups, which is
where the speed is. :meth:`Database.read` runs on another thread and sees what was committed when it began.

Promised: the Deferred of a write fires only after the COMMIT that contains it has returned, so it may be
acknowledged. An operation that raises is undone alone (each has a savepoint) and fails alone. If the
transaction itself fails, every operation in it fails and none is acknowledged. A full disk or a lock is an
error that refuses work (:mod:`runtime.storage_errors`). A disk input/output error or a damaged file calls
``on_fatal``, which has to end the process, and refuses everything from then on: never retried.

Work that many callers bring piece by piece goes through a :class:`Lane`: all pieces that wait become one
operation, so what a commit costs does not grow with the number of callers. If that operation raises, each
piece is tried again as an operation of its own, and fails alone.

Asked of operations: no effect outside the connection, no ``commit``, ``rollback`` or ``begin``, and no harm
in being run twice: after a failure nobody but the caller knows whether to write again.

Not promised: that a write is remembered before its Deferred fires. Whoever crashes before then starts over.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from prometheus_client import CollectorRegistry, Gauge, Histogram
from sqlalchemy import Connection, Engine
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from runtime import crash, transactions
from runtime.executors import ClockExecutor, Executor, ThreadExecutor
from runtime.storage_errors import (
    DatabaseBusy,
    DatabaseCorrupt,
    DatabaseLocked,
    DatabaseUnavailable,
    StorageError,
    StorageFailed,
    StorageFull,
)
from runtime.transactions import open_engine, transact

__all__ = [
    "ClockExecutor",
    "Database",
    "DatabaseBusy",
    "DatabaseCorrupt",
    "DatabaseLocked",
    "DatabaseUnavailable",
    "Executor",
    "StorageError",
    "StorageFailed",
    "StorageFull",
    "ThreadExecutor",
    "open_engine",
    "transact",
]

MAX_BATCH = 2_000
"""Operations in one commit."""
MAX_QUEUED = 20_000
"""Operations that wait for a commit, and likewise for a read, before more are refused."""

_T = TypeVar("_T")
_Piece = TypeVar("_Piece")
_Answer = TypeVar("_Answer")
_Whole = TypeVar("_Whole")
_Operation = Callable[[Connection], Any]


class _Single:
    """One operation that waits, and who waits for it."""

    __slots__ = ("_operation", "_result")

    def __init__(self, operation: _Operation, result: "Deferred[Any]") -> None:
        self._operation, self._result = operation, result

    def close(self) -> _Operation:
        """Return what to run; nothing is added from now on."""
        return self._operation

    def committed(self, value: Any) -> None:
        self._result.callback(value)

    def failed(self, error: BaseException) -> None:
        self._result.errback(error)

    def undone(self, error: BaseException) -> "list[_Job]":
        """Take note that the operation raised; returns what to try instead."""
        self.failed(error)
        return []


class _Gathered(Generic[_Piece, _Answer, _Whole]):
    """The pieces of a lane that wait for the next commit."""

    __slots__ = ("_lane", "pieces", "results")

    def __init__(self, lane: "Lane[_Piece, _Answer, _Whole]") -> None:
        self._lane = lane
        self.pieces: list[_Piece] = []
        self.results: list[Deferred[_Answer]] = []

    def close(self) -> _Operation:
        self._lane.close(self)
        operation, pieces = self._lane.operation, self.pieces
        return lambda connection: operation(connection, pieces)

    def committed(self, value: tuple[list[_Answer], _Whole]) -> None:
        answers, whole = value
        self._lane.after(whole)
        for result, answer in zip(self.results, answers, strict=True):
            result.callback(answer)

    def failed(self, error: BaseException) -> None:
        for result in self.results:
            result.errback(error)

    def undone(self, error: BaseException) -> "list[_Job]":
        if len(self.pieces) == 1:
            self.failed(error)
            return []
        alone: list[_Job] = []
        for piece, result in zip(self.pieces, self.results, strict=True):
            job = _Gathered(self._lane)
            job.pieces, job.results = [piece], [result]
            alone.append(job)
        return alone


_Job = _Single | _Gathered[Any, Any, Any]
_Batch = list[_Job]


class _Metrics:
    """What is measured about one database; registered only when a registry is given."""

    def __init__(self, registry: CollectorRegistry | None) -> None:
        self.commit_seconds = Histogram(
            "wasl_database_commit_seconds",
            "Time of one group commit, from BEGIN to the end of COMMIT",
            buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5, 10),
            registry=registry,
        )
        self.batch_operations = Histogram(
            "wasl_database_batch_operations",
            "Operations in one group commit",
            buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000),
            registry=registry,
        )
        self.queued = Gauge(
            "wasl_database_queued_operations", "Operations that wait for the next commit", registry=registry
        )


class Lane(Generic[_Piece, _Answer, _Whole]):
    """Pieces of one kind of work, gathered from many callers into one operation a commit.

    ``operation`` gets all pieces that wait, in the order in which they came, and returns an answer for each
    and something about the whole. ``after`` gets that once, after the COMMIT and before the answers go out.
    """

    def __init__(
        self,
        database: "Database",
        operation: Callable[[Connection, list[_Piece]], tuple[list[_Answer], _Whole]],
        after: Callable[[_Whole], object],
    ) -> None:
        self.operation, self.after = operation, after
        self._database = database
        self._open: _Gathered[_Piece, _Answer, _Whole] | None = None

    def write(self, piece: _Piece) -> "Deferred[_Answer]":
        """Add a piece to the next commit; fires, fails and raises as :meth:`Database.write` does."""
        result: Deferred[_Answer] = Deferred()
        if self._open is None:
            job = self._open = _Gathered(self)
            job.pieces.append(piece)
            job.results.append(result)
            try:
                self._database.queue(job)
            except StorageError:
                self._open = None
                raise
        else:
            self._open.pieces.append(piece)
            self._open.results.append(result)
        return result

    def close(self, job: "_Gathered[_Piece, _Answer, _Whole]") -> None:
        """Gather no more into ``job``: it goes to the database."""
        if self._open is job:
            self._open = None


class Database:
    """Group commit over one engine; lives in the reactor's thread, its SQL runs in the two executors.

    It owns the executors: :meth:`close` stops them. ``on_fatal`` is called in the reactor's thread, once.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        writer: Executor,
        reader: Executor,
        on_fatal: Callable[[BaseException], None],
        max_batch: int = MAX_BATCH,
        max_queued: int = MAX_QUEUED,
        registry: CollectorRegistry | None = None,
    ) -> None:
        self._engine = engine
        self._kept = transactions.KeptConnection(engine)
        self._writer = writer
        self._reader = reader
        self._on_fatal = on_fatal
        self._max_batch = max_batch
        self._max_queued = max_queued
        self._queue: deque[_Job] = deque()
        self._committing = False
        self._reading = 0
        self._failure: StorageFailed | None = None
        self._closing = False
        self._closed = False
        self._idle: list[Deferred[None]] = []
        self._metrics = _Metrics(registry)
        self._metrics.queued.set_function(self._queue.__len__)

    def write(self, operation: Callable[[Connection], _T]) -> "Deferred[_T]":
        """Run ``operation`` in the next group commit; fires with what it returned, after the COMMIT.

        Fails with what the operation raised, or with a StorageError if the transaction failed. Raises
        DatabaseBusy at once when ``max_queued`` are waiting or the database is closing, StorageFailed after a
        fatal error.
        """
        result: Deferred[_T] = Deferred()
        self.queue(_Single(operation, result))
        return result

    def queue(self, job: _Job) -> None:
        """Queue a job for the next group commit; raises as :meth:`write` does."""
        self._refuse_if_over(len(self._queue), "writes")
        self._queue.append(job)
        if not self._committing:
            self._commit_next()

    def read(self, operation: Callable[[Connection], _T]) -> "Deferred[_T]":
        """Run ``operation`` in a transaction of its own that cannot write, on the reading executor.

        Fails and raises as :meth:`write` does.
        """
        self._refuse_if_over(self._reading, "reads")
        self._reading += 1
        return self._reader.run(lambda: transactions.read(self._engine, operation)).addBoth(self._read_done)

    @property
    def closing(self) -> bool:
        """Whether new work is refused from now on, because it closes."""
        return self._closing

    async def close(self) -> None:
        """Refuse new work, finish what was taken, empty the log, stop the executors; may be called twice."""
        self._closing = True
        if self._committing or self._reading:
            idle: Deferred[None] = Deferred()
            self._idle.append(idle)
            await idle
        if not self._closed:
            self._closed = True
            if self._failure is None:
                await self._writer.run(self._close_engine)
            self._writer.stop()
            self._reader.stop()

    def _close_engine(self) -> None:
        self._kept.close()
        transactions.close_engine(self._engine)

    def _refuse_if_over(self, waiting: int, what: str) -> None:
        if self._failure is not None:
            raise StorageFailed(f"the database failed before, nothing is tried again: {self._failure}")
        if self._closing:
            raise DatabaseBusy("the database is closing; it takes no more work")
        if waiting >= self._max_queued:
            raise DatabaseBusy(f"{waiting} {what} are waiting (at most {self._max_queued}); try again later")

    def _commit_next(self) -> None:
        """Hand the next batch to the writer; there is one, and no commit is running."""
        self._committing = True
        size = min(len(self._queue), self._max_batch)
        batch = [self._queue.popleft() for _ in range(size)]
        operations = [job.close() for job in batch]
        self._metrics.batch_operations.observe(size)
        outcomes = self._writer.run(lambda: self._commit(operations))
        outcomes.addCallbacks(
            self._committed, self._batch_failed, callbackArgs=(batch,), errbackArgs=(batch,)
        )
        outcomes.addErrback(self._fatal)

    def _commit(self, operations: list[_Operation]) -> list[transactions.Outcome]:
        """Run in the writer: one transaction around all operations."""
        began_s = time.perf_counter()
        outcomes = transactions.run_batch(self._engine, operations, self._kept)
        self._metrics.commit_seconds.observe(time.perf_counter() - began_s)
        return outcomes

    def _committed(self, outcomes: list[transactions.Outcome], batch: _Batch) -> None:
        crash.reached("database-committed")
        self._continue()  # the writer works on the next batch while this one's waiters run
        for job, (succeeded, value) in zip(batch, outcomes, strict=True):
            if succeeded:
                job.committed(value)
            else:
                self._try_alone(job.undone(value))
        self._tell_idle()

    def _try_alone(self, jobs: list[_Job]) -> None:
        for job in jobs:
            if self._failure is not None:
                job.failed(self._failure)
            else:
                self._queue.append(job)
        if self._queue and not self._committing:
            self._commit_next()

    def _batch_failed(self, failure: Failure, batch: _Batch) -> None:
        if isinstance(failure.value, StorageFailed):
            self._fail_for_good(failure.value)
        self._continue()
        assert failure.value is not None
        for job in batch:
            job.failed(failure.value)
        self._tell_idle()

    def _continue(self) -> None:
        self._committing = False
        if self._queue:
            self._commit_next()

    def _read_done(self, outcome: Any) -> Any:
        self._reading -= 1
        if isinstance(outcome, Failure) and isinstance(outcome.value, StorageFailed):
            self._fail_for_good(outcome.value)
        self._tell_idle()
        return outcome

    def _tell_idle(self) -> None:
        if not self._committing and not self._reading:
            waiting, self._idle = self._idle, []
            for idle in waiting:
                idle.callback(None)

    def _fail_for_good(self, failure: StorageFailed) -> None:
        """Refuse everything from now on and ask for the end of the process, once."""
        if self._failure is None:
            self._failure = failure
            refused, self._queue = self._queue, deque()
            for job in refused:
                job.failed(failure)
            self._on_fatal(failure)

    def _fatal(self, failure: Failure) -> None:
        """Answer an error of this module itself: waiters are lost, so the process must not go on."""
        assert failure.value is not None
        self._on_fatal(failure.value)
