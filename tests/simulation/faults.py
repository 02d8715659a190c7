"""What goes wrong, when, and how: a list of faults for each schedule, chosen by its seed."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Final

from tests.simulation.machines import Machine
from tests.simulation.pipes import Pipe

if TYPE_CHECKING:
    from tests.simulation.world import World

MOST: Final = 12
CRASH_POINTS: Final = (
    "attachment-synced", "attachment-checked", "attachment-renamed", "hub-accepted-before-answer",
    "hub-chunks-stored", "hub-concluded", "node-accepted-noted", "node-chunks-written", "node-chunks-read",
    "node-events-noted", "node-files-fetched", "node-arrived-before-answer", "database-committed",
)  # fmt: skip
DAY_MS: Final = 86_400_000


class Faults:
    """Everything that is done to one world."""

    def __init__(self, world: World, random: Random) -> None:
        self._world = world
        self._random = random
        self._suspended: set[str] = set()
        self._kinds: tuple[Callable[[], None], ...] = (
            self._cut, self._cut, self._cut, self._cut_all, self._stall, self._crash_node, self._crash_node,
            self._crash_hub, self._crash_point, self._crash_point, self._crash_point, self._crash_commit,
            self._crash_commit, self._crash_everything, self._long_outage, self._slow_disk,
            self._failing_disk, self._full_hub, self._slow_network, self._refusing_hub, self._wrong_clock,
            self._suspend,
        )  # fmt: skip

    def plan(self, within_s: float) -> None:
        """Put faults on the clock: none in some schedules, many in others."""
        for _ in range(self._random.randint(0, self._random.choice((2, 5, MOST)))):
            kind = self._random.choice(self._kinds)
            self._world.clock.callLater(self._world.moment_s(self._random, within_s), kind)
        if self._random.random() < 0.2:
            node = self._random.choice(self._world.machines.nodes)
            node.clock.skew_ms = node.skew_ms = self._random.choice((-DAY_MS, DAY_MS))

    def end(self) -> None:
        """Mend everything; what a fault had broken is left as it is."""
        world = self._world
        world.armed.clear()
        world.network.weather.calm()
        world.network.unstall()
        world.machines.hub.full = False
        for machine in world.machines.all:
            machine.pace.slowness, machine.pace.fault_rate = 1.0, 0.0
            machine.crash_after_commits = None
        for facility in sorted(self._suspended):
            self._let_back(facility)

    def _note(self, text: str, kind: str) -> None:
        self._world.trace.note("fault", text, count=f"fault {kind}")

    def _later(self, call: Callable[[], None], most_s: float) -> None:
        self._world.clock.callLater(self._random.uniform(0, most_s), call)

    def _machine(self) -> Machine:
        return self._random.choice(self._world.machines.all)

    def _pipe(self) -> Pipe | None:
        pipes = [pipe for pipe in self._world.network.pipes if pipe.open]
        return self._random.choice(pipes) if pipes else None

    # ── network ────────────────────────────────────────────────────────────────────────

    def _cut(self) -> None:
        pipe = self._pipe()
        if pipe is not None:
            self._note(f"cut {pipe.node.life.name}", "cut")
            pipe.cut()

    def _cut_all(self) -> None:
        self._note("cut all", "cut all")
        for pipe in self._world.network.pipes:
            if pipe.open:
                pipe.cut()

    def _stall(self) -> None:
        pipe = self._pipe()
        if pipe is not None:
            seconds = self._random.uniform(0, self._random.choice((1, 20, 90)))
            self._note(f"stall {pipe.node.life.name} for {seconds:.1f} s", "stall")
            pipe.stall(seconds)

    def _slow_network(self) -> None:
        weather = self._world.network.weather
        weather.slowness = self._random.choice((5.0, 30.0))
        self._note(f"network {weather.slowness:.0f} times slower", "slow network")
        self._later(lambda: setattr(weather, "slowness", 1.0), 15)

    def _refusing_hub(self) -> None:
        weather = self._world.network.weather
        weather.refusing_rate = self._random.choice((0.5, 1.0))
        self._note("connections are refused", "refused connections")
        self._later(lambda: setattr(weather, "refusing_rate", 0.0), 10)

    # ── processes ──────────────────────────────────────────────────────────────────────

    def _crash_node(self) -> None:
        self._note("kill a node", "kill")
        self._random.choice(self._world.machines.nodes).crash("killed")

    def _crash_hub(self) -> None:
        self._note("kill the hub", "kill")
        self._world.machines.hub.crash("killed")

    def _long_outage(self) -> None:
        self._note("the hub is away for days", "long outage")
        self._world.machines.hub.crash("for days")
        self._world.machines.hub.forget_uploads()

    def _crash_everything(self) -> None:
        self._note("power cut everywhere", "kill everything")
        for machine in self._world.machines.all:
            machine.crash("power cut")

    def _crash_point(self) -> None:
        place = self._random.choice(CRASH_POINTS)
        self._note(f"a crash waits at {place}", "crash point")
        self._world.armed[place] = self._random.choice((0, 0, 1, 3))

    def _crash_commit(self) -> None:
        machine = self._machine()
        self._note(f"a crash waits after a commit of {machine.name}", "crash after commit")
        machine.crash_after_commits = self._random.choice((0, 1, 2, 5))

    # ── disks and clocks ───────────────────────────────────────────────────────────────

    def _slow_disk(self) -> None:
        pace = self._machine().pace
        pace.slowness = self._random.choice((10.0, 60.0))
        self._note("a disk is slow", "slow disk")
        self._later(lambda: setattr(pace, "slowness", 1.0), 15)

    def _failing_disk(self) -> None:
        machine = self._machine()
        machine.pace.fault_rate = self._random.choice((0.05, 0.5, 1.0))
        self._note(f"the disk of {machine.name} refuses work", "failing disk")
        self._later(lambda: setattr(machine.pace, "fault_rate", 0.0), 8)

    def _full_hub(self) -> None:
        hub = self._world.machines.hub
        hub.full = True
        self._note("the hub's disk is full", "full disk")
        self._later(lambda: setattr(hub, "full", False), 15)

    def _wrong_clock(self) -> None:
        node = self._random.choice(self._world.machines.nodes)
        node.skew_ms = self._random.choice((-DAY_MS, -5_000, 0, 5_000, DAY_MS))
        node.clock.skew_ms = node.skew_ms
        self._note(f"the clock of {node.name} jumps to {node.skew_ms:+d} ms", "clock jump")

    # ── administration ─────────────────────────────────────────────────────────────────

    def _suspend(self) -> None:
        facility = self._random.choice(self._world.facilities)
        self._note(f"{facility} is suspended", "suspended")
        self._suspended.add(facility)
        self._world.machines.hub.set_suspended(facility, suspended=True)
        self._later(lambda: self._let_back(facility), 15)

    def _let_back(self, facility: str) -> None:
        if facility in self._suspended:
            self._suspended.discard(facility)
            self._note(f"{facility} is let back", "let back")
            self._world.machines.hub.set_suspended(facility, suspended=False)
