"""What answers what: which of our messages an arrived one names as the one that it answers.

Where a kind of message has a place for that stands in :mod:`protocols.hl7.composing.references`. What stands
there is the *key* under which the first message was sent (the desk's own are UUIDs; a hospital system's are
its order numbers), a dot and a number behind it for one order of several, or the id of the message.

So a message answers one of ours if it names the key or the id of a message that went from this department to
the sender's facility. Anything else begins a thread of its own: what a stranger claims to answer is put with
nothing of ours.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import ColumnElement, Connection, or_, select

from nodes.desk.tables import mail, sent
from nodes.link.ids import parse_id
from nodes.link.tables import outbox, outbox_recipients
from protocols.hl7.composing.references import references_of
from protocols.hl7.er7 import Message
from protocols.hl7.errors import MalformedMessage
from protocols.link import limits
from protocols.link.envelope import facility_of

READ_BYTES: Final = 65_536
"""References are looked for in this much of a message."""
THREAD: Final = 200
"""Messages of a conversation that are shown, the newest, of each side."""


def references(body: bytes) -> tuple[str, ...]:
    """Return what an HL7 body says that it answers: as written, and without an order's number."""
    try:
        named = references_of(Message(body[:READ_BYTES])).answers
    except MalformedMessage:
        return ()
    whole, dot, number = named.rpartition(".")
    both = (named, whole) if dot and number.isdigit() else (named,)
    return tuple(one for one in both if 0 < len(one) <= limits.KEY_CHARS)


def thread_of(
    connection: Connection, sender: str, recipient: str, named: tuple[str, ...]
) -> tuple[bytes, int | None] | None:
    """Return (thread, seq in the outbox of ours that it answers or None); None: it answers nothing known.

    ``sender`` and ``recipient`` are the addresses of the message that ``named`` these references.
    """
    for text in named:
        raw = parse_id(text)
        which = or_(outbox.c.key == text, outbox.c.id == raw) if raw else outbox.c.key == text
        found = _ours(connection, sender, recipient, which)
        if found is not None:
            return found
        if raw is not None:
            # A second message of the same conversation from them: it names one that came from there before.
            row = connection.execute(
                select(mail.c.thread, mail.c.sender).where(mail.c.id == raw).limit(1)
            ).one_or_none()
            if row is not None and facility_of(row.sender) == facility_of(sender):
                return bytes(row.thread), None
    return None


def _ours(
    connection: Connection, sender: str, recipient: str, which: ColumnElement[bool]
) -> tuple[bytes, int] | None:
    row = connection.execute(
        select(outbox.c.seq, outbox.c.id, sent.c.thread)
        .join(sent, sent.c.seq == outbox.c.seq, isouter=True)
        .where(which, outbox.c.sender == recipient)
        .limit(1)
    ).one_or_none()
    if row is None:
        return None
    went_to = connection.execute(
        select(outbox_recipients.c.recipient).where(outbox_recipients.c.outbox_seq == row.seq)
    ).scalars()
    if facility_of(sender) not in {facility_of(one) for one in went_to}:
        return None
    return bytes(row.thread or row.id), int(row.seq)
