"""Waiting for what real processes do, always with a deadline and a name for what was waited for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

EVERY_S = 0.05

T = TypeVar("T")


def wait_until(what: str, found: Callable[[], T], timeout_s: float = 40.0, every_s: float = EVERY_S) -> T:
    """Return the first true answer of ``found``; AssertionError naming ``what`` if none."""
    deadline_s = time.monotonic() + timeout_s
    while True:
        answer = found()
        if answer:
            return answer
        if time.monotonic() >= deadline_s:
            raise AssertionError(f"not within {timeout_s:g} s: {what} (last: {answer!r})")
        time.sleep(every_s)
