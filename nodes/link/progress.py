"""What becomes of our messages: the SQL behind ACCEPTED, REFUSED and EVENTS.

Every function may be run twice with the same news: states only move forward, and a line of
history that is there is not written again. ``nodes.link.tracking`` is the view of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, bindparam, delete, select, update

from nodes.link import facts
from nodes.link.outbox import add_history, settle
from nodes.link.tables import outbox, outbox_files, outbox_history, outbox_recipients, receipts
from nodes.link.tracking import FINAL
from protocols.link.envelope import Priority, State

IDS_PER_QUERY: Final = 500


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
    rows = connection.execute(
        select(
            outbox.c.seq, outbox.c.id, outbox.c.envelope, outbox.c.sealed, outbox.c.content_key,
            outbox.c.digest, outbox.c.created_ms, outbox.c.files_total,
        )
        .where(
            outbox.c.state == int(State.QUEUED), outbox.c.priority == int(priority), outbox.c.seq > after
        )
        .order_by(outbox.c.seq)
        .limit(limit)
    )  # fmt: skip
    return [Outgoing(*row) for row in rows]


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
    still = list(
        connection.execute(
            select(outbox.c.seq).where(outbox.c.seq.in_(seqs), outbox.c.state == int(State.QUEUED))
        ).scalars()
    )
    if not still:
        return
    connection.execute(update(outbox).where(outbox.c.seq.in_(still)).values(state=int(State.ACCEPTED)))
    connection.execute(
        update(outbox_recipients)
        .where(outbox_recipients.c.outbox_seq.in_(still), outbox_recipients.c.state == int(State.QUEUED))
        .values(state=int(State.ACCEPTED), at_ms=now_ms)
    )
    add_history(connection, [(seq, "", State.ACCEPTED, "", "", now_ms) for seq in still])


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
        .where(outbox_recipients.c.outbox_seq == seq)
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
    rows = connection.execute(
        select(outbox.c.id, outbox.c.seq, outbox.c.digest, outbox.c.sender).where(
            outbox.c.id.in_(list(set(ids)))
        )
    )
    return {row.id: Ours(row.seq, row.digest, row.sender) for row in rows}


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
    states = {
        (row.outbox_seq, row.recipient): State(row.state)
        for row in connection.execute(
            select(outbox_recipients).where(outbox_recipients.c.outbox_seq.in_(seqs))
        )
    }
    told = {
        (row.outbox_seq, row.recipient, row.state)
        for row in connection.execute(select(outbox_history).where(outbox_history.c.outbox_seq.in_(seqs)))
    }
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
                {"b_seq": mine.seq, "b_recipient": change.recipient, "state": int(change.state),
                 "code": change.code, "at_ms": change.at_ms, "detail": change.answer,
                 "receipt": change.receipt}
            )  # fmt: skip
        if line not in told:
            told.add(line)
            history.append((mine.seq, change.recipient, change.state, change.code, "", change.at_ms))
    if rows:
        connection.execute(_MOVE, rows)
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


_MOVE = (
    update(outbox_recipients)
    .where(
        outbox_recipients.c.outbox_seq == bindparam("b_seq"),
        outbox_recipients.c.recipient == bindparam("b_recipient"),
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
    rows = connection.execute(
        select(receipts).where(receipts.c.seq > after).order_by(receipts.c.seq).limit(limit)
    )
    return [OutgoingReceipt(r.seq, r.id, r.sender, r.recipient, State(r.state), r.receipt) for r in rows]


def receipts_stored(connection: Connection, up_to: int) -> None:
    """Forget receipts that the hub has."""
    connection.execute(delete(receipts).where(receipts.c.seq <= up_to))
