"""Time, as a parameter.

Everything that asks what time it is, or wants to be called later, is given a :class:`Clock` and asks that.
In production it is a :class:`ReactorClock`: wall time from the system, timers from Twisted's reactor. In a
simulation it is a :class:`SimulatedClock` over ``twisted.internet.task.Clock``: nothing moves until the test
moves it, and the wall clock can be set wrong by any amount without a timer noticing.

Two kinds of time are kept apart. *Wall time* (``now_ms``) is what goes into messages and tables and is
compared with other machines; it may jump. *Monotonic time* (``monotonic_s``) measures waiting and never goes
back; its zero means nothing.

Not promised: that ``call_later`` is punctual. A busy reactor calls late, never early.
"""

import logging
import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVarTuple

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock as TaskClock

_Args = TypeVarTuple("_Args")

_LOG = logging.getLogger(__name__)


class Handle(Protocol):
    """A call that was asked for and can be called off."""

    def cancel(self) -> None:
        """Call it off; does nothing when it has happened or was called off before."""


class Clock(Protocol):
    """Where time comes from: wall time, monotonic time, and timers."""

    def now_ms(self) -> int:
        """Return the wall time in milliseconds since 1970-01-01 UTC; it may jump either way."""

    def monotonic_s(self) -> float:
        """Return seconds since an arbitrary moment; it never goes back."""

    def call_later(self, delay_s: float, call: Callable[[*_Args], object], *args: *_Args) -> Handle:
        """Call ``call(*args)`` once, ``delay_s`` seconds (0 or more) from now, in the reactor's thread."""

    def soon(self, call: Callable[[], object]) -> None:
        """Call ``call()`` when what is being done now is done; a thousand callers cost one timer."""


class _Soon:
    """What :meth:`Clock.soon` has been given, and one timer for all of it."""

    def __init__(self, call_later: Callable[[float, Callable[[], None]], object]) -> None:
        self._call_later = call_later
        self._calls: list[Callable[[], object]] = []

    def __call__(self, call: Callable[[], object]) -> None:
        if not self._calls:
            self._call_later(0, self._run)
        self._calls.append(call)

    def _run(self) -> None:
        calls, self._calls = self._calls, []
        for call in calls:
            try:
                call()
            except Exception:  # noqa: BLE001 - one caller's error must not cost the others their turn
                _LOG.exception("a call at the end of a turn failed")


class ReactorClock:
    """The production clock: the system's time, and timers of the reactor that is passed in."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self.soon = _Soon(reactor.callLater)

    def now_ms(self) -> int:
        """Return the system's wall time in UTC milliseconds."""
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        """Return the system's monotonic time in seconds."""
        return time.monotonic()

    def call_later(self, delay_s: float, call: Callable[[*_Args], object], *args: *_Args) -> Handle:
        """Call ``call(*args)`` on the reactor ``delay_s`` seconds from now."""
        return _Timer(self._reactor.callLater(delay_s, call, *args))


class SimulatedClock:
    """A clock over ``task.Clock``, for tests: wall time is ``epoch_ms`` + what passed + ``skew_ms``.

    Several of them may share one ``task.Clock``: each simulated machine then has a wall clock of its own that
    can be wrong, while time passes for all of them at once.
    """

    def __init__(self, task_clock: TaskClock, epoch_ms: int) -> None:
        self._task_clock = task_clock
        self._epoch_ms = epoch_ms
        self.soon = _Soon(task_clock.callLater)
        self.skew_ms = 0
        """How far this machine's wall clock is ahead of the truth (negative: behind); set at any time."""
        self.slept_s = 0.0
        """What passed besides what was advanced, as when a machine sleeps: no timer noticed."""

    def now_ms(self) -> int:
        """Return this machine's idea of the wall time, skew included."""
        return self._epoch_ms + round(self.monotonic_s() * 1000) + self.skew_ms

    def monotonic_s(self) -> float:
        """Return the seconds passed so far; skew has no part in it."""
        return float(self._task_clock.seconds()) + self.slept_s

    def call_later(self, delay_s: float, call: Callable[[*_Args], object], *args: *_Args) -> Handle:
        """Call ``call(*args)`` when the task clock has been advanced by ``delay_s`` seconds."""
        return _Timer(self._task_clock.callLater(delay_s, call, *args))


class _Timer:
    """Twisted's delayed call, with a ``cancel`` that may come too late or twice."""

    __slots__ = ("_call",)

    def __init__(self, call: Any) -> None:
        self._call = call

    def cancel(self) -> None:
        if self._call.active():
            self._call.cancel()


async def sleep(clock: Clock, seconds: float) -> None:
    """Return after ``seconds`` on ``clock``; cancelling the Deferred around it calls the timer off."""
    timer: Handle | None = None

    def call_off(_: "Deferred[None]") -> None:
        if timer is not None:
            timer.cancel()

    over: Deferred[None] = Deferred(call_off)
    timer = clock.call_later(seconds, over.callback, None)
    await over
