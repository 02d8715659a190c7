"""What waits, and what became of a message: the SQL behind the administrator's questions."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from hub.spool.store import News
from hub.spool.tables import events, ledger, spool
from protocols.link.envelope import State


@dataclass(frozen=True, slots=True)
class Depth:
    """What waits for one facility."""

    facility: str
    messages: int
    bytes: int
    oldest_ms: int


def depths(connection: Connection) -> list[Depth]:
    """Return the queues that are not empty, longest first."""
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
        waiting = connection.execute(
            select(spool.c.recipient).where(spool.c.id == identifier, spool.c.sender == row.sender)
        ).scalars()
        news = tuple(
            News(r.seq, r.facility, r.id, r.recipient, State(r.state), r.code, r.at_ms, r.receipt)
            for r in mine
        )
        found.append(
            Tracked(
                row.id, row.sender, tuple(row.recipients.split()), row.kind, row.priority, row.size,
                row.files, row.accepted_ms, row.expires_ms, tuple(waiting), news,
            )
        )  # fmt: skip
    return found
