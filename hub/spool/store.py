"""The spool's SQL: in go values, out come plain values; every function is safe to run twice.

The statements of the hot path are compiled once (:class:`SpoolSql`) and executed as the
driver's own text; the rest is ordinary SQLAlchemy. Nothing here knows the time: the hub's
clock comes in as ``now_ms``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import (
    Connection,
    Engine,
    bindparam,
    delete,
    insert,
    select,
    update,
)

from hub.routing.route import Reason
from hub.spool.tables import cursors, events, ledger, spool
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
