"""One run of one process: cut off from the clock and the disk when it crashes.

Every call that the process is waiting for comes through its :class:`Life`, so :meth:`Life.end` is a crash: no
timer fires any more, no work that was queued is done, no result is delivered. What had been committed stays,
and nothing else. The objects of a dead process are kept until the world ends, since collecting a coroutine
runs its ``finally`` blocks, which no crash does.

A :class:`Disk` is the executor of a process: each piece of work takes some time before it is done and some
before its result is known, so a crash can fall before a commit, or between a commit and its
acknowledgement.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Final, TypeVar, cast

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock as TaskClock

from runtime.executors import ClockExecutor
from runtime.storage_errors import DatabaseLocked, StorageError, StorageFull

_T = TypeVar("_T")
_FAULTS: Final = (
    lambda: StorageFull("simulated: the disk is full"),
    lambda: DatabaseLocked("simulated: somebody holds the lock"),
)


class Died(BaseException):
    """Unwinds the stack of a process that has just crashed; nothing that it still does has an effect."""


class Life:
    """The time of one process, in the shape of a ``task.Clock``, until it ends."""

    running: Life | None = None
    """Whose code is running now."""

    def __init__(self, clock: TaskClock, name: str) -> None:
        self._clock = clock
        self.name = name
        self.alive = True
        self.kept: list[object] = []
        """What must not be collected before the world ends."""

    def seconds(self) -> float:
        """Return the simulated time."""
        return float(self._clock.seconds())

    def callLater(self, delay_s: float, call: Callable[..., object], *args: object) -> Any:  # noqa: N802 - Twisted's name
        """Call later, if this process still lives then."""
        return self._clock.callLater(delay_s, self.enter, call, *args)

    def enter(self, call: Callable[..., object], *args: object) -> None:
        """Run code of this process, or keep it unrun if the process is dead."""
        if not self.alive:
            self.kept.append((call, args))
            return
        before, Life.running = Life.running, self
        try:
            call(*args)
        except Died:
            pass
        finally:
            Life.running = before

    def end(self) -> None:
        """Crash."""
        self.alive = False


class Pace:
    """How long a disk takes. ``slowness`` multiplies; ``fault_rate`` of all work fails as a whole."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._typical_s = random.choice((0.0, 0.0005, 0.002, 0.01, 0.05))
        self.slowness = 1.0
        self.fault_rate = 0.0

    def wait_s(self) -> float:
        """Return how long the next step takes."""
        return self.slowness * self._typical_s * self._random.expovariate(1.0) if self._typical_s else 0.0

    def fault(self) -> StorageError | None:
        """Return the error with which the next piece of work fails, if it does."""
        if self.fault_rate and self._random.random() < self.fault_rate:
            return self._random.choice(_FAULTS)()
        return None


class Disk(ClockExecutor):
    """Runs the blocking work of one process; ``done`` is called before the result of each piece is known."""

    def __init__(self, life: Life, pace: Pace, done: Callable[[], object] = lambda: None) -> None:
        super().__init__(cast("Any", _Paced(life, pace)))
        self._life = life
        self._pace = pace
        self._done = done

    def run(self, work: Callable[[], _T]) -> Deferred[_T]:
        """Queue ``work``; it is never done if the process dies before."""

        def with_faults() -> _T:
            fault = self._pace.fault()
            if fault is not None:
                raise fault
            value = work()
            self._done()
            return value

        result = super().run(with_faults)
        if not self._life.alive:
            self._life.kept.append(result)
        return result


class _Paced:
    """A clock that adds the disk's time to every wait."""

    def __init__(self, life: Life, pace: Pace) -> None:
        self._life = life
        self._pace = pace

    def callLater(self, delay_s: float, call: Callable[..., object], *args: object) -> Any:  # noqa: N802 - Twisted's name
        return self._life.callLater(delay_s + self._pace.wait_s(), call, *args)
