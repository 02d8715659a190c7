"""One schedule from beginning to end: everything that a seed decides, and the rule that ends it."""

from __future__ import annotations

import logging
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from random import Random
from traceback import walk_stack
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock as TaskClock
from twisted.logger import globalLogPublisher

from hub.files.upload import PART, SEALED
from hub.home import ATTACHMENTS
from hub.sweeper import Sweeper
from runtime import crash
from tests.simulation.applications import Application
from tests.simulation.faults import Faults
from tests.simulation.invariant import Invariant
from tests.simulation.lives import Died, Life
from tests.simulation.machines import ATTACHMENTS_KEPT_S, Machine, Machines
from tests.simulation.pipes import Network, Weather
from tests.simulation.trace import Broken, Trace

STEPS: Final = 400_000
"""More steps than that mean that something goes round in circles."""
REST_S: Final = 1_500.0
"""With all faults gone, everything must be final after so long."""
BUSY_S: Final = 0.3
"""How long a busy moment lasts, on average."""
SETTLE_S: Final = 5.0
"""By then every process is back, and what was being put is put."""
SWEEPS: Final = 6
_LOOK_S: Final = 1.0
_DAY_MS: Final = 86_400_000
_FIELDS: Final = "wasl_fields"
_ID: Final = re.compile(r"[0-9a-f]{32}")
_LOGGERS: Final = ("hub", "nodes", "runtime", "tests.simulation")
_EXPECTED_ERRORS: Final = frozenset({"intake-failed"})
_UNEXPECTED_WARNINGS: Final = frozenset({"protocol-fault", "link-broken", "delivery-rejected"})
_UNEXPECTED_REFUSALS: Final = frozenset({"file-lost", "bad-attachment", "id-conflict"})
_EXPECTED_ALARMS: Final = frozenset({"clock", "hub-refuses"})


@dataclass(frozen=True)
class Played:
    """What happened in a schedule in which every promise was kept."""

    seed: int
    steps: int
    simulated_s: float
    fingerprint: str
    counts: Counter[str]


class _Clock(TaskClock):
    """Twisted's, which spends a tenth of a schedule on asking calls when they are due.

    Nobody here puts off a call that waits already, so the answer is an attribute.
    """

    def _sortCalls(self) -> None:  # noqa: N802 - Twisted's name
        self.calls.sort(key=attrgetter("time"))


class World:
    """All machines, for one seed; the first ``nodes`` of them, if that is given."""

    def __init__(self, machines: Machines, seed: int, nodes: int | None = None) -> None:
        self.seed = seed
        self.clock = _Clock()
        self.trace = Trace(self.clock.seconds)
        self.lives: list[Life] = []
        self.broken: str | None = None
        self.armed: dict[str, int] = {}
        self.steps = 0
        self._busy_s = [0.0]
        self._random = Random(seed)
        count = self._random.choice((2, 2, 3, 4)) if nodes is None else nodes
        self.machines = machines = Machines(machines.hub, machines.nodes[:count])
        self.facilities = [node.name for node in machines.nodes]
        self.network = Network(self.clock, Weather(self._chance("weather")), self._chance("network"))
        for machine in machines.all:
            machine.install(self, self._chance(machine.name))
        self.invariant = Invariant(machines, self.trace)
        self.applications = [
            Application(self, node, self._chance(f"{node.name}'s programs")) for node in machines.nodes
        ]
        self.faults = Faults(self, self._chance("faults"))

    def _chance(self, name: str) -> Random:
        return Random(f"{self.seed} {name}")

    # ── told by the parts ──────────────────────────────────────────────────────────────

    def fail(self, text: str) -> None:
        """Take note of the first promise that was not kept; the schedule ends."""
        if self.broken is None:
            self.broken = text
            self.trace.note("world", f"BROKEN: {text}")

    def written(self, machine: Machine) -> None:
        """Check everything: ``machine`` has committed something."""
        self.steps += 1
        with self._recorded():
            self.invariant.after(machine)

    @contextmanager
    def _recorded(self) -> Iterator[None]:
        try:
            yield
        except Broken as broken:
            self.fail(str(broken))

    def reached(self, place: str) -> None:
        """Kill the process whose code has come to an armed crash point."""
        if place not in self.armed or Life.running is None:
            return
        self.armed[place] -= 1
        if self.armed[place] < 0:
            del self.armed[place]
            name = Life.running.name
            next(machine for machine in self.machines.all if machine.name == name).crash(f"at {place}")
            # What waits for this code must not be collected: see ``lives``.
            Life.running.kept += [frame for frame, _ in walk_stack(None)]
            raise Died

    def moment_s(self, random: Random, within_s: float) -> float:
        """Return when something is to happen: rather in a busy moment, since faults matter most then."""
        if random.random() < 0.7:
            return min(within_s, random.choice(self._busy_s) + random.expovariate(1 / BUSY_S))
        return random.uniform(0, within_s)

    # ── the schedule ───────────────────────────────────────────────────────────────────

    def play(self) -> Played:
        """Play it; raises :class:`Broken` with the seed and the log."""
        try:
            with self._hooked():
                self._play()
        finally:
            for machine in self.machines.all:
                machine.stop()
            self.invariant.close()
        return Played(
            self.seed, self.steps, self.clock.seconds(), self.trace.fingerprint(), self.trace.counts
        )

    def _play(self) -> None:
        length_s = self._random.choice((1.0, 2.0, 2.0, 2.0, 3.0, 3.0, 5.0, 5.0, 12.0, 30.0))
        self._busy_s = [self._random.uniform(0, length_s) for _ in range(self._random.randint(1, 3))]
        most = self._random.choice((2, 4, 10))
        for machine in self.machines.all:
            self.clock.callLater(self._random.choice((0.0, self._random.uniform(0, 3))), machine.start)
        for application in self.applications:
            application.begin(self._random.randint(0, most), length_s)
        self.faults.plan(length_s)
        self._advance(length_s)
        self.trace.note("world", "all faults end")
        self.faults.end()
        for application in self.applications:
            application.everything = True
        self._come_to_rest()
        with self._recorded():
            self.invariant.at_rest()
        self._check_attachments()
        self._raise_if_broken()

    def _come_to_rest(self) -> None:
        until_s = self.clock.seconds() + REST_S
        self._advance(self.clock.seconds() + SETTLE_S)
        while unfinished := self.invariant.unfinished():
            if self.clock.seconds() > until_s:
                self.fail("not at rest: " + "; ".join(unfinished))
            self._advance(self.clock.seconds() + _LOOK_S)
            for node in self.machines.nodes:
                if node.up:
                    node.life.enter(node.uplink.reconnect_soon)

    def _check_attachments(self) -> None:
        """Let the hub's retention pass, and look whether any attachment is left."""
        if not self.invariant.with_attachments:
            return
        hub = self.machines.hub
        while not hub.up:
            self._advance(self.clock.seconds() + 1)
        # What is being sent again while the clock leaps is young still: a node whose ACCEPTED was lost
        # uploads once more what was delivered long ago. After some rounds nothing is under way.
        left: list[Path] = []
        for _ in range(SWEEPS):
            left = self._sweep_attachments()
            if not left:
                return
        self.fail(f"attachments are left at the hub: {left}")

    def _sweep_attachments(self) -> list[Path]:
        """Let the time pass for which the hub keeps attachments, and let it sweep; return what is left."""
        hub = self.machines.hub
        # A file that was not touched before a crash has the time of the real clock.
        real_ms = max(0, time.time_ns() // 1_000_000 - hub.clock.now_ms())
        hub.clock.slept_s += (real_ms + _DAY_MS) / 1000 + ATTACHMENTS_KEPT_S
        done: list[Any] = []
        hub.life.enter(lambda: Deferred.fromCoroutine(Sweeper(hub.core).sweep_files()).addBoth(done.append))
        while not done:
            self._advance(self.clock.seconds() + 0.5)
        if done[0] is not None:
            self.fail(f"the hub cannot sweep its attachments: {done[0]}")
        return [path for path in (hub.home / ATTACHMENTS).rglob("*") if path.suffix in (PART, SEALED)]

    def _advance(self, until_s: float) -> None:
        clock = self.clock
        while clock.calls and clock.calls[0].getTime() <= until_s:
            self.steps += 1
            if self.steps > STEPS:
                self.fail(f"more than {STEPS} steps")
            clock.advance(max(0.0, clock.calls[0].getTime() - clock.seconds()))
            self._raise_if_broken()
        self._raise_if_broken()
        clock.advance(max(0.0, until_s - clock.seconds()))

    def _raise_if_broken(self) -> None:
        if self.broken is not None:
            raise Broken(
                f"{self.broken}\n{self.trace.tail()}\nagain: python -m tests.simulation --seed {self.seed}"
            )

    # ── what the code says while it runs ───────────────────────────────────────────────

    @contextmanager
    def _hooked(self) -> Iterator[None]:
        before = crash.reached
        crash.reached = self.reached
        listener = _Listener(self._logged)
        loggers = [logging.getLogger(name) for name in _LOGGERS]
        settings = [(logger, logger.propagate, logger.level) for logger in loggers]
        for logger in loggers:
            logger.addHandler(listener)
            logger.propagate = False
            logger.setLevel(logging.WARNING)
        observer: Any = self._twisted_logged
        globalLogPublisher.addObserver(observer)
        try:
            yield
        finally:
            globalLogPublisher.removeObserver(observer)
            for logger, propagate, level in settings:
                logger.removeHandler(listener)
                logger.propagate = propagate
                logger.setLevel(level)
            crash.reached = before

    def _logged(self, record: logging.LogRecord) -> None:
        life = Life.running
        if life is not None and not life.alive:
            return
        name = record.getMessage()
        fields = record.__dict__.get(_FIELDS, {})
        cause = record.exc_info[1] if record.exc_info else None
        who = life.name if life else "?"
        self.trace.note(who, f"{record.levelname.lower()} {name} {_shown(record)}", count=f"log {name}")
        unexpected = record.levelno >= logging.ERROR and name not in _EXPECTED_ERRORS
        if name == "alarm":
            unexpected = fields.get("code") not in _EXPECTED_ALARMS
        if name == "message-refused":
            unexpected = fields.get("code") in _UNEXPECTED_REFUSALS
        if unexpected or name in _UNEXPECTED_WARNINGS:
            self.fail(f"{who} logged {name} {_shown(record)} {cause!r}")

    def _twisted_logged(self, event: Any) -> None:
        failure = event.get("log_failure")
        if failure is not None and not failure.check(Died):
            life = Life.running
            if life is None or life.alive:
                self.fail(f"an error that nobody took: {failure.getTraceback()}")


class _Listener(logging.Handler):
    def __init__(self, tell: Callable[[logging.LogRecord], None]) -> None:
        super().__init__(logging.WARNING)
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        self._tell(record)


def _shown(record: logging.LogRecord) -> str:
    fields = record.__dict__.get(_FIELDS, {})
    text = " ".join(f"{key}={value}" for key, value in fields.items() if value is not None)
    return _ID.sub("<id>", text)
