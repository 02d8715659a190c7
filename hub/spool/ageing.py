"""Whose time has come, what may be forgotten, and who was connected when: the SQL of expiry and retention.

Every function is safe to run twice. Nothing here knows the time: the hub's clock comes in as ``now_ms``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    literal_column,
    or_,
    select,
    text,
    tuple_,
    update,
)

from hub.routing.route import Delay, Reason
from hub.spool import history, holds
from hub.spool.holds import Holds
from hub.spool.store import News, kind_of, take_numbers
from hub.spool.tables import cursors, events, ledger, presence, queue_pauses, spool
from protocols.link import limits
from protocols.link.envelope import State, facility_of

FACILITIES_PER_QUERY = 500
NOBODY = 0
"""In ``presence.hub``: no process has the facility's session."""


@dataclass(frozen=True, slots=True)
class Due:
    """A spool row whose time has come. ``in_doubt``: the recipient may already have it.

    ``connected``: the recipient's node is here, or was when the hub died. ``again``: it may have been
    delivered before this hub was restored.
    """

    seq: int
    facility: str
    recipient: str
    sender: str
    id: bytes
    files: int
    in_doubt: bool
    connected: bool
    kind: str = ""
    priority: int = 0
    paused: bool = False
    again: bool = False


def overdue(connection: Connection, now_ms: int, limit: int) -> list[Due]:
    """Return expired rows that certainly were not delivered; a connected facility is asked itself.

    Unless its queue is held: then it gets nothing, and what is behind the mark has not been sent.
    In doubt is what was in the spool when the recipient's last session ended: it may have been
    delivered in that session although the answer was lost. (Sequence numbers tell, since
    clocks jump.) So is, for a time, what may have been delivered before a restore.
    """
    silent = or_(~func.coalesce(presence.c.connected, False), func.coalesce(queue_pauses.c.held, False))
    certain = and_(silent, spool.c.seq > _SEEN_SEQ, spool.c.again_until_ms <= now_ms)
    return _due(connection, and_(spool.c.due_ms <= now_ms, spool.c.expires_ms <= now_ms, certain), limit)


def unwarned(connection: Connection, now_ms: int, limit: int) -> list[Due]:
    """Return rows of whose lateness the sender has not been told."""
    return _due(connection, and_(spool.c.due_ms <= now_ms, spool.c.due_ms < spool.c.expires_ms), limit)


_SEEN_SEQ = func.coalesce(presence.c.seen_seq, 0)


def _due(connection: Connection, condition: ColumnElement[bool], limit: int) -> list[Due]:
    query = (
        select(
            spool,
            _SEEN_SEQ.label("seen_seq"),
            func.coalesce(presence.c.connected, False).label("connected"),
            queue_pauses.c.facility.label("paused"),
        )
        .outerjoin(presence, presence.c.facility == spool.c.facility)
        .outerjoin(queue_pauses, queue_pauses.c.facility == spool.c.facility)
        .where(condition)
        # By time and not by number: or SQLite reads the whole spool in its order, to spare the sorting.
        .order_by(spool.c.due_ms, spool.c.seq)
        .limit(limit)
    )
    return [
        Due(
            r.seq,
            r.facility,
            r.recipient,
            r.sender,
            r.id,
            r.files,
            r.seq <= r.seen_seq or r.again_until_ms > 0,
            bool(r.connected),
            kind_of(r.message),
            r.priority,
            r.paused is not None,
            r.again_until_ms > 0,
        )
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
    if due.paused:
        code = Delay.PAUSED
    else:
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


def forget(connection: Connection, before_ms: int, limit: int, after: int = 0) -> tuple[int, int | None]:
    """Remove ledger rows (and their events) accepted before ``before_ms`` that are entirely finished.

    Finished: every recipient's copy was delivered or returned, and every event read by the sender. Looks at
    ``limit`` rows behind number ``after``; returns how many went and the last number looked at, None at the
    end. The end is where all rows of a look are young: the ledger grows in the order of time.
    """
    unread = exists().where(
        events.c.id == ledger.c.id,
        events.c.facility == ledger.c.facility,
        events.c.seq > func.coalesce(cursors.c.events_taken, 0),
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
    old = ledger.c.accepted_ms < before_ms
    rows = connection.execute(
        select(
            ledger.c.seq,
            ledger.c.id,
            ledger.c.facility,
            old.label("old"),
            case((old, and_(ended == recipients, ~unread)), else_=False).label("finished"),
        )
        .outerjoin(cursors, cursors.c.facility == ledger.c.facility)
        .where(ledger.c.seq > after)
        .order_by(ledger.c.seq)
        .limit(limit)
    ).all()
    finished = [row for row in rows if row.finished]
    for row in finished:
        connection.execute(delete(events).where(events.c.id == row.id, events.c.facility == row.facility))
        connection.execute(delete(ledger).where(ledger.c.seq == row.seq))
    more = len(rows) == limit and any(row.old for row in rows)
    return len(finished), rows[-1].seq if more else None


class Presence(NamedTuple):
    """That a session of ``facility`` began or ended; ``reason``: why it ended."""

    facility: str
    connected: bool
    software: str
    reason: str = ""
    trust: int = 0
    """How far its node has followed the changes of the network's own keys, when it called."""
    hub_key: str = ""
    """By which of the hub's link keys it called: a fingerprint."""


class Waiting(NamedTuple):
    """What there was for a facility when its session began, and how far it had read its news.

    ``seen_seq`` is what sessions before may have been sent; ``held`` what people hold back, of everybody.
    """

    queued: bool
    unread: bool
    events_taken: int
    seen_seq: int
    held: Holds


def note_presences(
    connection: Connection, changes: Sequence[Presence], now_ms: int, hub: int
) -> list[Waiting | None]:
    """Record, in order, that sessions of the process ``hub`` began or ended; returns what waits for the new.

    A session that begins takes its facility from whatever other process had it. One that ends leaves alone
    what another has taken meanwhile.
    """
    last_seq = connection.execute(select(func.max(spool.c.seq))).scalar_one()
    before: dict[str, int] = {}
    for connected, group in groupby(changes, key=lambda change: change.connected):
        changed = list(group)
        rows = [
            {**change._asdict(), "seen_ms": now_ms, "last_seq": last_seq, "hub": hub} for change in changed
        ]
        if connected:
            names = [change.facility for change in changed]
            _take_over(connection, names, hub)
            before.update(_seen(connection, names))
            history.began(connection, {change.facility: change.software for change in changed}, now_ms)
        else:
            reasons = {change.facility: change.reason for change in changed}
            history.ended(connection, reasons, now_ms, hub)
        connection.execute(_BEGUN if connected else _ENDED, rows)
    waiting = _waiting(
        connection, sorted({change.facility for change in changes if change.connected}), before
    )
    return [waiting[change.facility] if change.connected else None for change in changes]


def _seen(connection: Connection, facilities: Sequence[str]) -> dict[str, int]:
    """Return up to which number sessions before may have been sent anything.

    One that still counts as connected ends only now: its node came again before that was noted.
    """
    seen_seq = case((presence.c.connected, seen_at_the_end()), else_=presence.c.seen_seq)
    found: dict[str, int] = {}
    for start in range(0, len(facilities), FACILITIES_PER_QUERY):
        page = facilities[start : start + FACILITIES_PER_QUERY]
        rows = connection.execute(select(presence.c.facility, seen_seq).where(presence.c.facility.in_(page)))
        found.update((name, seq) for name, seq in rows)
    return found


def _waiting(
    connection: Connection, facilities: Sequence[str], before: Mapping[str, int]
) -> dict[str, Waiting]:
    held = holds.look(connection) if facilities else Holds()
    taken = func.coalesce(cursors.c.events_taken, 0)
    queued = exists().where(spool.c.facility == presence.c.facility)
    unread = exists().where(events.c.facility == presence.c.facility, events.c.seq > taken)
    query = select(presence.c.facility, queued, unread, taken).outerjoin(
        cursors, cursors.c.facility == presence.c.facility
    )
    found: dict[str, Waiting] = {}
    for start in range(0, len(facilities), FACILITIES_PER_QUERY):
        page = facilities[start : start + FACILITIES_PER_QUERY]
        for name, queued, unread, taken_seq in connection.execute(query.where(presence.c.facility.in_(page))):
            found[name] = Waiting(queued, unread, taken_seq, before.get(name, 0), held)
    return found


def _take_over(connection: Connection, facilities: Sequence[str], hub: int) -> None:
    """Mark what other processes have of these, by a number that makes them look (``hub.peers.following``)."""
    for start in range(0, len(facilities), FACILITIES_PER_QUERY):
        page = facilities[start : start + FACILITIES_PER_QUERY]
        elsewhere = and_(presence.c.facility.in_(page), presence.c.hub.not_in([NOBODY, hub]))
        if connection.execute(select(exists().where(elsewhere))).scalar_one():
            seq = take_numbers(connection, spool, 1) + 1
            connection.execute(update(presence).where(elsewhere).values(claimed_seq=seq))


# A facility whose queue is held gets nothing: its mark stays where it is (hub.spool.holds).
_BEGUN = text(
    "INSERT INTO presence"
    " (facility, connected, seen_ms, seen_seq, software, hub, claimed_seq, trust, hub_key)"
    " VALUES (:facility, :connected, :seen_ms, 0, :software, :hub, 0, :trust, :hub_key)"
    " ON CONFLICT (facility) DO UPDATE SET connected = excluded.connected, seen_ms = excluded.seen_ms,"
    " seen_seq = CASE"
    " WHEN EXISTS (SELECT 1 FROM queue_pauses AS p WHERE p.facility = presence.facility)"
    " THEN presence.seen_seq ELSE coalesce(:last_seq, presence.seen_seq) END,"
    " software = excluded.software, hub = excluded.hub, trust = excluded.trust, hub_key = excluded.hub_key"
).bindparams(bindparam("last_seq", type_=BigInteger()))
_ENDED = text(
    "UPDATE presence SET connected = :connected, seen_ms = :seen_ms, software = :software, hub = 0,"
    " seen_seq = CASE"
    " WHEN EXISTS (SELECT 1 FROM queue_pauses AS p WHERE p.facility = presence.facility AND p.held)"
    " THEN presence.seen_seq ELSE coalesce(:last_seq, presence.seen_seq) END"
    " WHERE facility = :facility AND hub = :hub"
).bindparams(bindparam("last_seq", type_=BigInteger()))


def seen_at_the_end() -> ColumnElement[int]:
    """Return the mark of a facility whose session ended unnoticed, in a statement on ``presence``."""
    newest = select(func.max(spool.c.seq)).scalar_subquery()
    held = exists().where(queue_pauses.c.facility == presence.c.facility, queue_pauses.c.held.is_(True))
    return case((held, presence.c.seen_seq), else_=func.coalesce(newest, presence.c.seen_seq))


def all_left(connection: Connection, now_ms: int) -> None:
    """Record at start that no session survived: whoever was connected may have been so until now."""
    history.ended_unnoticed(connection, presence.c.connected.is_(True), now_ms)
    connection.execute(
        update(presence)
        .where(presence.c.connected.is_(True))
        .values(connected=False, hub=NOBODY, seen_ms=now_ms, seen_seq=seen_at_the_end())
    )
