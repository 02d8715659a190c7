"""The log of one schedule: what happened when, in the order in which it happened."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from typing import Final

TAIL_LINES: Final = 80


class Broken(AssertionError):  # noqa: N818 - states the outcome
    """A promise was not kept. The text names the promise, and carries seed and log once it is known."""


class Trace:
    """Lines of text with the simulated time, and how often each kind of thing happened."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._lines: list[tuple[float, str, str]] = []
        self.counts: Counter[str] = Counter()

    def note(self, who: str, text: str, *, count: str = "") -> None:
        """Add a line; ``count`` names the kind of thing that it is one of."""
        self._lines.append((self._seconds(), who, text))
        if count:
            self.counts[count] += 1

    def tail(self, lines: int = TAIL_LINES) -> str:
        """Return the last lines as people read them."""
        return "\n".join(f"{at_s:10.4f}  {who:<10} {text}" for at_s, who, text in self._lines[-lines:])

    def fingerprint(self) -> str:
        """Return a hash of all lines: two runs of one seed must give the same."""
        return hashlib.sha256(repr(self._lines).encode()).hexdigest()[:16]
