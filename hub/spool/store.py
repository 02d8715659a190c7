"""The spool's SQL: in go values, out come plain values; every function is safe to run twice.

The statements of the hot path are compiled once (:class:`SpoolSql`) and executed as the
driver's own text; the rest is ordinary SQLAlchemy. Nothing here knows the time: the hub's
clock comes in as ``now_ms``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from msgspec import Struct
from sqlalchemy import (
    Connection,
    Engine,
    Table,
    bindparam,
    delete,
    insert,
    select,
)

from hub.routing.route import Reason
from hub.spool.tables import cursors, events, ledger, numbers, spool
from protocols.link.envelope import State, facility_of
from runtime.database import hot_sql

IDS_PER_QUERY = 500


class Entry(Struct, frozen=True, gc=False):
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
    due_ms: int
    message: bytes
    deliveries: tuple[str, ...]
    returns: tuple[tuple[str, Reason], ...]


class Queued(Struct, frozen=True, gc=False):
    """One spool row, ready to be delivered."""

    seq: int
    priority: int
    recipient: str
    sender: str
    id: bytes
    files: int
    expires_ms: int
    message: bytes


class News(Struct, frozen=True, gc=False):
    """One event for a sender, or one to be written (``seq`` 0)."""

    seq: int
    facility: str
    id: bytes
    recipient: str
    state: State
    code: str
    at_ms: int
    receipt: bytes


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What :meth:`SpoolSql.accept` did with a batch.

    ``verdicts`` says of each entry whether it is accepted; it is not if its id was used with another content.
    ``queued`` and ``news`` are what was written, in order. ``follows`` is the number given out before the
    first of ``queued``.
    """

    verdicts: list[bool]
    fresh: list[Entry]
    queued: list[Queued]
    news: list[News]
    follows: int


class SpoolSql:
    """The prepared statements and the operations of the hot path. One for each engine."""

    def __init__(self, engine: Engine) -> None:
        self._ledger = hot_sql(engine, insert(ledger)) + _ONCE
        self._spool = hot_sql(engine, insert(spool))
        self._event = hot_sql(engine, insert(events)) + _ONCE
        self._remove = hot_sql(engine, delete(spool).where(spool.c.seq == bindparam("seq")))
        self._number = hot_sql(engine, insert(numbers)) + _COUNT_ON
        self._read_up_to = hot_sql(engine, insert(cursors)) + _FORWARD
        self._queue = hot_sql(
            engine,
            select(*(spool.c[name] for name in Queued.__struct_fields__))
            .where(
                spool.c.facility == bindparam("facility"),
                spool.c.priority == bindparam("priority"),
                spool.c.seq > bindparam("after"),
            )
            .order_by(spool.c.seq)
            .limit(bindparam("most"))
            .offset(bindparam("none")),
        )

    # ── taking in ──────────────────────────────────────────────────────────────────────

    def accept(self, connection: Connection, batch: Sequence[Entry], now_ms: int) -> Acceptance:
        """Write a batch: the ledger, one spool row for each delivery, one event for each return.

        A message that is already in the ledger with the same digest is accepted again and nothing is
        written; with another digest it is not accepted.
        """
        with _undoable(connection) as undo:
            fresh, verdicts = batch, [True] * len(batch)
            if self._enter(connection, fresh, now_ms) != len(fresh):  # some id is not new: look which
                undo()
                fresh, verdicts = _sorted_out(batch, _digests(connection, batch))
                self._enter(connection, fresh, now_ms)
        rows = [(entry, address) for entry in fresh for address in entry.deliveries]
        seq = follows = self._numbers(connection, spool, len(rows)) if rows else 0
        written, queued = [], []
        for entry, address in rows:
            seq += 1
            written.append(
                (seq, facility_of(address), entry.priority, address, entry.sender, entry.id, entry.files,
                 now_ms, entry.due_ms, entry.expires_ms, entry.message)
            )  # fmt: skip
            queued.append(
                Queued(
                    seq, entry.priority, address, entry.sender, entry.id, entry.files, entry.expires_ms,
                    entry.message,
                )
            )  # fmt: skip
        if written:
            connection.exec_driver_sql(self._spool, written)
        returns = [
            News(0, entry.facility, entry.id, address, State.RETURNED, reason, now_ms, b"")
            for entry in fresh
            for address, reason in entry.returns
        ]
        return Acceptance(verdicts, list(fresh), queued, self.add_events(connection, returns), follows)

    def _enter(self, connection: Connection, fresh: Sequence[Entry], now_ms: int) -> int:
        """Write ledger rows; returns how many: those whose id is there already are left out."""
        if not fresh:
            return 0
        seq = self._numbers(connection, ledger, len(fresh))
        rows = [
            (seq + n, e.id, e.facility, e.digest, e.sender, e.recipients, e.kind, e.priority, e.size, e.files,
             now_ms, e.expires_ms)
            for n, e in enumerate(fresh, 1)
        ]  # fmt: skip
        return connection.exec_driver_sql(self._ledger, rows).rowcount

    def _numbers(self, connection: Connection, table: Table, count: int) -> int:
        """Take ``count`` numbers for rows of ``table``; returns the one before the first."""
        return int(connection.exec_driver_sql(self._number, (table.name, count)).scalar_one()) - count

    # ── handing out ────────────────────────────────────────────────────────────────────

    def queue(
        self, connection: Connection, facility: str, priority: int, after: int, limit: int
    ) -> list[Queued]:
        """Return what waits for ``facility`` in one priority, in order, after sequence number ``after``."""
        values = {"facility": facility, "priority": priority, "after": after, "most": limit, "none": 0}
        row = tuple(values[name] for name in self._queue.names)
        return [Queued(*found) for found in connection.exec_driver_sql(self._queue, row)]

    def conclude(self, connection: Connection, answers: Sequence[tuple[int, News]]) -> list[News]:
        """Free spool rows and write what became of them, ``(spool seq, event)`` each; returns what is news.

        A row is concluded once. Of one that is gone only a delivery is still noted: the recipient signed it.
        """
        if not answers:
            return []
        with _undoable(connection) as undo:
            removed = connection.exec_driver_sql(self._remove, [(seq,) for seq, _ in answers]).rowcount
            if removed != len(answers):
                undo()
                answers = _not_concluded(connection, answers)
                if answers:
                    connection.exec_driver_sql(self._remove, [(seq,) for seq, _ in answers])
        return self.add_events(connection, [news for _, news in answers])

    def add_events(self, connection: Connection, news: Sequence[News]) -> list[News]:
        """Write events and return them with their numbers.

        One that is there already (same message, recipient and state) stays as it is; its sender may be told
        twice.
        """
        if not news:
            return []
        seq = self._numbers(connection, events, len(news))
        numbered = [
            News(seq + n, one.facility, one.id, one.recipient, one.state, one.code, one.at_ms, one.receipt)
            for n, one in enumerate(news, 1)
        ]
        connection.exec_driver_sql(
            self._event,
            [
                (n.seq, n.facility, n.id, n.recipient, int(n.state), str(n.code), n.at_ms, n.receipt)
                for n in numbered
            ],
        )
        return numbered

    def read_up_to(self, connection: Connection, cursors: Mapping[str, int]) -> None:
        """Move senders' cursors forward, never back: facility and the event that it has read last."""
        connection.exec_driver_sql(self._read_up_to, list(cursors.items()))


_ONCE = " ON CONFLICT DO NOTHING"
_COUNT_ON = " ON CONFLICT (name) DO UPDATE SET last = numbers.last + excluded.last RETURNING last"
_FORWARD = (
    " ON CONFLICT (facility) DO UPDATE SET events_taken = excluded.events_taken"
    " WHERE cursors.events_taken < excluded.events_taken"
)


@contextmanager
def _undoable(connection: Connection) -> Iterator[Callable[[], None]]:
    """Yield what undoes the SQL since the beginning, by the driver's savepoint: SQLAlchemy's costs 200 µs."""
    connection.exec_driver_sql("SAVEPOINT attempt")

    def undo() -> None:
        connection.exec_driver_sql("ROLLBACK TO SAVEPOINT attempt")

    yield undo
    connection.exec_driver_sql("RELEASE SAVEPOINT attempt")


def _sorted_out(
    batch: Sequence[Entry], known: Mapping[tuple[bytes, str], bytes]
) -> tuple[list[Entry], list[bool]]:
    """Return what is new of a batch, and which entries are accepted."""
    seen = dict(known)
    fresh: list[Entry] = []
    verdicts: list[bool] = []
    for entry in batch:
        key = entry.id, entry.facility
        if key not in seen:
            seen[key] = entry.digest
            fresh.append(entry)
        verdicts.append(seen[key] == entry.digest)
    return fresh, verdicts


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


def _not_concluded(connection: Connection, answers: Sequence[tuple[int, News]]) -> list[tuple[int, News]]:
    """Return what may still be noted of answers some of which speak of rows that are gone."""
    sequences = [seq for seq, _ in answers]
    there: set[int] = set()
    for start in range(0, len(sequences), IDS_PER_QUERY):
        page = sequences[start : start + IDS_PER_QUERY]
        there.update(connection.execute(select(spool.c.seq).where(spool.c.seq.in_(page))).scalars())
    kept = []
    for seq, news in answers:
        if seq in there or news.state is State.DELIVERED:
            kept.append((seq, news))
            there.discard(seq)
    return kept


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
    query = select(cursors.c.events_taken).where(cursors.c.facility == facility)
    return connection.execute(query).scalar_one_or_none() or 0


def may_speak_of(connection: Connection, pairs: Sequence[tuple[bytes, str]]) -> set[tuple[bytes, str, str]]:
    """Return (id, recipient, sender's facility) of what really went to these recipients.

    That is what was delivered, or is still in the spool: an application can be faster than
    the answer of its own node.
    """
    found: set[tuple[bytes, str, str]] = set()
    for start in range(0, len(pairs), IDS_PER_QUERY):
        asked = set(pairs[start : start + IDS_PER_QUERY])
        page = {identifier for identifier, _ in asked}
        delivered = connection.execute(
            select(events.c.id, events.c.recipient, events.c.facility).where(
                events.c.id.in_(page), events.c.state == int(State.DELIVERED)
            )
        )
        found.update((row[0], row[1], row[2]) for row in delivered)
        # An application faster than its node is rare, and looking into the spool by id is slow.
        early = {identifier for identifier, _ in asked - {one[:2] for one in found}}
        if early:
            waiting = connection.execute(
                select(spool.c.id, spool.c.recipient, spool.c.sender).where(spool.c.id.in_(early))
            )
            found.update((row[0], row[1], facility_of(row[2])) for row in waiting)
    return found
