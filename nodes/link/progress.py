"""What becomes of our messages: the SQL behind ACCEPTED, REFUSED and EVENTS.

Every function may be run twice with the same news: states only move forward, and a line of
history that is there is not written again. ``nodes.link.tracking`` is the view of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from sqlalchemy import (
    BindParameter,
    ColumnClause,
    Connection,
    bindparam,
    delete,
    literal_column,
    select,
    update,
)

from nodes.link import facts
from nodes.link.outbox import add_history, settle
from nodes.link.tables import outbox, outbox_files, outbox_history, outbox_recipients, receipts
from nodes.link.tracking import FINAL
from protocols.link.envelope import Priority, State
from runtime.driver_sql import LIST_VALUES, PreparedSql


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A queued message as the link submits it."""

    seq: int
    id: bytes
    envelope: bytes
    sealed: bytes
    content_key: bytes
    digest: bytes
    created_ms: int
    files: int


@dataclass(frozen=True, slots=True)
class OutgoingFile:
    """A sealed file of a queued message."""

    outbox_seq: int
    id: bytes
    size: int
    root: bytes
    path: str


@dataclass(frozen=True, slots=True)
class Change:
    """One verified piece of news about one recipient's copy. ``answer`` is opened already."""

    id: bytes
    recipient: str
    state: State
    code: str
    at_ms: int
    receipt: bytes
    answer: bytes


def queued(connection: Connection, priority: Priority, after: int, limit: int) -> list[Outgoing]:
    """Return messages that wait for the hub, in order, after sequence number ``after``."""
    rows = _QUEUED.all(connection, priority=int(priority), after=after, most=limit, none=0)
    return [Outgoing(*row) for row in rows]


_QUEUED = PreparedSql(
    select(
        outbox.c.seq, outbox.c.id, outbox.c.envelope, outbox.c.sealed, outbox.c.content_key,
        outbox.c.digest, outbox.c.created_ms, outbox.c.files_total,
    )
    .where(
        outbox.c.state == int(State.QUEUED),
        outbox.c.priority == bindparam("priority"),
        outbox.c.seq > bindparam("after"),
    )
    .order_by(outbox.c.seq)
    .limit(bindparam("most"))
    .offset(bindparam("none"))
)  # fmt: skip


def files_of(connection: Connection, seqs: Sequence[int]) -> list[OutgoingFile]:
    """Return the sealed files of these messages, in order."""
    rows = connection.execute(
        select(outbox_files)
        .where(outbox_files.c.outbox_seq.in_(seqs))
        .order_by(outbox_files.c.outbox_seq, outbox_files.c.position)
    )
    return [OutgoingFile(r.outbox_seq, r.id, r.size, r.root, r.path) for r in rows]


def note_sent(connection: Connection, identifier: bytes, chunks: int) -> None:
    """Note how far a file is, for people who watch."""
    connection.execute(update(outbox_files).where(outbox_files.c.id == identifier).values(chunks_sent=chunks))


def accepted(connection: Connection, seqs: Sequence[int], now_ms: int) -> None:
    """Note that the hub has these messages; one that is further on stays where it is."""
    for start in range(0, len(seqs), LIST_VALUES):
        still = [seq for (seq,) in _STILL_QUEUED.all(connection, seqs=seqs[start : start + LIST_VALUES])]
        if still:
            _ACCEPT.run(connection, seqs=still)
            _ACCEPT_COPIES.run(connection, seqs=still, at_ms=now_ms)
            add_history(connection, [(seq, "", State.ACCEPTED, "", "", now_ms) for seq in still])


_SEQS: BindParameter[int] = bindparam("seqs", expanding=True)
_ACCEPTED: ColumnClause[int] = literal_column(str(int(State.ACCEPTED)))
_STILL_QUEUED = PreparedSql(
    select(outbox.c.seq).where(outbox.c.seq.in_(_SEQS), outbox.c.state == int(State.QUEUED))
)
_ACCEPT = PreparedSql(update(outbox).where(outbox.c.seq.in_(_SEQS)).values(state=_ACCEPTED))
_ACCEPT_COPIES = PreparedSql(
    update(outbox_recipients)
    .where(outbox_recipients.c.outbox_seq.in_(_SEQS), outbox_recipients.c.state == int(State.QUEUED))
    .values(state=_ACCEPTED, at_ms=bindparam("at_ms"))
)


def returned(connection: Connection, seq: int, code: str, text: str, now_ms: int) -> None:
    """Note that a message came back as a whole, before the hub accepted it."""
    changed = connection.execute(
        update(outbox)
        .where(outbox.c.seq == seq, outbox.c.state == int(State.QUEUED))
        .values(state=int(State.RETURNED), settled=True)
    )
    if changed.rowcount == 0:
        return
    connection.execute(
        update(outbox_recipients)
        # Of a message that a restored hub was offered again, some copies may have arrived.
        .where(outbox_recipients.c.outbox_seq == seq, outbox_recipients.c.state < int(State.DELIVERED))
        .values(state=int(State.RETURNED), code=code, at_ms=now_ms)
    )
    add_history(connection, [(seq, "", State.RETURNED, code, text, now_ms)])


def unsent_and_expired(connection: Connection, now_ms: int, limit: int) -> list[tuple[int, bytes]]:
    """Return (seq, id) of messages whose time is up and that certainly never reached the hub."""
    rows = connection.execute(
        select(outbox.c.seq, outbox.c.id)
        .where(
            outbox.c.state == int(State.QUEUED),
            outbox.c.expires_ms <= now_ms,
            outbox.c.seq > facts.get(connection, facts.OFFERED_SEQ),
        )
        .order_by(outbox.c.seq)
        .limit(limit)
    )
    return [(row.seq, row.id) for row in rows]


@dataclass(frozen=True, slots=True)
class Ours:
    """What must match before a receipt about a message of ours is believed."""

    seq: int
    digest: bytes
    sender: str


def ours(connection: Connection, ids: Sequence[bytes]) -> dict[bytes, Ours]:
    """Return our messages among these ids."""
    asked = list(set(ids))
    found: dict[bytes, Ours] = {}
    for start in range(0, len(asked), LIST_VALUES):
        rows = _OURS.all(connection, ids=asked[start : start + LIST_VALUES])
        found.update({identifier: Ours(*rest) for identifier, *rest in rows})
    return found


_OURS = PreparedSql(
    select(outbox.c.id, outbox.c.seq, outbox.c.digest, outbox.c.sender).where(
        outbox.c.id.in_(bindparam("ids", expanding=True))
    )
)


def apply(connection: Connection, changes: Sequence[Change]) -> list[Change]:
    """Write verified news: recipients' states, history, and which messages are settled.

    Returns the news that contradict what is known. They change no state: an end stays the end, and
    the hub's word alone does not undo what a recipient has signed. What a recipient signed against
    an end that is known (a copy was given up that had been delivered) stands in the history as well.
    """
    known = ours(connection, [change.id for change in changes])
    seqs = sorted({mine.seq for mine in known.values()})
    if not seqs:
        return []
    states, told = _known_of(connection, seqs)
    accepted(connection, seqs, min(change.at_ms for change in changes))
    rows, history, contradictions = [], [], []
    for change in changes:
        mine = known.get(change.id)
        if mine is None or (mine.seq, change.recipient) not in states:
            continue
        if _contradicts(change, states[mine.seq, change.recipient]):
            contradictions.append(change)
            continue
        line = mine.seq, change.recipient, int(change.state)
        if line not in told and _comes_too_late(change, states[mine.seq, change.recipient]):
            contradictions.append(change)
        if change.state > states[mine.seq, change.recipient]:
            states[mine.seq, change.recipient] = change.state
            rows.append(
                (int(change.state), change.code, change.at_ms, change.answer, change.receipt, mine.seq,
                 change.recipient)
            )  # fmt: skip
        if line not in told:
            told.add(line)
            history.append((mine.seq, change.recipient, change.state, change.code, "", change.at_ms))
    if rows:
        _MOVE.run_many(connection, rows)
    add_history(connection, history)
    settle(connection, seqs)
    return contradictions


def _comes_too_late(change: Change, present: State) -> bool:
    """Whether the recipient signed what does not go with the end that is known."""
    if present is State.RETURNED:
        return bool(change.receipt) and State.DELIVERED <= change.state < State.RETURNED
    return bool(change.receipt) and present is State.REFUSED and change.state is State.PROCESSED


def _contradicts(change: Change, present: State) -> bool:
    if change.state <= present:
        return False
    return present in FINAL or (
        change.state is State.RETURNED and not change.receipt and present >= State.DELIVERED
    )


def _known_of(
    connection: Connection, seqs: Sequence[int]
) -> tuple[dict[tuple[int, str], State], set[tuple[int, str, int]]]:
    """Return each copy's state, and the lines of history that are written: (seq, recipient, state)."""
    states: dict[tuple[int, str], State] = {}
    told: set[tuple[int, str, int]] = set()
    for start in range(0, len(seqs), LIST_VALUES):
        page = seqs[start : start + LIST_VALUES]
        copies = _COPIES.all(connection, seqs=page)
        states.update({(seq, recipient): State(state) for seq, recipient, state in copies})
        told.update((seq, recipient, state) for seq, recipient, state in _TOLD.all(connection, seqs=page))
    return states, told


_COPIES = PreparedSql(
    select(outbox_recipients.c.outbox_seq, outbox_recipients.c.recipient, outbox_recipients.c.state).where(
        outbox_recipients.c.outbox_seq.in_(_SEQS)
    )
)
_TOLD = PreparedSql(
    select(outbox_history.c.outbox_seq, outbox_history.c.recipient, outbox_history.c.state).where(
        outbox_history.c.outbox_seq.in_(_SEQS)
    )
)
_MOVE = PreparedSql(
    update(outbox_recipients)
    .where(
        outbox_recipients.c.outbox_seq == bindparam("of_seq"),
        outbox_recipients.c.recipient == bindparam("of_recipient"),
    )
    .values({name: bindparam(name) for name in ("state", "code", "at_ms", "detail", "receipt")})
)


# ── receipts of ours, on their way to the senders ──────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class OutgoingReceipt:
    """A receipt that waits for the hub."""

    seq: int
    id: bytes
    sender: str
    recipient: str
    state: State
    receipt: bytes


def queued_receipts(connection: Connection, after: int, limit: int) -> list[OutgoingReceipt]:
    """Return receipts that wait, in order, after sequence number ``after``."""
    rows = _RECEIPTS.all(connection, after=after, most=limit, none=0)
    return [
        OutgoingReceipt(seq, identifier, sender, recipient, State(state), receipt)
        for seq, identifier, sender, recipient, state, receipt in rows
    ]


_RECEIPTS = PreparedSql(
    select(*(receipts.c[one.name] for one in fields(OutgoingReceipt)))
    .where(receipts.c.seq > bindparam("after"))
    .order_by(receipts.c.seq)
    .limit(bindparam("most"))
    .offset(bindparam("none"))
)


def receipts_stored(connection: Connection, up_to: int) -> None:
    """Forget receipts that the hub has."""
    _FORGET_RECEIPTS.run(connection, up_to=up_to)


_FORGET_RECEIPTS = PreparedSql(delete(receipts).where(receipts.c.seq <= bindparam("up_to")))
