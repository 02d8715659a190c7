"""The SQL of arriving: one transaction that makes a message ours, or finds that it was already."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, insert, select

from nodes.link import facts
from nodes.link.ids import id_text
from nodes.link.inbox import ReceivedFile
from nodes.link.opening import Opened
from nodes.link.tables import inbox, inbox_files
from protocols.link.envelope import State


@dataclass(frozen=True, slots=True)
class Arrival:
    """An opened message with all of its files on disk, and the receipts for both outcomes."""

    opened: Opened
    body_path: str | None
    files: tuple[ReceivedFile, ...]
    delivered: bytes
    expired: bytes
    conflict: bytes


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the hub is answered. ``fresh``: it came now, and not before."""

    state: State
    code: str
    receipt: bytes
    fresh: bool


def known(connection: Connection, opened: Opened) -> Outcome | None:
    """Return the answer that was given before, None if this message is new here."""
    envelope = opened.envelope
    row = connection.execute(
        select(inbox.c.digest, inbox.c.receipt).where(
            inbox.c.id == envelope.id,
            inbox.c.sender == envelope.sender,
            inbox.c.recipient == opened.recipient,
        )
    ).one_or_none()
    if row is None:
        return None
    same = row.digest == opened.digest
    return Outcome(State.DELIVERED, "", row.receipt, fresh=False) if same else _CONFLICT


def files_of_twin(
    connection: Connection, opened: Opened
) -> tuple[str | None, tuple[ReceivedFile, ...]] | None:
    """Return body path and files of the same message if it came here for another mailbox, else None."""
    envelope = opened.envelope
    row = connection.execute(
        select(inbox.c.seq, inbox.c.body_path)
        .where(inbox.c.id == envelope.id, inbox.c.sender == envelope.sender, inbox.c.digest == opened.digest)
        .limit(1)
    ).one_or_none()
    if row is None:
        return None
    files = connection.execute(
        select(inbox_files).where(inbox_files.c.inbox_seq == row.seq).order_by(inbox_files.c.position)
    )
    return row.body_path, tuple(
        ReceivedFile(file.name, file.media_type, file.size, file.digest, file.path) for file in files
    )


_CONFLICT = Outcome(State.RETURNED, "id-conflict", b"", fresh=False)


def accept(connection: Connection, arrivals: list[Arrival], now_ms: int) -> list[Outcome]:
    """Commit a batch in order; one outcome each."""
    return [_accept(connection, arrival, now_ms) for arrival in arrivals]


def _accept(connection: Connection, arrival: Arrival, now_ms: int) -> Outcome:
    opened = arrival.opened
    earlier = known(connection, opened)
    if earlier is _CONFLICT:
        text = f"{opened.envelope.sender} used {id_text(opened.envelope.id)} again with another content"
        facts.raise_alarm(connection, "id-conflict", text, now_ms)
        return Outcome(State.RETURNED, "id-conflict", arrival.conflict, fresh=False)
    if earlier is not None:
        return earlier
    if opened.expired:
        return Outcome(State.RETURNED, "expired", arrival.expired, fresh=False)
    envelope, content = opened.envelope, opened.content
    row = connection.execute(
        insert(inbox).values(
            id=envelope.id,
            sender=envelope.sender,
            recipient=opened.recipient,
            digest=opened.digest,
            kind=envelope.kind,
            priority=int(envelope.priority),
            subject=content.subject,
            patient=content.patient,
            key=content.key,
            body=content.body,
            body_path=arrival.body_path,
            created_ms=envelope.created_ms,
            received_ms=now_ms,
            state=int(State.DELIVERED),
            code="",
            receipt=arrival.delivered,
        )
    )
    assert row.inserted_primary_key is not None
    seq = row.inserted_primary_key[0]
    if arrival.files:
        connection.execute(
            insert(inbox_files),
            [
                {"inbox_seq": seq, "position": position, "name": file.name, "media_type": file.media_type,
                 "size": file.size, "digest": file.digest, "path": file.path}
                for position, file in enumerate(arrival.files)
            ],
        )  # fmt: skip
    return Outcome(State.DELIVERED, "", arrival.delivered, fresh=True)
