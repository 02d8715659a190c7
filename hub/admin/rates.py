"""How much was accepted when: counted from the ledger's numbers, without an index on time.

Ledger rows are numbered in the order of acceptance, so the first row of an hour is found by halving, in some
twenty reads of one row, however many rows there are. A clock that was set back makes a bar too high and its
neighbour too low; the sum stays right. Numbers that were taken and not used (an id that came again) count as
rows: a repeat is traffic too. Where numbers have leapt (``hub.spool.epoch``) the rows are counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, Connection, func, select, text

from hub.spool.epoch import LEAP
from hub.spool.tables import CAME_BACK, events, ledger
from protocols.link.envelope import State

HOUR_MS: Final = 3_600_000
SCANNED_ROWS: Final = 200_000
"""Of one facility, at most the last so many messages of the whole hub are looked at."""

ENDED_ROWS: Final = 20_000
"""Of what came back, at most the last so many are looked at."""


@dataclass(frozen=True, slots=True)
class Bar:
    """Messages accepted in one hour that begins at ``from_ms``."""

    from_ms: int
    messages: int


def hourly(connection: Connection, hours: int, now_ms: int) -> list[Bar]:
    """Return the last ``hours`` hours, the present one last."""
    starts = _starts(hours, now_ms)
    marks = [first_since(connection, start) for start in starts] + [_next(connection)]
    return [Bar(start, _messages(connection, marks[n], marks[n + 1])) for n, start in enumerate(starts)]


def since(connection: Connection, since_ms: int) -> int:
    """Return how many messages were accepted since a moment."""
    return _messages(connection, first_since(connection, since_ms), _next(connection))


def _messages(connection: Connection, first: int, end: int) -> int:
    if end - first < LEAP:
        return max(0, end - first)
    between = select(func.count()).select_from(ledger).where(ledger.c.seq >= first, ledger.c.seq < end)
    return int(connection.execute(between).scalar_one())


def hourly_of(connection: Connection, facility: str, hours: int, now_ms: int) -> list[Bar]:
    """Return what one facility sent in each of the last hours, as far as ``SCANNED_ROWS`` reach."""
    return _hourly(connection, ledger.c.facility == facility, hours, now_ms)


def hourly_to(connection: Connection, facility: str, hours: int, now_ms: int) -> list[Bar]:
    """Return what was accepted for one facility in each of the last hours, likewise."""
    # A facility's id has no sign that LIKE takes for anything else.
    named = (ledger.c.recipients + " ").like(f"%@{facility} %")
    return _hourly(connection, named, hours, now_ms)


def _hourly(connection: Connection, which: ColumnElement[bool], hours: int, now_ms: int) -> list[Bar]:
    starts = _starts(hours, now_ms)
    first = max(first_since(connection, starts[0]), _next(connection) - SCANNED_ROWS)
    hour = ledger.c.accepted_ms - ledger.c.accepted_ms % HOUR_MS
    rows = connection.execute(
        select(hour.label("hour"), func.count().label("messages"))
        .where(ledger.c.seq >= first, which)
        .group_by(hour)
    )
    found = {int(row.hour): int(row.messages) for row in rows}
    return [Bar(start, found.get(start, 0)) for start in starts]


def ended_since(connection: Connection, state: State, since_ms: int) -> int:
    """Return how many copies came back (``state`` REFUSED or RETURNED) since a moment, by the index of those.

    At most ``ENDED_ROWS``: whoever has more has more to do than to count them.
    """
    newest = (
        select(events.c.state, events.c.at_ms)
        .where(text(CAME_BACK))
        .order_by(events.c.seq.desc())
        .limit(ENDED_ROWS)
        .subquery()
    )
    query = select(func.count()).where(newest.c.state == int(state), newest.c.at_ms >= since_ms)
    return int(connection.execute(query).scalar_one())


def _starts(hours: int, now_ms: int) -> list[int]:
    this_hour = now_ms - now_ms % HOUR_MS
    return [this_hour - HOUR_MS * n for n in reversed(range(hours))]


def _next(connection: Connection) -> int:
    return (connection.execute(select(func.max(ledger.c.seq))).scalar_one() or 0) + 1


def first_since(connection: Connection, since_ms: int) -> int:
    """Return the number of the first row accepted at or after ``since_ms``, or the next one to come."""
    low = connection.execute(select(func.min(ledger.c.seq))).scalar_one() or 1
    high = _next(connection)
    while low < high:
        middle = (low + high) // 2
        row = connection.execute(
            select(ledger.c.seq, ledger.c.accepted_ms)
            .where(ledger.c.seq >= middle)
            .order_by(ledger.c.seq)
            .limit(1)
        ).one_or_none()
        if row is None or row.accepted_ms >= since_ms:
            high = middle
        else:
            low = row.seq + 1
    return int(low)
