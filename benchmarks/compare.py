"""Comparing on a machine that changes its speed: both sides in turn, and the ratio of neighbours.

A round runs every side once, one after the other; the order turns from round to round. What is compared is
our figure of a round with theirs of the same round, so that a slow minute touches both.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

_Figure = TypeVar("_Figure")


@dataclass(frozen=True, slots=True)
class Ratio:
    """Ours divided by theirs, round by round: the median, and the lowest and the highest."""

    median: float
    lowest: float
    highest: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.lowest:.2f} to {self.highest:.2f})"


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
    """Return how ours compare with theirs of the same rounds; ValueError unless there are as many of both."""
    if not ours:
        raise ValueError("no round was run")
    each = [our / their for our, their in zip(ours, theirs, strict=True)]
    return Ratio(round(statistics.median(each), 2), round(min(each), 2), round(max(each), 2))


def interleaved(sides: Mapping[str, Callable[[], _Figure]], rounds: int) -> dict[str, list[_Figure]]:
    """Run every side ``rounds`` times, in turn; returns their figures in the order of the rounds."""
    figures: dict[str, list[_Figure]] = {name: [] for name in sides}
    names = list(sides)
    for number in range(rounds):
        turned = names[number % len(names) :] + names[: number % len(names)]
        for name in turned:
            figures[name].append(sides[name]())
    return figures
