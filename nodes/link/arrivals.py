"""The SQL of arriving: one transaction that makes a message ours, or finds that it was already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select

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


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the hub is answered. ``fresh``: it came now, and not before."""

    state: State
    code: str
    receipt: bytes
    fresh: bool


_CONFLICT = Outcome(State.RETURNED, "id-conflict", b"", fresh=False)


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
    return Outcome(State.DELIVERED, "", given.receipt, fresh=False) if same else _CONFLICT


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
            if outcome is _CONFLICT:
                text = (
                    f"{opened.envelope.sender} used {id_text(opened.envelope.id)} again with another content"
                )
                facts.raise_alarm(connection, "id-conflict", text, now_ms)
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
    envelope, content = opened.envelope, opened.content
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
        "body_path": arrival.body_path,
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
