"""Years of a network in one world: a busy quarter of a minute a week, outages, and the week that passes.

A week is what :class:`tests.simulation.world.World` does in a short schedule: messages are put, faults come
(no wrong clocks: the week is the clock's), everything comes to rest, or, one week in three, does not. Then
the clocks of all machines move on by a week, while messages may still be under way: they expire, and
what the hub keeps ages. What must hold after every commit holds here, over all the years, in tables that are
never made anew.

Credentials are good for ``VALID_MS`` here instead of two years, so that half a year sees each node renew its
own twice or more, in weeks with outages; at the end all of them must have.

Not simulated: what a quiet hour costs.
"""

from __future__ import annotations

from typing import Final

from tests.simulation.machines import Machines
from tests.simulation.world import World

WEEKS_PER_YEAR: Final = 52
WEEK_MS: Final = 7 * 86_400_000
WEEK_S: Final = 15.0
"""Of a week, so much is simulated, and what it takes to come to rest."""
MESSAGES: Final = 6
MOST_FAULTS: Final = 3
VALID_MS: Final = 18 * WEEK_MS
RENEWED_BY_WEEK: Final = 15
"""A run of so many weeks has seen the end of the first credentials come near."""
UNDER_WAY: Final = 1 / 3
"""How often a week passes while messages are under way."""
_NO_FAULTS: Final = frozenset({"_wrong_clock"})


class Years(World):
    """All machines, for so many weeks."""

    def __init__(self, machines: Machines, seed: int, weeks: int) -> None:
        super().__init__(machines, seed, len(machines.nodes))
        self.weeks = weeks
        self._kinds = [kind for kind in self.faults._kinds if kind.__name__ not in _NO_FAULTS]

    def _play(self) -> None:
        for machine in self.machines.all:
            self.clock.callLater(self._random.uniform(0, 3), machine.start)
        for application in self.applications:
            application.begin(0, 1)
        for week in range(self.weeks):
            self.trace.note("world", f"week {week}", count="week")
            self._week(week)
        self._rest()
        with self._recorded():
            self.invariant.at_rest()
        if self.weeks > RENEWED_BY_WEEK:
            self._check_credentials()
        self._check_attachments()
        self._raise_if_broken()

    def _week(self, week: int) -> None:
        self.steps = 0
        for application in self.applications:
            application.everything = False
        now_s = self.clock.seconds()
        self._busy_s = [self._random.uniform(0, WEEK_S)]
        for number in range(MESSAGES):
            application = self._random.choice(self.applications)
            token = f"w{week}-{number}"
            self.clock.callLater(self.moment_s(self._random, WEEK_S), application._put, token)
        for _ in range(self._random.randint(0, MOST_FAULTS)):
            self.clock.callLater(self.moment_s(self._random, WEEK_S), self._random.choice(self._kinds))
        self._advance(now_s + WEEK_S)
        self.faults.end()
        if self._random.random() > UNDER_WAY:
            self._rest()
        for machine in self.machines.all:
            machine.slept_s += WEEK_MS / 1000
            machine.clock.slept_s = machine.slept_s

    def _check_credentials(self) -> None:
        """Look whether each node has other keys than it joined with, and a credential that is still good."""
        for node in self.machines.nodes:
            mine, first = node.core.identity, node.identity
            ends_ms = mine.credential.not_after_ms
            if mine.keys == first.keys or ends_ms < node.clock.now_ms():
                self.fail(f"{node.name} has not renewed its keys: they end at {ends_ms}")

    def _rest(self) -> None:
        self.steps = 0
        for application in self.applications:
            application.everything = True
        self._come_to_rest()
