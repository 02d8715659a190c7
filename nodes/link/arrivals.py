"""The SQL of arriving: one transaction that makes a message ours, or finds that it was already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select

from crypto.primitives import blake2b
from nodes.link.inbox import ReceivedFile, content_digest
from nodes.link.opening import Opened
from nodes.link.tables import inbox, inbox_files
from protocols.link.envelope import State


@dataclass(frozen=True, slots=True)
class StoredBody:
    """A body that is a file: where it is, relative to the home, and BLAKE2b-256 of what it holds."""

    path: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class Arrival:
    """An opened message with all of its files on disk, and the receipts for both outcomes."""

    opened: Opened
    body_path: StoredBody | None
    files: tuple[ReceivedFile, ...]
    delivered: bytes
    expired: bytes


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the hub is answered. ``fresh``: it came now, and not before."""

    state: State
    code: str
    receipt: bytes
    fresh: bool


CONFLICT = Outcome(State.RETURNED, "id-conflict", b"", fresh=False)
"""The sender used the id with another content: an alarm for the caller to raise."""


def known(connection: Connection, opened: Opened) -> Outcome | None:
    """Return the answer that was given before, None if this message is new here."""
    given = _given(connection, [opened]).get(_key(opened))
    return None if given is None else _again(given, opened)


def repeated(
    connection: Connection, identifier: bytes, sender: str, recipient: str, digest: bytes
) -> Outcome | None:
    """Return the answer that this very message got before, whether or not it could be opened today."""
    row = connection.execute(
        select(inbox.c.receipt).where(
            inbox.c.id == identifier,
            inbox.c.sender == sender,
            inbox.c.recipient == recipient,
            inbox.c.digest == digest,
        )
    ).one_or_none()
    return None if row is None else Outcome(State.DELIVERED, "", row.receipt, fresh=False)


@dataclass(frozen=True, slots=True)
class _Given:
    """What was answered to a message, and to which content."""

    digest: bytes
    receipt: bytes


def _given(connection: Connection, opened: Sequence[Opened]) -> dict[_Key, _Given]:
    """Return the answers given before to any of these."""
    ids = list({one.envelope.id for one in opened})
    rows = connection.execute(_EARLIER, {"ids": ids})
    return {(row.id, row.sender, row.recipient): _Given(row.digest, row.receipt) for row in rows}


def _again(given: _Given, opened: Opened) -> Outcome:
    same = given.digest == opened.digest
    return Outcome(State.DELIVERED, "", given.receipt, fresh=False) if same else CONFLICT


def files_of_twin(
    connection: Connection, opened: Opened
) -> tuple[StoredBody | None, tuple[ReceivedFile, ...]] | None:
    """Return stored body and files of the same message if it came here for another mailbox, else None."""
    envelope = opened.envelope
    row = connection.execute(
        select(inbox.c.seq, inbox.c.body_path, inbox.c.body_digest)
        .where(inbox.c.id == envelope.id, inbox.c.sender == envelope.sender, inbox.c.digest == opened.digest)
        .limit(1)
    ).one_or_none()
    if row is None:
        return None
    files = connection.execute(
        select(inbox_files).where(inbox_files.c.inbox_seq == row.seq).order_by(inbox_files.c.position)
    )
    body = StoredBody(row.body_path, row.body_digest) if row.body_path is not None else None
    return body, tuple(
        ReceivedFile(file.name, file.media_type, file.size, file.digest, file.path) for file in files
    )


def accept(connection: Connection, arrivals: list[Arrival], now_ms: int) -> list[Outcome]:
    """Commit a batch in order; one outcome each."""
    earlier = _given(connection, [arrival.opened for arrival in arrivals])
    outcomes: list[Outcome] = []
    rows: list[dict[str, Any]] = []
    for arrival in arrivals:
        opened = arrival.opened
        given = earlier.get(_key(opened))
        if given is not None:
            outcome = _again(given, opened)
        elif opened.expired:
            outcome = Outcome(State.RETURNED, "expired", arrival.expired, fresh=False)
        else:
            rows.append(_row(arrival, now_ms))
            earlier[_key(opened)] = _Given(opened.digest, arrival.delivered)
            outcome = Outcome(State.DELIVERED, "", arrival.delivered, fresh=True)
            if arrival.files:
                _write(connection, rows)
                rows = []
                _write_files(connection, arrival)
        outcomes.append(outcome)
    _write(connection, rows)
    return outcomes


_Key = tuple[bytes, str, str]


def _key(opened: Opened) -> _Key:
    return opened.envelope.id, opened.envelope.sender, opened.recipient


def _write(connection: Connection, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(_INSERT, rows)


def _row(arrival: Arrival, now_ms: int) -> dict[str, Any]:
    opened = arrival.opened
    envelope, content, stored = opened.envelope, opened.content, arrival.body_path
    digest = content_digest(
        envelope.id, envelope.sender, opened.recipient, envelope.kind, content.subject, content.patient,
        content.key, blake2b(content.body) if stored is None else stored.digest,
    )  # fmt: skip
    return {
        "id": envelope.id,
        "sender": envelope.sender,
        "recipient": opened.recipient,
        "digest": opened.digest,
        "kind": envelope.kind,
        "priority": int(envelope.priority),
        "subject": content.subject,
        "patient": content.patient,
        "key": content.key,
        "body": content.body,
        "body_path": stored.path if stored else None,
        "body_digest": stored.digest if stored else None,
        "content_digest": digest,
        "created_ms": envelope.created_ms,
        "received_ms": now_ms,
        "state": int(State.DELIVERED),
        "code": "",
        "receipt": arrival.delivered,
    }


def _write_files(connection: Connection, arrival: Arrival) -> None:
    seq = connection.execute(select(func.max(inbox.c.seq))).scalar_one()
    connection.execute(
        insert(inbox_files),
        [
            {"inbox_seq": seq, "position": position, "name": file.name, "media_type": file.media_type,
             "size": file.size, "digest": file.digest, "path": file.path}
            for position, file in enumerate(arrival.files)
        ],
    )  # fmt: skip


# Built once: building a statement costs more than running it.
_INSERT = insert(inbox)
_EARLIER = select(inbox.c.id, inbox.c.sender, inbox.c.recipient, inbox.c.digest, inbox.c.receipt).where(
    inbox.c.id.in_(bindparam("ids", expanding=True))
)
