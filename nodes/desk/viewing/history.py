"""Earlier values of the same person, for the plot beside a result.

Looked for in what the desk's departments of the reader received: the latest ``MESSAGES`` with results whose
patient number is the same. A number alone is not believed, since two hospitals count from one: the identities
must agree (:func:`nodes.desk.viewing.people.same_person`), and values must have the same code and unit. What
was withdrawn or marked wrong is no value. A message that cannot be read any more is passed over.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from nodes.desk.viewing import codes
from nodes.desk.viewing.blocks import Panel, Result
from nodes.desk.viewing.message import Part, view
from nodes.desk.viewing.people import Identity, same_person
from nodes.desk.viewing.plot import Plot, Value, plot
from nodes.link.errors import NodeError
from nodes.link.inbox import Received, read_body
from protocols.errors import RemoteProtocolError
from protocols.hl7.moments import Moment
from protocols.link.envelope import facility_of
from runtime.logs import event

MESSAGES: Final = 20
BODY_BYTES: Final = 256 * 1024
PLOTS: Final = 12
"""Of one page, and of how many of its people."""
_Known: TypeAlias = "tuple[Identity, bool, dict[str, list[Value]]]"
"""Somebody in an earlier message: who, whether its sender is this one's, values by key."""
_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Curve:
    """Values of one kind over time, with their drawing, the latest first."""

    name: str
    unit: str
    plot: Plot
    values: tuple[Value, ...]


def curves(
    parts: Sequence[Part], sender: str, earlier: Sequence[Received], home: Path, zone_minutes: int
) -> tuple[dict[str, Curve], ...]:
    """Return for each part the curves of its results by :func:`key`, of those that have an earlier value.

    At most ``PLOTS`` in all, and of the first ``PLOTS`` parts. Its cost grows with the number of results:
    each message is read once, and its results are grouped once.
    """
    known = [
        (other.identity, facility_of(received.sender) == facility_of(sender), _grouped(other, zone_minutes))
        for received in (earlier if any(_named(part) for part in parts[:PLOTS]) else ())
        for other in _parts(received, home)
        if other.identity is not None
    ]
    drawn: list[dict[str, Curve]] = []
    left = PLOTS
    for number, part in enumerate(parts):
        drawn.append(_curves(part, known, zone_minutes, left) if number < PLOTS and left else {})
        left -= len(drawn[-1])
    return tuple(drawn)


def _curves(part: Part, known: Sequence[_Known], zone_minutes: int, most: int) -> dict[str, Curve]:
    """Return at most so many curves of one part."""
    wanted = _named(part)
    found = _grouped(part, zone_minutes, here=True) if wanted else {}
    for identity, same_sender, values in known if wanted and part.identity is not None else ():
        if part.identity is not None and same_person(part.identity, identity, same_sender=same_sender):
            for each in wanted.keys() & values.keys():
                found.setdefault(each, []).extend(values[each])
    shown: dict[str, Curve] = {}
    for each, result in wanted.items():
        if len(shown) >= most:
            break
        drawn = plot(_once(found.get(each, [])))
        if drawn is not None:
            points = tuple(point.value for point in reversed(drawn.points))
            shown[each] = Curve(result.name, result.unit, drawn, points)
    return shown


def _named(part: Part) -> dict[str, Result]:
    """Return the results that a curve can be of, by key."""
    return {key(one): one for one in _results(part) if one.number is not None and one.code}


def _grouped(part: Part, zone_minutes: int, *, here: bool = False) -> dict[str, list[Value]]:
    """Return the values of a part by key."""
    found: dict[str, list[Value]] = {}
    for one in _results(part):
        value = _value(one, zone_minutes, here=here)
        if value is not None:
            found.setdefault(key(one), []).append(value)
    return found


def key(one: Result) -> str:
    """Return what values must have in common to stand in one curve: code, coding system and unit."""
    return f"{one.code}|{one.unit}".casefold()


def _results(part: Part) -> Iterable[Result]:
    return (one for block in part.blocks if isinstance(block, Panel) for one in block.results)


def _value(one: Result, zone_minutes: int, *, here: bool) -> Value | None:
    """Return what a result says as a value of a curve; None for a void one, and without number or time."""
    if one.number is None or one.status in codes.NOT_VALID or not isinstance(one.at, Moment):
        return None
    at_ms = int(one.at.instant(zone_minutes).timestamp() * 1000)
    return Value(at_ms, one.number, one.value, one.flags, one.low, one.high, here)


def _once(values: list[Value]) -> list[Value]:
    """Leave out what was sent twice: the same moment and number; the one of this message stays."""
    kept: dict[tuple[int, float], Value] = {}
    for one in sorted(values, key=lambda each: each.here):
        kept[one.at_ms, one.number] = one
    return list(kept.values())


def _parts(received: Received, home: Path) -> tuple[Part, ...]:
    try:
        if received.body_path is not None and (home / received.body_path).stat().st_size > BODY_BYTES:
            return ()
        return view(read_body(received, home)).parts
    except RemoteProtocolError:
        return ()
    except (NodeError, OSError) as fault:
        event(_LOG, logging.WARNING, "earlier-result-unreadable", cause=fault, seq=received.seq)
        return ()
