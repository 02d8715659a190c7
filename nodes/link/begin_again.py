"""What this node does when its hub was restored from a backup: it knows more than the hub does.

The restored hub says a new epoch in WELCOME. In the transaction that notes it, before anything is submitted:

- **Messages of ours that have not ended are queued again**, accepted or not. The hub that forgot one takes it
  anew, the hub that knows it answers as before, and a recipient that has it already answers with its first
  receipt. So each is delivered once, or comes back with a reason, in the order of the puts.
  Left out is what all recipients have and only an application has not finished, if the hub accepted it
  long before the backup was made: the restored hub knows that one.
- **What applications here said is said again**, if it was said after the backup was made, or shortly before;
  and whenever a message is delivered to us a second time. The sender may not have heard it.

A copy that came back stays so: its address goes with the message (AGAIN), and the hub delivers it no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, Connection, exists, insert, or_, select, tuple_, update

from nodes.link import facts
from nodes.link.tables import inbox, outbox, outbox_history, outbox_recipients, receipts
from protocols.link.envelope import State
from protocols.link.payloads import Welcome
from runtime.driver_sql import LIST_VALUES

MARGIN_MS: Final = 26 * 3_600_000
"""How wrong a clock may be (a day, and a bit), as for credentials."""
_NEVER: Final = -1
_SAID: Final = (int(State.PROCESSED), int(State.REFUSED))


@dataclass(frozen=True, slots=True)
class Begun:
    """How a session begins. ``again``: the hub's epoch is new to us, and the hub is not."""

    again: bool
    again_seq: int
    messages: int = 0
    receipts: int = 0

    def told(self) -> str:
        """Say it to the operator."""
        return (
            f"the hub was restored from a backup; {self.messages} messages that have not ended are submitted"
            f" again, {self.receipts} answers are said again"
        )


def session_began(connection: Connection, *, welcome: Welcome, ahead_ms: int) -> Begun:
    """Note that a session begins; begin again if the hub did. ``ahead_ms``: its clock against ours."""
    if welcome.epoch == 0:
        facts.session_began(connection)
        return Begun(again=False, again_seq=0)
    if welcome.epoch == facts.get(connection, facts.HUB_EPOCH):
        facts.session_began(connection)
        return Begun(again=False, again_seq=facts.get(connection, facts.AGAIN_SEQ))
    known = facts.get(connection, facts.CONNECTED, _NEVER) != _NEVER
    facts.session_ended(connection)  # the last one, if its end was not noted
    again_seq = facts.get(connection, facts.OFFERED_SEQ)
    since_ms = welcome.epoch_from_ms - ahead_ms - MARGIN_MS
    messages = _queue_again(connection, since_ms)
    said = _say_again_since(connection, since_ms)
    facts.put(connection, facts.HUB_EPOCH, welcome.epoch)
    facts.put(connection, facts.AGAIN_SEQ, again_seq)
    facts.session_began(connection)
    return Begun(again=known, again_seq=again_seq, messages=messages, receipts=said)


def _queue_again(connection: Connection, since_ms: int) -> int:
    """Queue what has not ended; returns how many messages."""
    undelivered = exists().where(
        outbox_recipients.c.outbox_seq == outbox.c.seq, outbox_recipients.c.state < int(State.DELIVERED)
    )
    accepted_since = exists().where(
        outbox_history.c.outbox_seq == outbox.c.seq,
        outbox_history.c.state == int(State.ACCEPTED),
        outbox_history.c.at_ms >= since_ms,
    )
    return connection.execute(
        update(outbox)
        .where(
            outbox.c.state == int(State.ACCEPTED),
            outbox.c.settled.is_(False),
            or_(undelivered, accepted_since),
        )
        .values(state=int(State.QUEUED))
    ).rowcount


def _say_again_since(connection: Connection, since_ms: int) -> int:
    return _repeat(connection, inbox.c.concluded_ms >= since_ms)


def say_conclusions_again(connection: Connection, keys: Sequence[tuple[bytes, str, str]]) -> None:
    """Queue once more what applications said of these messages: (id, sender, recipient) each."""
    for start in range(0, len(keys), LIST_VALUES):
        page = keys[start : start + LIST_VALUES]
        _repeat(connection, tuple_(inbox.c.id, inbox.c.sender, inbox.c.recipient).in_(page))


def _repeat(connection: Connection, which: ColumnElement[bool]) -> int:
    said = select(inbox.c.id, inbox.c.sender, inbox.c.recipient, inbox.c.state, inbox.c.conclusion).where(
        which,
        inbox.c.conclusion.is_not(None),
        inbox.c.state.in_(_SAID),
        # What waits anyhow is not said twice.
        ~exists().where(
            receipts.c.id == inbox.c.id,
            receipts.c.sender == inbox.c.sender,
            receipts.c.recipient == inbox.c.recipient,
        ),
    )
    names = ["id", "sender", "recipient", "state", "receipt"]
    return connection.execute(insert(receipts).from_select(names, said.order_by(inbox.c.seq))).rowcount


def returned_of(connection: Connection, seqs: Sequence[int]) -> dict[int, tuple[str, ...]]:
    """Return of these messages (outbox seq) the recipients whose copy came back."""
    rows = connection.execute(
        select(outbox_recipients.c.outbox_seq, outbox_recipients.c.recipient)
        .where(outbox_recipients.c.outbox_seq.in_(seqs), outbox_recipients.c.state == int(State.RETURNED))
        .order_by(outbox_recipients.c.recipient)
    )
    found: dict[int, tuple[str, ...]] = {}
    for seq, recipient in rows:
        found[seq] = (*found.get(seq, ()), recipient)
    return found
