"""What waits, and what became of a message: the SQL behind the administrator's questions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, func, select

from hub.spool.store import News
from hub.spool.tables import events, ledger, spool
from protocols.link.envelope import State

SIZED: Final = 5_000
"""With more messages in the spool their sizes are not added up: each would be looked at."""


@dataclass(frozen=True, slots=True)
class Depth:
    """What waits for one facility."""

    facility: str
    messages: int
    bytes: int
    oldest_ms: int


def depths(connection: Connection) -> list[Depth]:
    """Return the queues that are not empty, longest first, with their bytes: it looks at every message."""
    rows = connection.execute(
        select(
            spool.c.facility,
            func.count().label("messages"),
            func.sum(func.length(spool.c.message)).label("bytes"),
            func.min(spool.c.accepted_ms).label("oldest"),
        )
        .group_by(spool.c.facility)
        .order_by(func.count().desc(), spool.c.facility)
    )
    return [Depth(r.facility, r.messages, r.bytes, r.oldest) for r in rows]


@dataclass(frozen=True, slots=True)
class Count:
    """How much waits for one facility, and since when."""

    messages: int
    oldest_ms: int


def counts(connection: Connection) -> dict[str, Count]:
    """Return the queues that are not empty, by facility, from the index alone: no message is looked at.

    The oldest is the one with the lowest number, whatever was done to the clock.
    """
    waiting = (
        select(spool.c.facility, func.count().label("messages"), func.min(spool.c.seq).label("first"))
        .group_by(spool.c.facility)
        .subquery()
    )
    rows = connection.execute(
        select(waiting.c.facility, waiting.c.messages, spool.c.accepted_ms).join(
            spool, spool.c.seq == waiting.c.first
        )
    )
    return {row.facility: Count(row.messages, row.accepted_ms) for row in rows}


def sizes(connection: Connection, known: Mapping[str, Count]) -> dict[str, int]:
    """Return the bytes that wait, by facility; nothing if there are more than ``SIZED`` messages."""
    if sum(one.messages for one in known.values()) > SIZED:
        return {}
    query = select(spool.c.facility, func.sum(func.length(spool.c.message))).group_by(spool.c.facility)
    return {facility: int(size_bytes) for facility, size_bytes in connection.execute(query)}


@dataclass(frozen=True, slots=True)
class Tracked:
    """One message as the hub knows it."""

    id: bytes
    sender: str
    recipients: tuple[str, ...]
    kind: str
    priority: int
    size: int
    files: int
    accepted_ms: int
    expires_ms: int
    waiting: tuple[str, ...]
    news: tuple[News, ...]


def track(connection: Connection, identifier: bytes) -> list[Tracked]:
    """Return what is known of a message id (two facilities could have used the same one)."""
    found = []
    for row in connection.execute(select(ledger).where(ledger.c.id == identifier)).all():
        mine = connection.execute(
            select(events)
            .where(events.c.id == identifier, events.c.facility == row.facility)
            .order_by(events.c.at_ms, events.c.seq)
        )
        news = tuple(
            News(r.seq, r.facility, r.id, r.recipient, State(r.state), r.code, r.at_ms, r.receipt)
            for r in mine
        )
        # What has not ended is in the spool; to look there by id would read all of it.
        ended = {one.recipient for one in news if one.state in (State.DELIVERED, State.RETURNED)}
        recipients = tuple(row.recipients.split())
        waiting = tuple(address for address in recipients if address not in ended)
        found.append(
            Tracked(
                row.id, row.sender, recipients, row.kind, row.priority, row.size, row.files,
                row.accepted_ms, row.expires_ms, waiting, news,
            )
        )  # fmt: skip
    return found
