"""Whose time has come, what may be forgotten, and who was connected when: the SQL of expiry and retention.

Every function is safe to run twice. Nothing here knows the time: the hub's clock comes in as ``now_ms``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    delete,
    exists,
    func,
    insert,
    literal_column,
    select,
    tuple_,
    update,
)

from hub.routing.route import Delay, Reason
from hub.spool.store import News
from hub.spool.tables import cursors, events, ledger, presence, spool
from protocols.link import limits
from protocols.link.envelope import State, facility_of


@dataclass(frozen=True, slots=True)
class Due:
    """A spool row whose time has come. ``in_doubt``: the recipient may already have it.

    ``connected``: the recipient's node is here, or was when the hub died.
    """

    seq: int
    facility: str
    recipient: str
    sender: str
    id: bytes
    files: int
    in_doubt: bool
    connected: bool


def overdue(connection: Connection, now_ms: int, limit: int) -> list[Due]:
    """Return expired rows that certainly were not delivered; a connected facility is asked itself.

    In doubt is what was in the spool when the recipient's last session ended: it may have been
    delivered in that session although the answer was lost. (Sequence numbers tell, since
    clocks jump.)
    """
    certain = and_(~func.coalesce(presence.c.connected, False), spool.c.seq > _SEEN_SEQ)
    return _due(connection, and_(spool.c.due_ms <= now_ms, spool.c.expires_ms <= now_ms, certain), limit)


def unwarned(connection: Connection, now_ms: int, limit: int) -> list[Due]:
    """Return rows of whose lateness the sender has not been told."""
    return _due(connection, and_(spool.c.due_ms <= now_ms, spool.c.due_ms < spool.c.expires_ms), limit)


_SEEN_SEQ = func.coalesce(presence.c.seen_seq, 0)


def _due(connection: Connection, condition: ColumnElement[bool], limit: int) -> list[Due]:
    query = (
        select(
            spool, _SEEN_SEQ.label("seen_seq"), func.coalesce(presence.c.connected, False).label("connected")
        )
        .outerjoin(presence, presence.c.facility == spool.c.facility)
        .where(condition)
        .order_by(spool.c.seq)
        .limit(limit)
    )
    return [
        Due(r.seq, r.facility, r.recipient, r.sender, r.id, r.files, r.seq <= r.seen_seq, bool(r.connected))
        for r in connection.execute(query)
    ]


def waiting(connection: Connection, identifier: bytes) -> list[Due]:
    """Return what is in the spool of message ``identifier``, a row for each recipient."""
    return _due(connection, spool.c.id == identifier, limits.RECIPIENTS)


def mark_warned(connection: Connection, sequences: Sequence[int]) -> None:
    """Note that the senders of these rows were told."""
    connection.execute(update(spool).where(spool.c.seq.in_(sequences)).values(due_ms=spool.c.expires_ms))


def late_news(due: Due, now_ms: int) -> News:
    """Return the warning for a row."""
    code = Delay.WAITING if due.connected else Delay.IN_DOUBT if due.in_doubt else Delay.OFFLINE
    return News(0, facility_of(due.sender), due.id, due.recipient, State.DELAYED, code, now_ms, b"")


def return_news(due: Due, reason: Reason, now_ms: int) -> News:
    """Return the non-delivery report for a row."""
    return News(0, facility_of(due.sender), due.id, due.recipient, State.RETURNED, reason, now_ms, b"")


def undelivered_files(connection: Connection, identifier: bytes) -> bool:
    """Return whether some recipient still needs the attachments of message ``identifier``."""
    query = select(exists().where(spool.c.id == identifier, spool.c.files > 0))
    return bool(connection.execute(query).scalar_one())


@dataclass(frozen=True, slots=True)
class Filed:
    """A spool row whose message has attachments."""

    id: bytes
    seq: int
    message: bytes


def messages_with_files(connection: Connection, after: tuple[bytes, int], limit: int) -> list[Filed]:
    """Return the next sealed messages in the spool that have attachments: whose files must be kept.

    In order of (id, seq) behind ``after``, so that the copies of one message come together. What is
    accepted while somebody pages through them may be left out.
    """
    rows = connection.execute(
        select(spool.c.id, spool.c.seq, spool.c.message)
        .where(spool.c.files > literal_column("0"), tuple_(spool.c.id, spool.c.seq) > after)
        .order_by(spool.c.id, spool.c.seq)
        .limit(limit)
    )
    return [Filed(row.id, row.seq, row.message) for row in rows]


def forget(connection: Connection, before_ms: int, limit: int) -> int:
    """Remove ledger rows (and their events) accepted before ``before_ms`` that are entirely finished.

    Finished: every recipient's copy was delivered or returned, and every event read by the sender.
    Returns how many went.
    """
    unread = (
        select(events.c.id)
        .outerjoin(cursors, cursors.c.facility == events.c.facility)
        .where(
            events.c.id == ledger.c.id,
            events.c.facility == ledger.c.facility,
            events.c.seq > func.coalesce(cursors.c.events_taken, 0),
        )
    )
    ended = (
        select(func.count(events.c.recipient.distinct()))
        .where(
            events.c.id == ledger.c.id,
            events.c.facility == ledger.c.facility,
            events.c.state.in_([int(State.DELIVERED), int(State.RETURNED)]),
        )
        .scalar_subquery()
    )
    recipients = (
        func.length(ledger.c.recipients) - func.length(func.replace(ledger.c.recipients, " ", "")) + 1
    )
    rows = connection.execute(
        select(ledger.c.seq, ledger.c.id, ledger.c.facility)
        .where(ledger.c.accepted_ms < before_ms, ended == recipients, ~exists(unread))
        .order_by(ledger.c.seq)
        .limit(limit)
    ).all()
    for seq, identifier, facility in rows:
        connection.execute(delete(events).where(events.c.id == identifier, events.c.facility == facility))
        connection.execute(delete(ledger).where(ledger.c.seq == seq))
    return len(rows)


def note_presence(
    connection: Connection, facility: str, now_ms: int, *, connected: bool, software: str
) -> None:
    """Record that a session of ``facility`` began or ended."""
    changed = connection.execute(
        update(presence)
        .where(presence.c.facility == facility)
        .values(connected=connected, seen_ms=now_ms, seen_seq=_last_seq(), software=software)
    )
    if changed.rowcount == 0:
        connection.execute(
            insert(presence).values(
                facility=facility, connected=connected, seen_ms=now_ms, seen_seq=0, software=software
            )
        )


def all_left(connection: Connection, now_ms: int) -> None:
    """Record at start that no session survived: whoever was connected may have been so until now."""
    connection.execute(
        update(presence)
        .where(presence.c.connected.is_(True))
        .values(connected=False, seen_ms=now_ms, seen_seq=_last_seq())
    )


def _last_seq() -> ColumnElement[int]:
    newest = select(func.max(spool.c.seq)).scalar_subquery()
    return func.coalesce(newest, presence.c.seen_seq)
