"""The spool's SQL: in go values, out come plain values; every function is safe to run twice.

The statements of the hot path are compiled once (:class:`SpoolSql`) and executed as the
driver's own text; the rest is ordinary SQLAlchemy. Nothing here knows the time: the hub's
clock comes in as ``now_ms``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    select,
    update,
)

from hub.routing.route import Delay, Reason
from hub.spool.tables import cursors, events, ledger, presence, spool
from protocols.link.envelope import State, facility_of
from runtime.database import hot_sql

IDS_PER_QUERY = 500


@dataclass(frozen=True, slots=True)
class Entry:
    """One message to accept: ``deliveries`` go to the spool, ``returns`` come back at once."""

    id: bytes
    facility: str
    digest: bytes
    sender: str
    recipients: str
    kind: str
    priority: int
    size: int
    files: int
    expires_ms: int
    warn_ms: int
    message: bytes
    deliveries: tuple[str, ...]
    returns: tuple[tuple[str, Reason], ...]


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What :func:`SpoolSql.accept` did with a batch: which ids are accepted, which conflict, who got mail."""

    accepted: tuple[bytes, ...]
    conflicting: tuple[bytes, ...]
    recipients: frozenset[str]
    returned: bool


@dataclass(frozen=True, slots=True)
class Queued:
    """One spool row, ready to be delivered."""

    seq: int
    recipient: str
    sender: str
    id: bytes
    files: int
    expires_ms: int
    message: bytes


@dataclass(frozen=True, slots=True)
class News:
    """One event for a sender, or one to be written (``seq`` 0)."""

    seq: int
    facility: str
    id: bytes
    recipient: str
    state: State
    code: str
    at_ms: int
    receipt: bytes


class SpoolSql:
    """The prepared statements and the operations of the hot path. One for each engine."""

    def __init__(self, engine: Engine) -> None:
        self._ledger = hot_sql(engine, insert(ledger))
        self._spool = hot_sql(engine, insert(spool).values({c: bindparam(c) for c in _SPOOL_COLUMNS}))
        self._event = hot_sql(engine, insert(events).values({c: bindparam(c) for c in _EVENT_COLUMNS}))
        self._event_once = self._event + " ON CONFLICT DO NOTHING"
        self._remove = hot_sql(engine, delete(spool).where(spool.c.seq == bindparam("seq")))
        self._queue = hot_sql(
            engine,
            select(
                spool.c.seq, spool.c.recipient, spool.c.sender, spool.c.id, spool.c.files,
                spool.c.expires_ms, spool.c.message,
            )
            .where(
                spool.c.facility == bindparam("facility"),
                spool.c.priority == bindparam("priority"),
                spool.c.seq > bindparam("after"),
            )
            .order_by(spool.c.seq)
            .limit(bindparam("most"))
            .offset(bindparam("none")),
        )  # fmt: skip
        self._queue_names = self._queue.names

    def accept(self, connection: Connection, batch: Sequence[Entry], now_ms: int) -> Acceptance:
        """Write a batch: the ledger, one spool row for each delivery, one event for each return.

        A message that is already in the ledger with the same digest is accepted again and
        nothing is written; with another digest it is conflicting.
        """
        known = _digests(connection, batch)
        fresh: dict[tuple[bytes, str], Entry] = {}
        accepted: list[bytes] = []
        conflicting: list[bytes] = []
        for entry in batch:
            key = entry.id, entry.facility
            earlier = known.get(key) or (fresh[key].digest if key in fresh else None)
            if earlier is None:
                fresh[key] = entry
            (accepted if earlier in (None, entry.digest) else conflicting).append(entry.id)
        if fresh:
            self._write(connection, list(fresh.values()), now_ms)
        mail = {facility_of(address) for entry in fresh.values() for address in entry.deliveries}
        returned = any(entry.returns for entry in fresh.values())
        return Acceptance(tuple(accepted), tuple(conflicting), frozenset(mail), returned)

    def _write(self, connection: Connection, fresh: list[Entry], now_ms: int) -> None:
        connection.exec_driver_sql(
            self._ledger,
            [
                (e.id, e.facility, e.digest, e.sender, e.recipients, e.kind, e.priority, e.size, e.files,
                 now_ms, e.expires_ms)
                for e in fresh
            ],
        )  # fmt: skip
        rows = [
            (facility_of(address), e.priority, address, e.sender, e.id, e.files, now_ms, e.warn_ms,
             e.expires_ms, e.message)
            for e in fresh
            for address in e.deliveries
        ]  # fmt: skip
        if rows:
            connection.exec_driver_sql(self._spool, rows)
        returns = [
            News(0, e.facility, e.id, address, State.RETURNED, reason, now_ms, b"")
            for e in fresh
            for address, reason in e.returns
        ]
        self.add_events(connection, returns)

    def add_events(self, connection: Connection, news: Iterable[News]) -> None:
        """Write events; one that is there already (same message, recipient and state) stays as it is."""
        rows = [(n.facility, n.id, n.recipient, int(n.state), str(n.code), n.at_ms, n.receipt) for n in news]
        if rows:
            connection.exec_driver_sql(self._event_once, rows)

    def conclude(self, connection: Connection, taken: Sequence[tuple[int, News]]) -> None:
        """Free spool rows and write what became of them: ``(spool seq, event)`` each."""
        if taken:
            connection.exec_driver_sql(self._remove, [(seq,) for seq, _ in taken])
        self.add_events(connection, [news for _, news in taken])

    def queue(
        self, connection: Connection, facility: str, priority: int, after: int, limit: int
    ) -> list[Queued]:
        """Return what waits for ``facility`` in one priority, in order, after sequence number ``after``."""
        values = {"facility": facility, "priority": priority, "after": after, "most": limit, "none": 0}
        row = tuple(values[name] for name in self._queue_names)
        return [Queued(*found) for found in connection.exec_driver_sql(self._queue, row)]


_SPOOL_COLUMNS = (
    "facility", "priority", "recipient", "sender", "id", "files", "accepted_ms", "warn_ms", "expires_ms",
    "message",
)  # fmt: skip
_EVENT_COLUMNS = ("facility", "id", "recipient", "state", "code", "at_ms", "receipt")


def _digests(connection: Connection, batch: Sequence[Entry]) -> dict[tuple[bytes, str], bytes]:
    ids = list({entry.id for entry in batch})
    found: dict[tuple[bytes, str], bytes] = {}
    for start in range(0, len(ids), IDS_PER_QUERY):
        rows = connection.execute(
            select(ledger.c.id, ledger.c.facility, ledger.c.digest).where(
                ledger.c.id.in_(ids[start : start + IDS_PER_QUERY])
            )
        )
        found.update({(row[0], row[1]): row[2] for row in rows})
    return found


# ── events and receipts ────────────────────────────────────────────────────────────────────


def news_for(connection: Connection, facility: str, after: int, limit: int) -> list[News]:
    """Return events for a sender after sequence number ``after``, in order."""
    rows = connection.execute(
        select(events)
        .where(events.c.facility == facility, events.c.seq > after)
        .order_by(events.c.seq)
        .limit(limit)
    )
    return [
        News(r.seq, r.facility, r.id, r.recipient, State(r.state), r.code, r.at_ms, r.receipt) for r in rows
    ]


def events_taken(connection: Connection, facility: str) -> int:
    """Return how far a sender has read its events."""
    return _cursor(connection, facility) or 0


def _cursor(connection: Connection, facility: str) -> int | None:
    return connection.execute(
        select(cursors.c.events_taken).where(cursors.c.facility == facility)
    ).scalar_one_or_none()


def take_events(connection: Connection, facility: str, up_to: int) -> None:
    """Move a sender's cursor forward, never back."""
    moved = connection.execute(
        update(cursors)
        .where(cursors.c.facility == facility, cursors.c.events_taken < up_to)
        .values(events_taken=up_to)
    )
    if moved.rowcount == 0 and _cursor(connection, facility) is None:
        connection.execute(insert(cursors).values(facility=facility, events_taken=up_to))


def may_speak_of(connection: Connection, pairs: Sequence[tuple[bytes, str]]) -> set[tuple[bytes, str, str]]:
    """Return (id, recipient, sender's facility) of what really went to these recipients.

    That is what was delivered, or is still in the spool: an application can be faster than
    the answer of its own node.
    """
    ids = list({identifier for identifier, _ in pairs})
    delivered = connection.execute(
        select(events.c.id, events.c.recipient, events.c.facility).where(
            events.c.id.in_(ids), events.c.state == int(State.DELIVERED)
        )
    )
    found = {(row[0], row[1], row[2]) for row in delivered}
    waiting = connection.execute(
        select(spool.c.id, spool.c.recipient, spool.c.sender).where(spool.c.id.in_(ids))
    )
    found.update((row[0], row[1], facility_of(row[2])) for row in waiting)
    return found


# ── expiry, warnings, retention ────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Due:
    """A spool row whose time has come. ``in_doubt``: the recipient may already have it."""

    seq: int
    facility: str
    recipient: str
    sender: str
    id: bytes
    files: int
    in_doubt: bool


def overdue(connection: Connection, now_ms: int, limit: int) -> list[Due]:
    """Return expired rows that certainly were not delivered; a connected facility is asked itself.

    In doubt is what was in the spool when the recipient's last session ended: it may have been
    delivered in that session although the answer was lost. (Sequence numbers tell, since
    clocks jump.)
    """
    certain = and_(~func.coalesce(presence.c.connected, False), spool.c.seq > _SEEN_SEQ)
    return _due(connection, and_(spool.c.expires_ms <= now_ms, certain), limit)


def unwarned(connection: Connection, now_ms: int, limit: int) -> list[Due]:
    """Return rows of whose lateness the sender has not been told."""
    return _due(connection, spool.c.warn_ms <= now_ms, limit)


_SEEN_SEQ = func.coalesce(presence.c.seen_seq, 0)


def _due(connection: Connection, condition: ColumnElement[bool], limit: int) -> list[Due]:
    query = (
        select(spool, _SEEN_SEQ.label("seen_seq"))
        .outerjoin(presence, presence.c.facility == spool.c.facility)
        .where(condition)
        .order_by(spool.c.seq)
        .limit(limit)
    )
    return [
        Due(r.seq, r.facility, r.recipient, r.sender, r.id, r.files, r.seq <= r.seen_seq)
        for r in connection.execute(query)
    ]


def mark_warned(connection: Connection, sequences: Sequence[int]) -> None:
    """Note that the senders of these rows were told."""
    connection.execute(update(spool).where(spool.c.seq.in_(sequences)).values(warn_ms=None))


def late_news(due: Due, now_ms: int, *, connected: bool) -> News:
    """Return the warning for a row."""
    code = Delay.WAITING if connected else Delay.IN_DOUBT if due.in_doubt else Delay.OFFLINE
    return News(0, facility_of(due.sender), due.id, due.recipient, State.DELAYED, code, now_ms, b"")


def return_news(due: Due, reason: Reason, now_ms: int) -> News:
    """Return the non-delivery report for a row."""
    return News(0, facility_of(due.sender), due.id, due.recipient, State.RETURNED, reason, now_ms, b"")


def undelivered_files(connection: Connection, identifier: bytes) -> bool:
    """Return whether some recipient still needs the attachments of message ``identifier``."""
    query = select(exists().where(spool.c.id == identifier, spool.c.files > 0))
    return bool(connection.execute(query).scalar_one())


def messages_with_files(connection: Connection) -> list[bytes]:
    """Return the sealed messages in the spool that have attachments: whose files must be kept."""
    rows = connection.execute(select(spool.c.message).where(spool.c.files > 0)).scalars()
    return list(dict.fromkeys(rows))


def forget(connection: Connection, before_ms: int, limit: int) -> int:
    """Remove ledger rows (and their events) accepted before ``before_ms`` that are entirely finished.

    Finished: nothing in the spool, and every event read by the sender. Returns how many went.
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
    waiting = select(spool.c.id).where(spool.c.id == ledger.c.id)
    rows = connection.execute(
        select(ledger.c.id, ledger.c.facility)
        .where(ledger.c.accepted_ms < before_ms, ~exists(unread), ~exists(waiting))
        .order_by(ledger.c.accepted_ms)
        .limit(limit)
    ).all()
    for identifier, facility in rows:
        connection.execute(delete(events).where(events.c.id == identifier, events.c.facility == facility))
        connection.execute(delete(ledger).where(ledger.c.id == identifier, ledger.c.facility == facility))
    return len(rows)


# ── presence ───────────────────────────────────────────────────────────────────────────────


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


# ── looking ────────────────────────────────────────────────────────────────────────────────


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
