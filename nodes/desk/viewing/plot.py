"""A value over time as a small drawing: where to put what, in hundredths of the room there is.

Lengths are percentages, letters are not, so it fits any width (the design system's way). The band is the
reference range of the newest value that states one. Axes begin and end at what is shown, a little apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

POINTS: Final = 60
LEFT, RIGHT = 4.0, 96.0
TOP, BOTTOM = 12.0, 84.0
_MARGIN: Final = 0.12


@dataclass(frozen=True, slots=True)
class Value:
    """One value at a time (milliseconds), as it was written; ``here``: in the message that is read."""

    at_ms: int
    number: float
    text: str
    flags: tuple[str, ...]
    low: float | None
    high: float | None
    here: bool


@dataclass(frozen=True, slots=True)
class Point:
    """A value and its place."""

    x: float
    y: float
    value: Value


@dataclass(frozen=True, slots=True)
class Plot:
    """Points from left to right; ``band`` is top and height of the reference range, None without one."""

    points: tuple[Point, ...]
    band: tuple[float, float] | None
    most: str
    least: str

    @property
    def line(self) -> list[tuple[Point, Point]]:
        """Each point with the next one."""
        return list(zip(self.points, self.points[1:], strict=False))


def plot(values: Sequence[Value]) -> Plot | None:
    """Return the drawing of the latest ``POINTS`` values; None for fewer than two moments."""
    shown = sorted(values, key=lambda one: one.at_ms)[-POINTS:]
    if len({one.at_ms for one in shown}) < 2:  # noqa: PLR2004 (a line has two ends)
        return None
    first_ms, last_ms = shown[0].at_ms, shown[-1].at_ms
    ranged = next((one for one in reversed(shown) if one.low is not None or one.high is not None), None)
    bounds = [one.number for one in shown]
    if ranged is not None:
        bounds += [bound for bound in (ranged.low, ranged.high) if bound is not None]
    least, most = min(bounds), max(bounds)
    room = (most - least) * _MARGIN or abs(most) * _MARGIN or 1.0
    low, high = least - room, most + room

    def y(number: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * (number - low) / (high - low)

    points = tuple(
        Point(LEFT + (RIGHT - LEFT) * (one.at_ms - first_ms) / (last_ms - first_ms), y(one.number), one)
        for one in shown
    )
    band = None
    if ranged is not None:
        above = TOP if ranged.high is None else y(ranged.high)
        below = BOTTOM if ranged.low is None else y(ranged.low)
        if below > above:
            band = (above, below - above)
    texts = {one.number: one.text for one in shown}
    numbers = [one.number for one in shown]
    return Plot(points, band, texts[max(numbers)], texts[min(numbers)])
