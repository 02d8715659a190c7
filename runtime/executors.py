"""Where blocking work runs: a thread of its own in production, a simulated clock in tests.

An executor runs the functions it is given one at a time, in the order given, and answers with Deferreds that
fire in the reactor's thread. What uses it cannot tell the two kinds apart, so the same code is run in
production and in the deterministic simulation. :class:`FailStop` is put around either one where files are
synced: a failed disk ends the process, and nothing is run behind it.

Not promised: a bound on how much is queued. Whoever queues keeps count.
"""

import queue
import threading
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from runtime.storage_errors import StorageFailed

_T = TypeVar("_T")

STOP_TIMEOUT_S = 60.0
"""How long :meth:`ThreadExecutor.stop` waits for what was queued before."""


class Executor(Protocol):
    """Something that runs blocking functions one by one, in order."""

    def run(self, work: Callable[[], _T]) -> "Deferred[_T]":
        """Run ``work`` after all given before; fires in the reactor's thread with what it returned."""

    def stop(self) -> None:
        """Take no more work; called in the reactor's thread, may be called twice."""


class ThreadExecutor:
    """One daemon thread; results come back by ``reactor.callFromThread``.

    The thread starts at once and ends by :meth:`stop`, which lets it finish what was queued before.
    """

    def __init__(self, reactor: Any, name: str) -> None:
        self._reactor = reactor
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._stopped = False
        self._thread = threading.Thread(target=self._loop, name=name, daemon=True)
        self._thread.start()

    def run(self, work: Callable[[], _T]) -> "Deferred[_T]":
        """Queue ``work``; raises RuntimeError after :meth:`stop`."""
        if self._stopped:
            raise RuntimeError(f"the executor {self._thread.name} is stopped")
        result: Deferred[_T] = Deferred()

        def in_thread() -> None:
            try:
                value = work()
            except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits, whatever it is
                self._reactor.callFromThread(result.errback, error)
            else:
                self._reactor.callFromThread(result.callback, value)

        self._work.put(in_thread)
        return result

    def stop(self) -> None:
        """Let the thread finish what is queued, then end it; blocks for that long."""
        if not self._stopped:
            self._stopped = True
            self._work.put(None)
            self._thread.join(STOP_TIMEOUT_S)

    def _loop(self) -> None:
        while (work := self._work.get()) is not None:
            work()


class FailStop:
    """An executor that a failed disk stops: nothing is run after a StorageFailed, what was queued included.

    After a failed fsync the kernel may have dropped the pages that a second one would report as safe. So
    everything behind it fails likewise, and ``on_fatal`` is told, once, in the reactor's thread: it has to
    end the process.
    """

    def __init__(self, executor: Executor, on_fatal: Callable[[BaseException], object]) -> None:
        self._executor = executor
        self._on_fatal = on_fatal
        self._failure: StorageFailed | None = None
        self._told = False

    def run(self, work: Callable[[], _T]) -> "Deferred[_T]":
        """Run ``work`` after all given before, unless the disk has failed by then."""

        def unless_failed() -> _T:
            if self._failure is not None:
                raise StorageFailed(f"not done after: {self._failure}")
            try:
                return work()
            except StorageFailed as failure:
                self._failure = failure
                raise

        return self._executor.run(unless_failed).addErrback(self._failed)

    def stop(self) -> None:
        """Stop the executor."""
        self._executor.stop()

    def _failed(self, failure: Failure) -> Failure:
        if isinstance(failure.value, StorageFailed) and not self._told:
            self._told = True
            self._on_fatal(failure.value)
        return failure


class ClockExecutor:
    """Runs each function ``latency_s`` after the one before, on a Twisted test clock, in the calling thread.

    The function runs in one timer and its result is delivered in the next one, so a simulated crash
    (:meth:`stop`) can fall between a commit and its acknowledgement as well as before the commit.
    """

    def __init__(self, clock: Clock, latency_s: float = 0.0) -> None:
        self._clock = clock
        self._latency_s = latency_s
        self._queue: list[Callable[[], None]] = []
        self._timer: Any = None
        self._stopped = False

    def run(self, work: Callable[[], _T]) -> "Deferred[_T]":
        """Queue ``work``; raises RuntimeError after :meth:`stop`."""
        if self._stopped:
            raise RuntimeError("the simulated executor is stopped")
        result: Deferred[_T] = Deferred()

        def on_clock() -> None:
            try:
                value = work()
            except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits, whatever it is
                self._timer = self._clock.callLater(0, self._deliver, result.errback, error)
            else:
                self._timer = self._clock.callLater(0, self._deliver, result.callback, value)

        self._queue.append(on_clock)
        if self._timer is None:
            self._start()
        return result

    def stop(self) -> None:
        """Drop what has not run and what has not been delivered, as a crash does."""
        self._stopped = True
        self._queue.clear()
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _start(self) -> None:
        self._timer = self._clock.callLater(self._latency_s, self._queue.pop(0))

    def _deliver(self, fire: Callable[[Any], None], value: object) -> None:
        self._timer = None
        if self._queue:
            self._start()
        fire(value)
