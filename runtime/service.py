"""Running a daemon: from its start to its exit code.

:func:`run_daemon` owns the process. It starts the reactor, calls ``start(life)`` in it, and when that has
returned logs ``ready`` and tells systemd. From then on the daemon runs until its :class:`Life` ends: by
SIGTERM or SIGINT, or because a part of the daemon called ``life.fail``. Then the ``stop`` that ``start`` gave
back has ``STOP_TIMEOUT_S`` to bring everything to rest, and the reactor stops.

A second signal, or a ``stop`` that takes too long, cuts the orderly end short: nothing is lost by that, since
what was acknowledged is on disk, and the exit code says that it happened.

Exit codes: 0 asked to end and did; 1 could not start, failed, or was cut short; 2 wrong settings. What went
wrong at the start is one line on stderr for an operator; the traceback is logged at debug level, unless the
failure was not expected by anyone, when it is logged as an error.

systemd is spoken to as sd_notify(3) describes: READY=1, STOPPING=1, and four times per ``WATCHDOG_USEC``
WATCHDOG=1, but only after ``life.prove`` has come back: a daemon with a store hands in a write that is
committed to its real database. So a reactor that hangs, a disk that does not answer and a database that takes
nothing any more are noticed alike, and end in a restart by systemd. A proof that takes long is waited for and
never asked for twice at once.

The reactor's timers are made to run on monotonic time, whatever becomes of the wall clock.
"""

import contextlib
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from types import FrameType
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import CannotListenError
from twisted.python.failure import Failure

from config.errors import SettingsError
from runtime.clock import Clock, Handle, ReactorClock
from runtime.logs import event
from runtime.tasks import spawn

STOP_TIMEOUT_S = 10.0
"""How long the orderly end may take."""

PROOFS_AN_INTERVAL = 4
"""Proofs that are asked for in the time after which systemd gives a daemon up."""

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_SETTINGS = 2

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_LOG = logging.getLogger(__name__)

T = TypeVar("T")

Stop = Callable[[], Awaitable[None]]
"""Bring what was started to rest; called once, in the reactor's thread."""

Prove = Callable[[], Awaitable[object]]
"""Do once what the daemon is there for, in small; raises or never comes back if that cannot be done."""


class StartError(Exception):
    """A daemon cannot start, for a reason that its operator can understand and mend."""


class Life:
    """When a running daemon ends, and why. Reactor thread only."""

    def __init__(self) -> None:
        self.exit_code = EXIT_DONE
        self.ended: Deferred[str] = Deferred()
        """Fires once, with the reason."""
        self.prove: Prove | None = None
        """What must succeed before systemd hears that the daemon lives; ``start`` sets it."""

    def end(self, reason: str) -> None:
        """Ask for the orderly end; later reasons change nothing."""
        if not self.ended.called:
            self.ended.callback(reason)

    def fail(self, reason: str, cause: BaseException | None = None) -> None:
        """Ask for the end because the daemon cannot go on; the exit code will be 1."""
        self.exit_code = EXIT_FAILED
        event(_LOG, logging.ERROR, "failed", reason=reason, cause=cause)
        self.end(reason)


def run_daemon(
    name: str,
    start: Callable[[Life], Awaitable[Stop]],
    *,
    reactor: Any,
    environment: Mapping[str, str] = os.environ,
    stop_timeout_s: float = STOP_TIMEOUT_S,
) -> int:
    """Run the daemon ``name`` on ``reactor``, which must not be running yet; return its exit code.

    ``start`` may raise StartError, SettingsError, OSError, CannotListenError or anything else: the daemon
    then ends at once, and whatever it had begun is its own to clean up. Main thread only; signal handlers are
    put back afterwards.
    """
    # Twisted's timers run on the wall clock: set back by an hour, they would all stand still for an hour.
    reactor.seconds = time.monotonic
    running = _Running(name, start, reactor, Supervisor(environment), stop_timeout_s)
    with _signals(lambda number: reactor.callFromThread(running.signalled, number)):
        reactor.callWhenRunning(running.begin)
        reactor.run(installSignalHandlers=False)
    return running.life.exit_code


class _Running:
    """One daemon between its first and its last turn of the reactor."""

    def __init__(
        self,
        name: str,
        start: Callable[[Life], Awaitable[Stop]],
        reactor: Any,
        supervisor: "Supervisor",
        stop_timeout_s: float,
    ) -> None:
        self._name, self._start, self._reactor = name, start, reactor
        self._supervisor, self._stop_timeout_s = supervisor, stop_timeout_s
        self._clock = ReactorClock(reactor)
        self._stopping: Deferred[None] | None = None
        self._starting: Deferred[Stop] | None = None
        self.life = Life()

    def begin(self) -> None:
        Deferred.fromCoroutine(self._live()).addBoth(self._over)

    def signalled(self, number: int) -> None:
        """End on the first signal, at once on the second."""
        if not self.life.ended.called:
            self.life.end(signal.Signals(number).name)
            if self._starting is not None:
                self._starting.cancel()
        elif self._stopping is not None:
            self._stopping.cancel()

    async def _live(self) -> None:
        stop = await self._started()
        if stop is None:
            return
        event(_LOG, logging.INFO, "ready", daemon=self._name, pid=os.getpid())
        self._supervisor.ready(self._clock, self.life.prove)
        reason = await self.life.ended
        self._supervisor.stopping()
        event(_LOG, logging.INFO, "stopping", daemon=self._name, reason=reason)
        await self._stop(stop)

    async def _started(self) -> Stop | None:
        try:
            self._starting = Deferred.fromCoroutine(_coroutine(self._start(self.life)))
            return await self._starting
        except SettingsError as error:
            self._not_started(EXIT_SETTINGS, str(error))
        except (StartError, CannotListenError, OSError) as error:
            event(_LOG, logging.DEBUG, "start failed", cause=error)
            self._not_started(EXIT_FAILED, str(error))
        except CancelledError:
            self._not_started(EXIT_DONE, "told to stop before it was ready")
        except Exception as error:  # noqa: BLE001  # nobody foresaw it: the traceback is all there is to say
            event(_LOG, logging.ERROR, "start failed", cause=error)
            self._not_started(EXIT_FAILED, f"{type(error).__name__}: {error}")
        finally:
            self._starting = None
        return None

    def _not_started(self, exit_code: int, reason: str) -> None:
        self.life.exit_code = exit_code
        for line in reason.splitlines() or ["failed without saying why"]:
            sys.stderr.write(f"{self._name}: {line}\n")

    async def _stop(self, stop: Stop) -> None:
        late: Handle | None = None
        try:
            self._stopping = Deferred.fromCoroutine(_coroutine(stop()))
            late = self._clock.call_later(self._stop_timeout_s, self._stopping.cancel)
            await self._stopping
            event(_LOG, logging.INFO, "stopped", daemon=self._name)
        except CancelledError:
            self.life.exit_code = EXIT_FAILED
            event(_LOG, logging.ERROR, "stop cut short", daemon=self._name)
        except Exception as error:  # noqa: BLE001  # the process ends all the same, and says so
            self.life.exit_code = EXIT_FAILED
            event(_LOG, logging.ERROR, "stop failed", daemon=self._name, cause=error)
        finally:
            if late is not None:
                late.cancel()

    def _over(self, result: object) -> None:
        if isinstance(result, Failure):  # a fault in this module itself: still no silent success
            self.life.exit_code = EXIT_FAILED
            event(_LOG, logging.ERROR, "failed", cause=result.value)
        self._supervisor.close()
        self._reactor.stop()


async def _coroutine(awaitable: Awaitable[T]) -> T:
    return await awaitable


@contextlib.contextmanager
def _signals(handle: Callable[[int], object]) -> Iterator[None]:
    """Have ``handle`` called with SIGTERM and SIGINT, at any instruction of the main thread."""

    def handler(number: int, _frame: FrameType | None) -> None:
        handle(number)

    before = {number: signal.signal(number, handler) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


class Supervisor:
    """systemd's ear (sd_notify(3)): a datagram socket named by NOTIFY_SOCKET; without it, nothing happens."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):
            self._address = "\0" + self._address[1:]  # an abstract socket
        self._watchdog_s = _watchdog_s(environment) if self._address else None
        self._next: Handle | None = None
        self._proving = False

    def ready(self, clock: Clock, prove: Prove | None = None) -> None:
        """Say that the daemon serves, and from now on regularly, after each ``prove``, that it lives."""
        self._say(b"READY=1")
        if self._watchdog_s is not None:
            self._live(clock, self._watchdog_s / PROOFS_AN_INTERVAL, prove)

    def stopping(self) -> None:
        """Say that the daemon is on its way out."""
        self._say(b"STOPPING=1")

    def close(self) -> None:
        """Leave no timer behind."""
        if self._next is not None:
            self._next.cancel()

    def _live(self, clock: Clock, every_s: float, prove: Prove | None) -> None:
        self._next = clock.call_later(every_s, self._live, clock, every_s, prove)
        if prove is None:
            self._say(b"WATCHDOG=1")
        elif not self._proving:
            self._proving = True
            spawn(self._prove(prove), _not_proved)

    async def _prove(self, prove: Prove) -> None:
        try:
            await prove()
            self._say(b"WATCHDOG=1")
        finally:
            self._proving = False

    def _say(self, state: bytes) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.settimeout(0)
                sender.sendto(state, self._address)
        except OSError as error:
            event(_LOG, logging.WARNING, "systemd not reached", error=error)


def _not_proved(error: BaseException) -> None:
    event(_LOG, logging.WARNING, "watchdog-not-fed", cause=error)


def _watchdog_s(environment: Mapping[str, str]) -> float | None:
    """Return the watchdog's interval if it is meant for this process."""
    microseconds = environment.get("WATCHDOG_USEC", "")
    meant_for = environment.get("WATCHDOG_PID", "")
    if not microseconds.isdigit() or int(microseconds) == 0 or meant_for not in {"", str(os.getpid())}:
        return None
    return int(microseconds) / 1_000_000
