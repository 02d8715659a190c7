"""The spool's SQL: in go values, out come plain values; every function is safe to run twice.

The statements of the hot path are prepared (:class:`runtime.driver_sql.PreparedSql`); the rest is ordinary
SQLAlchemy. Nothing here knows the time: the hub's clock comes in as ``now_ms``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass

from msgspec import Struct
from sqlalchemy import (
    Connection,
    Table,
    bindparam,
    delete,
    insert,
    select,
)

from crypto.sealing import message_digest
from hub.routing.route import Reason
from hub.spool.tables import cursors, events, ledger, numbers, spool
from protocols.link.envelope import State, decode_envelope, decode_message, facility_of
from protocols.link.errors import RemoteError
from runtime.driver_sql import LIST_VALUES, PreparedSql

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
    again_until_ms: int = 0
    """It may have been accepted, and delivered, before this hub was restored: until then; 0: no."""


class Queued(Struct, frozen=True, gc=False):
    """One spool row, ready to be delivered; ``kind`` is empty if the table was read (:func:`kind_of`)."""

    seq: int
    priority: int
    recipient: str
    sender: str
    id: bytes
    files: int
    accepted_ms: int
    expires_ms: int
    message: bytes
    kind: str = ""


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
    """What :func:`accept` did with a batch.

    ``verdicts`` says of each entry whether it is accepted; it is not if its id was used with another content.
    ``queued`` and ``news`` are what was written, in order. ``follows`` is the number given out before the
    first of ``queued``.
    """

    verdicts: list[bool]
    fresh: list[Entry]
    queued: list[Queued]
    news: list[News]
    follows: int


# ── taking in ──────────────────────────────────────────────────────────────────────────────


def accept(connection: Connection, batch: Sequence[Entry], now_ms: int) -> Acceptance:
    """Write a batch: the ledger, one spool row for each delivery, one event for each return.

    A message that is already in the ledger with the same digest is accepted again and nothing is
    written; with another digest it is not accepted.
    """
    with _undoable(connection) as undo:
        fresh, verdicts = batch, [True] * len(batch)
        if _enter(connection, fresh, now_ms) != len(fresh):  # some id is not new: look which
            undo()
            fresh, verdicts = _sorted_out(batch, _digests(connection, batch))
            _enter(connection, fresh, now_ms)
    rows = [(entry, address) for entry in fresh for address in entry.deliveries]
    seq = follows = take_numbers(connection, spool, len(rows)) if rows else 0
    written, queued = [], []
    for entry, address in rows:
        seq += 1
        written.append(
            (seq, facility_of(address), entry.priority, address, entry.sender, entry.id, entry.files,
             now_ms, entry.due_ms, entry.expires_ms, entry.message, entry.again_until_ms)
        )  # fmt: skip
        queued.append(
            Queued(
                seq, entry.priority, address, entry.sender, entry.id, entry.files, now_ms, entry.expires_ms,
                entry.message, entry.kind,
            )
        )  # fmt: skip
    if written:
        _SPOOL.run_many(connection, written)
    returns = [
        News(0, entry.facility, entry.id, address, State.RETURNED, reason, now_ms, b"")
        for entry in fresh
        for address, reason in entry.returns
    ]
    return Acceptance(verdicts, list(fresh), queued, add_events(connection, returns), follows)


def _enter(connection: Connection, fresh: Sequence[Entry], now_ms: int) -> int:
    """Write ledger rows; returns how many: those whose id is there already are left out."""
    if not fresh:
        return 0
    seq = take_numbers(connection, ledger, len(fresh))
    rows = [
        (seq + n, e.id, e.facility, e.digest, e.sender, e.recipients, e.kind, e.priority, e.size, e.files,
         now_ms, e.expires_ms)
        for n, e in enumerate(fresh, 1)
    ]  # fmt: skip
    return _LEDGER.run_many(connection, rows)


def take_numbers(connection: Connection, table: Table, count: int) -> int:
    """Take ``count`` numbers for rows of ``table``; returns the one before the first.

    Other processes on the same PostgreSQL are sent a notice of it, if they wait for such rows.
    """
    told = (table is spool or table is events) and connection.dialect.name == "postgresql"
    row = (_NUMBER_TOLD if told else _NUMBER).one(connection, name=table.name, last=count)
    assert row is not None
    return int(row[0]) - count


# ── handing out ────────────────────────────────────────────────────────────────────────────


def queue(connection: Connection, facility: str, priority: int, after: int, limit: int) -> list[Queued]:
    """Return what waits for ``facility`` in one priority, in order, after sequence number ``after``."""
    rows = _QUEUE.all(connection, facility=facility, priority=priority, after=after, most=limit, none=0)
    return [Queued(*row) for row in rows]


def damaged(connection: Connection, rows: Sequence[Queued]) -> list[Queued]:
    """Return those of ``rows`` whose envelope or body is not what was accepted, by the ledger's digest.

    Wrapped keys and signature are not covered: if those are spoiled, the recipient's node finds it.
    """
    digests = _digests(connection, rows)
    return [row for row in rows if digests.get((row.id, facility_of(row.sender))) != _digest(row.message)]


def _digest(message: bytes) -> bytes | None:
    try:
        decoded = decode_message(message)
    except RemoteError:
        return None
    return message_digest(decoded.envelope, decoded.sealed)


def kind_of(message: bytes) -> str:
    """Return the kind that the envelope of a spooled message names, empty if it cannot be read."""
    try:
        return decode_envelope(decode_message(message).envelope).kind
    except RemoteError:
        return ""


def conclude(connection: Connection, answers: Sequence[tuple[int, News]]) -> list[News]:
    """Free spool rows and write what became of them, ``(spool seq, event)`` each; returns what is news.

    A row is concluded once. Of one that is gone only a delivery is still noted: the recipient signed it.
    """
    if not answers:
        return []
    with _undoable(connection) as undo:
        if _remove(connection, answers) != len(answers):
            undo()
            answers = _not_concluded(connection, answers)
            _remove(connection, answers)
    return add_events(connection, [news for _, news in answers])


def _remove(connection: Connection, answers: Sequence[tuple[int, News]]) -> int:
    """Free spool rows; returns how many were there."""
    sequences = [seq for seq, _ in answers]
    return sum(
        _REMOVE.run(connection, sequences=sequences[start : start + LIST_VALUES])
        for start in range(0, len(sequences), LIST_VALUES)
    )


def add_events(connection: Connection, news: Sequence[News]) -> list[News]:
    """Write events and return them with their numbers.

    One that is there already (same message, recipient and state) stays as it is; its sender may be told
    twice.
    """
    if not news:
        return []
    seq = take_numbers(connection, events, len(news))
    numbered = [
        News(seq + n, one.facility, one.id, one.recipient, one.state, one.code, one.at_ms, one.receipt)
        for n, one in enumerate(news, 1)
    ]
    _EVENT.run_many(
        connection,
        [
            (n.seq, n.facility, n.id, n.recipient, int(n.state), str(n.code), n.at_ms, n.receipt)
            for n in numbered
        ],
    )
    return numbered


def read_up_to(connection: Connection, taken: Mapping[str, int]) -> None:
    """Move senders' cursors forward, never back: facility and the event that it has read last."""
    _READ_UP_TO.run_many(connection, list(taken.items()))


_ONCE = " ON CONFLICT DO NOTHING"
_LEDGER = PreparedSql(insert(ledger), _ONCE)
_SPOOL = PreparedSql(insert(spool))
_EVENT = PreparedSql(insert(events), _ONCE)
_REMOVE = PreparedSql(delete(spool).where(spool.c.seq.in_(bindparam("sequences", expanding=True))))
_COUNT_ON = " ON CONFLICT (name) DO UPDATE SET last = numbers.last + excluded.last RETURNING last"
_NUMBER = PreparedSql(insert(numbers), _COUNT_ON)
_NUMBER_TOLD = PreparedSql(insert(numbers), _COUNT_ON + ", pg_notify('wasl', name)")
_READ_UP_TO = PreparedSql(
    insert(cursors),
    " ON CONFLICT (facility) DO UPDATE SET events_taken = excluded.events_taken"
    " WHERE cursors.events_taken < excluded.events_taken",
)
_QUEUE = PreparedSql(
    select(*(spool.c[name] for name in Queued.__struct_fields__ if name != "kind"))
    .where(
        spool.c.facility == bindparam("facility"),
        spool.c.priority == bindparam("priority"),
        spool.c.seq > bindparam("after"),
    )
    .order_by(spool.c.seq)
    .limit(bindparam("most"))
    .offset(bindparam("none"))
)
_DIGESTS = PreparedSql(
    select(ledger.c.id, ledger.c.facility, ledger.c.digest).where(
        ledger.c.id.in_(bindparam("ids", expanding=True))
    )
)
_THERE = PreparedSql(select(spool.c.seq).where(spool.c.seq.in_(bindparam("sequences", expanding=True))))
_NEWS = PreparedSql(
    select(*(events.c[name] for name in News.__struct_fields__))
    .where(events.c.facility == bindparam("facility"), events.c.seq > bindparam("after"))
    .order_by(events.c.seq)
    .limit(bindparam("most"))
    .offset(bindparam("none"))
)


@contextmanager
def _undoable(connection: Connection) -> Iterator[Callable[[], object]]:
    """Yield what undoes the SQL since the beginning, by the driver's savepoint: SQLAlchemy's costs 200 µs."""
    cursor = connection.connection.cursor()
    cursor.execute("SAVEPOINT attempt")
    yield lambda: cursor.execute("ROLLBACK TO SAVEPOINT attempt")
    cursor.execute("RELEASE SAVEPOINT attempt")


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


def _digests(connection: Connection, batch: Sequence[Entry | Queued]) -> dict[tuple[bytes, str], bytes]:
    ids = list({entry.id for entry in batch})
    found: dict[tuple[bytes, str], bytes] = {}
    for start in range(0, len(ids), LIST_VALUES):
        rows = _DIGESTS.all(connection, ids=ids[start : start + LIST_VALUES])
        found.update({(row[0], row[1]): row[2] for row in rows})
    return found


def _not_concluded(connection: Connection, answers: Sequence[tuple[int, News]]) -> list[tuple[int, News]]:
    """Return what may still be noted of answers some of which speak of rows that are gone."""
    sequences = [seq for seq, _ in answers]
    there: set[int] = set()
    for start in range(0, len(sequences), LIST_VALUES):
        rows = _THERE.all(connection, sequences=sequences[start : start + LIST_VALUES])
        there.update(seq for (seq,) in rows)
    kept = []
    for seq, news in answers:
        if seq in there or news.state is State.DELIVERED:
            kept.append((seq, news))
            there.discard(seq)
    return kept


# ── events and receipts ────────────────────────────────────────────────────────────────────


def news_for(connection: Connection, facility: str, after: int, limit: int) -> list[News]:
    """Return events for a sender after sequence number ``after``, in order."""
    rows = _NEWS.all(connection, facility=facility, after=after, most=limit, none=0)
    return [
        News(seq, owner, identifier, recipient, State(state), code, at_ms, receipt)
        for seq, owner, identifier, recipient, state, code, at_ms, receipt in rows
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
        # An application faster than its node is rare. What was sent and has not ended is in the spool, which
        # has no index by id: the ledger has.
        early = {identifier for identifier, _ in asked - {one[:2] for one in found}}
        if early:
            found |= _waiting(connection, early)
    return found


def _waiting(connection: Connection, ids: AbstractSet[bytes]) -> set[tuple[bytes, str, str]]:
    """Return (id, recipient, sender's facility) of what was neither delivered nor returned."""
    sent = connection.execute(
        select(ledger.c.id, ledger.c.recipients, ledger.c.facility).where(ledger.c.id.in_(ids))
    )
    ended = connection.execute(
        select(events.c.id, events.c.recipient, events.c.facility).where(
            events.c.id.in_(ids), events.c.state.in_([int(State.DELIVERED), int(State.RETURNED)])
        )
    )
    over = {(row[0], row[1], row[2]) for row in ended}
    return {(row[0], address, row[2]) for row in sent for address in row[1].split()} - over
