"""What was asked for and is not played yet: counts by kind of fault and recipient. Safe between threads."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from enum import StrEnum


class Fault(StrEnum):
    """What can be played."""

    NONDELIVERY = "nondelivery"
    DELAY = "delay"
    REFUSAL = "refusal"
    DUPLICATE = "duplicate"


@dataclass(frozen=True, slots=True)
class Wanted:
    """One request: the next ``count`` messages to ``recipient`` (``mailbox@facility``) meet this fault."""

    fault: Fault
    recipient: str
    count: int
    seconds: float


class Faults:
    """Requests by recipient; taken one message at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left: dict[tuple[Fault, str], int] = {}

    def add(self, wanted: Wanted) -> None:
        """Ask for a fault; it adds to what is asked for already."""
        with self._lock:
            key = wanted.fault, wanted.recipient
            self._left[key] = self._left.get(key, 0) + wanted.count

    def take(self, fault: Fault, recipient: str) -> bool:
        """Return whether this message is to meet the fault, and count it."""
        with self._lock:
            left = self._left.get((fault, recipient), 0)
            if left:
                self._left[fault, recipient] = left - 1
            return left > 0
