"""The scene of :mod:`tests.faults.scene` with a proxy on each node's line to the hub."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.faults.scene import RECOVERY_S, Scene
from tests.integration.proxy import Proxy
from tests.integration.waiting import wait_until

UP: Final = "up_bytes"
DOWN: Final = "down_bytes"
_SMALL: Final = (40,)
"""Bytes of a file that keeps a session short, so that every offset of it can be tried."""


@dataclass(frozen=True, slots=True)
class Reset:
    """What came of one reset; ``fired`` are the lines on which the session came as far as ``offset``."""

    direction: str
    offset: int
    fired: int
    wrong: str = ""

    def __str__(self) -> str:
        """Return it for people, so that it can be repeated."""
        return f"reset after {self.offset} {self.direction} on {self.fired} lines: {self.wrong or 'well'}"


class LineScene(Scene):
    """A hub and two nodes, each behind a line of its own; ``lines`` by facility."""

    def __init__(self, root: Path, template: Path, *, recovery_s: float = RECOVERY_S) -> None:
        self.lines = {name: Proxy(1) for name in ("chu-alger", "chu-oran")}
        ports = {name: line.port for name, line in self.lines.items()}
        super().__init__(root, template, None, recovery_s=recovery_s, hub_ports=ports)
        for line in self.lines.values():
            line.target = self.network.hub_port

    def close(self) -> None:
        """End everything."""
        super().close()
        for line in self.lines.values():
            line.close()

    def play_reset(self, direction: str, offset: int) -> Reset:
        """Send both while the next session of each node is reset there; then see that all is well."""
        before = sum(line.resets for line in self.lines.values())
        letter = self.letter(_SMALL)
        for line in self.lines.values():
            line.reset_next(**{direction: offset})
            line.cut()
        wrong = ""
        try:
            self.finish(letter)
        except AssertionError as error:
            wrong = str(error)
        return Reset(direction, offset, sum(line.resets for line in self.lines.values()) - before, wrong)

    def sweep_resets(self, direction: str, offsets: Iterable[int]) -> Iterator[Reset]:
        """Reset at each offset, until two in a row are beyond the session of either node."""
        quiet = 0
        for offset in offsets:
            played = self.play_reset(direction, offset)
            yield played
            quiet = 0 if played.fired else quiet + 1
            if quiet > 1:
                break
        self.renew()

    def renew(self) -> None:
        """Give each node a new connection: a reset that was not reached would wait on the one that stands."""
        before = {line: line.connections for line in self.lines.values()}
        for line in before:
            line.reset_next()
            line.cut()
        wait_until(
            "both have come again",
            lambda: all(one.connections > n for one, n in before.items()),
            RECOVERY_S,
            0.1,
        )
        self.connect()
