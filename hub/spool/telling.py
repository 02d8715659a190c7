"""Telling a node again what it has forgotten: for one that was restored from a backup.

The hub's cursor says how far a node had read the news of its messages; a restored node has less of it in its
own tables. Setting the cursor back tells it everything since then once more, and what it knows it ignores.
And what had been delivered *to* it since is named: the hub has freed it, its senders have not.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, func, select, update

from hub.spool.tables import cursors, events, presence
from protocols.link.envelope import State, facility_of

PAGE = 2_000


@dataclass(frozen=True, slots=True)
class Delivered:
    """A message that a facility had taken, and nobody there had processed as far as the hub knows."""

    id: bytes
    sender_facility: str
    recipient: str
    at_ms: int


class StillConnected(Exception):  # noqa: N818 - it names a state
    """The node's session would move the cursor forward again."""


def tell_again(connection: Connection, facility: str, since_ms: int) -> int:
    """Set a facility's cursor back behind all events before ``since_ms``; returns how many will be told.

    Raises StillConnected. The node's next session begins there.
    """
    if connection.execute(select(presence.c.connected).where(presence.c.facility == facility)).scalar():
        raise StillConnected(f"{facility} is connected: tell it again before its restored node is started")
    mine = events.c.facility == facility
    first = connection.execute(
        select(func.min(events.c.seq)).where(mine, events.c.at_ms >= since_ms)
    ).scalar_one()
    if first is None:
        return 0
    connection.execute(
        update(cursors)
        .where(cursors.c.facility == facility, cursors.c.events_taken >= first)
        .values(events_taken=first - 1)
    )
    return connection.execute(select(func.count()).where(mine, events.c.seq >= first)).scalar_one()


def delivered_to(connection: Connection, facility: str, since_ms: int) -> list[Delivered]:
    """Return what was delivered to a facility since then and not concluded there. Reads all events."""
    found: dict[tuple[bytes, str], Delivered] = {}
    after = 0
    while True:
        page = connection.execute(
            select(events).where(events.c.seq > after).order_by(events.c.seq).limit(PAGE)
        ).all()
        for row in page:
            if facility_of(row.recipient) != facility:
                continue
            if row.state == int(State.DELIVERED) and row.at_ms >= since_ms:
                one = Delivered(row.id, row.facility, row.recipient, row.at_ms)
                found[row.id, row.recipient] = one
            elif row.state in (int(State.PROCESSED), int(State.REFUSED)):
                found.pop((row.id, row.recipient), None)
        if len(page) < PAGE:
            return sorted(found.values(), key=lambda one: one.at_ms)
        after = page[-1].seq
