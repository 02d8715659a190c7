"""What senders were told against what receivers got: an independent judge, as Jepsen checks queues.

Nothing of the project is used here. A campaign keeps a :class:`History` of three kinds of facts, lane by lane
(a lane is one sender and one recipient; values are opaque bytes, each attempted under its own name once):

- *attempted*: the sender began to hand it over, whatever came of that;
- *acknowledged*: the sender was told that it is taken;
- *received*: the recipient has it; said again for every time it has it again;
- *returned*: the sender was told, with a reason, that it will not be received.

:func:`check` compares them when everything has come to rest. A value is

- *lost* if it was acknowledged, never received, and not returned;
- *duplicated* if it was received more often than once;
- *unexpected* if it was received and never attempted in this lane, damaged bytes among them, or if it was
  received and returned;
- *recovered* if it was received though nobody was told that it was taken: allowed, the answer was lost;
- *disordered* if it was received before one that was acknowledged before it was attempted.

A receiver that may be given a thing twice (MLLP repeats when the answer is lost) is judged after its repeats
are taken out, by whoever keeps the history. Not judged: time, and what was attempted and came to nothing.
"""

from __future__ import annotations

import copy
import threading
from collections import Counter
from dataclasses import dataclass, field

SHOWN_BYTES = 60
SHOWN = 5


@dataclass(slots=True)
class Lane:
    """The facts about one sender and one recipient, each kind in the order in which it happened."""

    events: list[tuple[str, bytes]] = field(default_factory=list)
    received: list[bytes] = field(default_factory=list)

    def told(self, kind: str) -> list[bytes]:
        """Return the values of one kind of event, in order, without repeats."""
        return list(dict.fromkeys(value for event, value in self.events if event == kind))


class History:
    """All lanes of a campaign, by name; what is told may be told by many threads."""

    def __init__(self, lanes: dict[str, Lane] | None = None) -> None:
        self.lanes: dict[str, Lane] = lanes or {}
        self._lock = threading.Lock()

    def copy(self) -> History:
        """Return one that can be told more, apart from this one."""
        with self._lock:
            return History(copy.deepcopy(self.lanes))

    def attempted(self, lane: str, value: bytes) -> None:
        """Note that a sender begins, or begins again, to hand over ``value``."""
        with self._lock:
            self.lanes.setdefault(lane, Lane()).events.append(("attempted", value))

    def acknowledged(self, lane: str, value: bytes) -> None:
        """Note that the sender was told that ``value`` is taken."""
        with self._lock:
            self.lanes.setdefault(lane, Lane()).events.append(("acknowledged", value))

    def returned(self, lane: str, value: bytes) -> None:
        """Note that the sender was told why ``value`` will not be received."""
        with self._lock:
            self.lanes.setdefault(lane, Lane()).events.append(("returned", value))

    def received(self, lane: str, value: bytes) -> None:
        """Note that the recipient has ``value``, or has it once more."""
        with self._lock:
            self.lanes.setdefault(lane, Lane()).received.append(value)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of all attempts: counts, and what is wrong, each as ``lane: value``."""

    attempted: int
    acknowledged: int
    received: int
    recovered: int
    lost: tuple[str, ...]
    duplicated: tuple[str, ...]
    unexpected: tuple[str, ...]
    disordered: tuple[str, ...]

    @property
    def faults(self) -> list[str]:
        """Return all that is wrong, each with its kind before it; empty if every promise was kept."""
        named = {
            "lost": self.lost,
            "duplicated": self.duplicated,
            "unexpected": self.unexpected,
            "disordered": self.disordered,
        }
        return [f"{name}: {one}" for name, found in named.items() for one in found]

    def __str__(self) -> str:
        """Return it for people, in two lines or with examples of what is wrong."""
        counted = f"{self.attempted} attempted, {self.acknowledged} acknowledged, {self.received} received"
        judged = (
            f"{len(self.lost)} lost, {len(self.duplicated)} duplicated, {len(self.unexpected)} unexpected, "
            f"{self.recovered} recovered, {len(self.disordered)} out of order"
        )
        lines = [counted, judged]
        for found in (self.lost, self.duplicated, self.unexpected, self.disordered):
            lines += [f"  {one}" for one in found[:SHOWN]]
        return "\n".join(lines)


def check(history: History) -> Verdict:
    """Judge a history whose campaign is at rest: nothing more will be received."""
    counts: Counter[str] = Counter()
    wrong: dict[str, list[str]] = {kind: [] for kind in ("lost", "duplicated", "unexpected", "disordered")}
    for name, lane in history.lanes.items():
        attempted, acknowledged = lane.told("attempted"), lane.told("acknowledged")
        received = Counter(lane.received)
        sent, returned = set(attempted), set(lane.told("returned"))
        counts["attempted"] += len(attempted)
        counts["acknowledged"] += len(acknowledged)
        counts["received"] += len(received)
        counts["recovered"] += len((received.keys() & sent) - set(acknowledged))
        found = {
            "lost": [value for value in acknowledged if value not in received and value not in returned],
            "duplicated": [value for value, times in received.items() if times > 1],
            "unexpected": [value for value in received if value not in sent or value in returned],
            "disordered": _disordered(lane),
        }
        for kind, values in found.items():
            wrong[kind] += [f"{name}: {shown(value)}" for value in values]
    return Verdict(
        counts["attempted"],
        counts["acknowledged"],
        counts["received"],
        counts["recovered"],
        tuple(wrong["lost"]),
        tuple(wrong["duplicated"]),
        tuple(wrong["unexpected"]),
        tuple(wrong["disordered"]),
    )


def _disordered(lane: Lane) -> list[bytes]:
    """Return what was received before something that was acknowledged before it was first attempted.

    Whatever was acknowledged when a value was first attempted must have been received before it; of two
    that were under way at once, either may come first.
    """
    place = {value: at for at, value in reversed(list(enumerate(lane.received)))}
    last_at, wrong, begun = -1, [], set()
    for event, value in lane.events:
        at = place.get(value)
        if event == "acknowledged":
            last_at = max(last_at, -1 if at is None else at)
        elif event == "attempted" and value not in begun:
            begun.add(value)
            if at is not None and at < last_at:
                wrong.append(value)
    return wrong


def shown(value: bytes) -> str:
    """Return a value for people: its beginning, and how long it is if that is not all."""
    more = f"… ({len(value)} bytes)" if len(value) > SHOWN_BYTES else ""
    return f"{value[:SHOWN_BYTES]!r}{more}"
