"""What became of the messages that this facility sent, as ``track`` and the doors show it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, func, select

from crypto import sealing
from nodes.link.errors import NotFound
from nodes.link.ids import id_text
from nodes.link.reading import read_sealed
from nodes.link.tables import outbox, outbox_files, outbox_history, outbox_recipients
from protocols.link.envelope import Content, Priority, State, decode_content, decode_envelope

FINAL: Final = frozenset({State.PROCESSED, State.REFUSED, State.RETURNED})


@dataclass(frozen=True, slots=True)
class RecipientState:
    """Where one recipient's copy is. ``answer`` is the application's answer (HL7 acknowledgement), if any."""

    recipient: str
    state: State
    code: str
    at_ms: int
    answer: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Moment:
    """One line of a message's history; ``recipient`` is empty when it is about the whole message."""

    state: State
    recipient: str
    code: str
    text: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Sent:
    """A message of ours as ``track`` shows it."""

    id: bytes
    key: str | None
    sender: str
    kind: str
    priority: Priority
    subject: str
    patient: str
    created_ms: int
    expires_ms: int
    settled: bool
    recipients: tuple[RecipientState, ...]
    history: tuple[Moment, ...]

    @property
    def state(self) -> State:
        """The state of the whole: of the recipient who is furthest behind, returned ones aside."""
        return overall(tuple(recipient.state for recipient in self.recipients))

    @property
    def reason(self) -> str:
        """Why it came back, if any of it did."""
        return next((r.code for r in self.recipients if r.state in (State.REFUSED, State.RETURNED)), "")


def overall(states: tuple[State, ...]) -> State:
    """Return the state of a message from those of its recipients; a warning is not a state."""
    going = [state for state in states if state not in (State.REFUSED, State.RETURNED)]
    if not going:
        return State.REFUSED if set(states) == {State.REFUSED} else State.RETURNED
    least = min(going)
    return State.ACCEPTED if least is State.DELAYED else least


def find(connection: Connection, identifier: bytes) -> Sent:
    """Return one message of ours by its id; :class:`NotFound` if it is not here."""
    row = connection.execute(select(outbox).where(outbox.c.id == identifier)).one_or_none()
    if row is None:
        raise NotFound("not-found", f"no message {id_text(identifier)} was sent from here")
    return _sent(connection, row)


def find_by_key(connection: Connection, key: str) -> Sent | None:
    """Return the message that was put with this key, or None."""
    row = connection.execute(select(outbox).where(outbox.c.key == key)).one_or_none()
    return None if row is None else _sent(connection, row)


def latest(connection: Connection, limit: int, *, unsettled_only: bool = False) -> list[Sent]:
    """Return the messages put last, newest first."""
    query = select(outbox).order_by(outbox.c.seq.desc()).limit(limit)
    if unsettled_only:
        query = query.where(outbox.c.settled.is_(False))
    return [_sent(connection, row) for row in connection.execute(query).all()]


@dataclass(frozen=True, slots=True)
class SentFile:
    """An attachment of a message of ours. ``digest`` is BLAKE2b-256 of the plain bytes."""

    name: str
    size: int
    digest: bytes


def open_files(connection: Connection, identifier: bytes) -> tuple[SentFile, ...]:
    """Return the attachments of a message of ours, in order; none for one that is not here."""
    row = connection.execute(select(outbox).where(outbox.c.id == identifier)).one_or_none()
    if row is None:
        return ()
    content = decode_content(sealing.open_body(sealing.ContentKey(row.content_key), row.envelope, row.sealed))
    envelope = decode_envelope(row.envelope)
    refs = envelope.attachments[1:] if envelope.body_outside else envelope.attachments
    return tuple(
        SentFile(named.name, ref.size, named.digest) for named, ref in zip(content.files, refs, strict=True)
    )


def open_content(connection: Connection, identifier: bytes, home: Path) -> tuple[Content, bytes]:
    """Return what a message of ours says: its content and its body, wherever that is kept."""
    row = connection.execute(select(outbox).where(outbox.c.id == identifier)).one_or_none()
    if row is None:
        raise NotFound("not-found", f"no message {id_text(identifier)} was sent from here")
    content_key = sealing.ContentKey(row.content_key)
    content = decode_content(sealing.open_body(content_key, row.envelope, row.sealed))
    envelope = decode_envelope(row.envelope)
    if not envelope.body_outside:
        return content, content.body
    first = connection.execute(
        select(outbox_files.c.path).where(outbox_files.c.outbox_seq == row.seq, outbox_files.c.position == 0)
    ).scalar_one()
    return content, read_sealed(home / first, content_key, envelope.attachments[0])


def queue_depth(connection: Connection) -> tuple[int, int | None]:
    """Return how many messages wait for the hub, and when the oldest of them was put (or None)."""
    row = connection.execute(
        select(func.count(), func.min(outbox.c.created_ms)).where(outbox.c.state == int(State.QUEUED))
    ).one()
    return row[0], row[1]


def in_order(noted: Sequence[Moment]) -> tuple[Moment, ...]:
    """Return the lines of a history, in the order in which they were noted, as a life goes.

    An application's word can reach the sender before the answer of its node does (the hub died in between).
    What was processed was delivered before, and by then at the latest; so a line goes before the later states
    of the same recipient, with a time that is not after theirs. Times do not order it otherwise: they are of
    different clocks.
    """

    def place(moment: Moment) -> tuple[int, State]:
        return min(i for i, one in enumerate(noted) if _from(moment, one)), moment.state

    return tuple(
        replace(
            moment, at_ms=min(m.at_ms for m in noted if _from(moment, m) and m.recipient == moment.recipient)
        )
        for moment in sorted(noted, key=place)
    )


def _from(moment: Moment, one: Moment) -> bool:
    """Return whether ``one`` is ``moment`` or a later state of what it is about."""
    return one.state >= moment.state and moment.recipient in ("", one.recipient)


def _sent(connection: Connection, row: Any) -> Sent:
    recipients = connection.execute(
        select(outbox_recipients).where(outbox_recipients.c.outbox_seq == row.seq)
    ).all()
    lines = connection.execute(
        select(outbox_history).where(outbox_history.c.outbox_seq == row.seq).order_by(outbox_history.c.seq)
    ).all()
    history = [Moment(State.QUEUED, "", "", "", row.created_ms)]
    history += (Moment(State(line.state), line.recipient, line.code, line.text, line.at_ms) for line in lines)
    return Sent(
        id=row.id,
        key=row.key,
        sender=row.sender,
        kind=row.kind,
        priority=Priority(row.priority),
        subject=row.subject,
        patient=row.patient,
        created_ms=row.created_ms,
        expires_ms=row.expires_ms,
        settled=row.settled,
        recipients=tuple(
            RecipientState(r.recipient, State(r.state), r.code, r.at_ms, r.detail) for r in recipients
        ),
        history=in_order(history),
    )
