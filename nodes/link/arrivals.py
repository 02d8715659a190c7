"""The SQL of arriving: one transaction that makes a message ours, or finds that it was already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select

from crypto.primitives import blake2b
from nodes.link import begin_again
from nodes.link.inbox import ReceivedFile, content_digest
from nodes.link.opening import Opened
from nodes.link.tables import inbox, inbox_files
from protocols.link.envelope import State
from runtime.driver_sql import LIST_VALUES, PreparedSql


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
    found: dict[_Key, _Given] = {}
    for start in range(0, len(ids), LIST_VALUES):
        rows = _EARLIER.all(connection, ids=ids[start : start + LIST_VALUES])
        found.update({(row[0], row[1], row[2]): _Given(row[3], row[4]) for row in rows})
    return found


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
    rows: list[tuple[Any, ...]] = []
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
    repeats = [
        _key(a.opened) for a, o in zip(arrivals, outcomes, strict=True) if not o.fresh and o is not CONFLICT
    ]
    if repeats:
        begin_again.say_conclusions_again(connection, repeats)
    return outcomes


_Key = tuple[bytes, str, str]


def _key(opened: Opened) -> _Key:
    return opened.envelope.id, opened.envelope.sender, opened.recipient


def _write(connection: Connection, rows: list[tuple[Any, ...]]) -> None:
    if rows:
        _INSERT.run_many(connection, rows)


def _row(arrival: Arrival, now_ms: int) -> tuple[Any, ...]:
    opened = arrival.opened
    envelope, content, stored = opened.envelope, opened.content, arrival.body_path
    digest = content_digest(
        envelope.id, envelope.sender, opened.recipient, envelope.kind, content.subject, content.patient,
        content.key, blake2b(content.body) if stored is None else stored.digest,
    )  # fmt: skip
    return (
        envelope.id, envelope.sender, opened.recipient, opened.digest, envelope.kind, int(envelope.priority),
        content.subject, content.patient, content.key, content.body, stored.path if stored else None,
        stored.digest if stored else None, digest, envelope.created_ms, now_ms, int(State.DELIVERED), "",
        arrival.delivered,
    )  # fmt: skip


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


_LATER = frozenset({"seq", "handed_ms", "conclusion", "concluded_ms"})
_INSERT = PreparedSql(
    insert(inbox).values(
        {column.name: bindparam(column.name) for column in inbox.c if column.name not in _LATER}
    )
)
_EARLIER = PreparedSql(
    select(inbox.c.id, inbox.c.sender, inbox.c.recipient, inbox.c.digest, inbox.c.receipt).where(
        inbox.c.id.in_(bindparam("ids", expanding=True))
    )
)
