"""What this facility sends, and what became of it.

``put`` is the only way in, for every door. It fixes everything that must not change
afterwards: the id, the envelope, the sealed content and their digest. So a message that is
sent again after a crash is the same bytes, and the hub can tell a repeat from a fraud. What
may change until it leaves (which key of a recipient is in use, which of ours signs) is
added by ``nodes.link.sending`` at each attempt.

A sender's own *key* makes a put safe to repeat: the same key with the same content answers
with the same message, with another content it is refused (:class:`KeyConflict`).

Each recipient has a state of its own. Functions here take an open connection and are safe
to run twice; they know nothing of time, threads or the network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, bindparam, insert, select, update

from crypto import sealing
from crypto.primitives import blake2b
from nodes.link import addressbook, tracking
from nodes.link.errors import KeyConflict, Refused
from nodes.link.files import Prepared
from nodes.link.ids import id_text, new_id
from nodes.link.tables import outbox, outbox_files, outbox_history, outbox_recipients
from protocols.link import limits
from protocols.link.envelope import (
    Content,
    Envelope,
    NamedFile,
    Priority,
    State,
    decode_content,
    decode_envelope,
    encode,
)
from protocols.link.errors import RemoteError

DAY_MS: Final = 86_400_000
DEFAULT_VALID_FOR_MS: Final = 5 * DAY_MS


@dataclass(frozen=True, slots=True)
class Draft:
    """What a door asks to be sent. Addresses are ``mailbox@facility``, a recipient may be ``name@group``."""

    sender: str
    recipients: tuple[str, ...]
    kind: str
    prepared: Prepared
    key: str | None = None
    subject: str = ""
    patient: str = ""
    priority: Priority = Priority.ROUTINE
    valid_for_ms: int = DEFAULT_VALID_FOR_MS


@dataclass(frozen=True, slots=True)
class Put:
    """The answer to a put. ``fresh`` is False when the key had been used for this very content before."""

    id: bytes
    state: State
    fresh: bool


def put(connection: Connection, draft: Draft, now_ms: int) -> Put:
    """Take a message: queued when the transaction commits.

    Raises :class:`Refused` (and its children) for a request that cannot be right; nothing
    is changed then, and the caller discards the prepared files.
    """
    _check(draft)
    put_digest = _put_digest(draft)
    if draft.key is not None:
        earlier = _by_key(connection, draft.key, put_digest)
        if earlier is not None:
            return earlier
    recipients = addressbook.resolve(connection, draft.recipients)
    if len(recipients) > limits.RECIPIENTS:
        raise Refused("too-many-recipients", f"{len(recipients)} recipients, at most {limits.RECIPIENTS}")
    identifier = new_id(now_ms)
    envelope, sealed = _seal(draft, identifier, recipients, now_ms)
    prepared = draft.prepared
    row = connection.execute(
        _INSERT,
        {
            "id": identifier,
            "key": draft.key,
            "put_digest": put_digest,
            "sender": draft.sender,
            "kind": draft.kind,
            "priority": int(draft.priority),
            "subject": draft.subject,
            "patient": draft.patient,
            "envelope": envelope,
            "sealed": sealed,
            "content_key": bytes(prepared.content_key),
            "digest": sealing.message_digest(envelope, sealed),
            "files_total": len(prepared.files),
            "created_ms": now_ms,
            "expires_ms": now_ms + draft.valid_for_ms,
            "state": int(State.QUEUED),
            "settled": False,
        },
    )
    assert row.inserted_primary_key is not None
    seq = row.inserted_primary_key[0]
    connection.execute(
        _INSERT_RECIPIENTS,
        [
            {"outbox_seq": seq, "recipient": recipient, "state": int(State.QUEUED), "code": "",
             "at_ms": now_ms, "detail": b"", "receipt": b""}
            for recipient in recipients
        ],
    )  # fmt: skip
    if prepared.files:
        connection.execute(
            insert(outbox_files),
            [
                {"outbox_seq": seq, "position": position, "id": file.ref.id, "size": file.ref.size,
                 "root": file.ref.root, "path": file.path, "chunks_sent": 0}
                for position, file in enumerate(prepared.files)
            ],
        )  # fmt: skip
    add_history(connection, [(seq, "", State.QUEUED, "", "", now_ms)])
    return Put(identifier, State.QUEUED, fresh=True)


def owned_files(connection: Connection) -> set[str]:
    """Return the relative paths of all sealed files that some message still owns."""
    return set(connection.execute(select(outbox_files.c.path)).scalars())


History = tuple[int, str, State, str, str, int]
"""(outbox seq, recipient or "", state, code, text, at_ms)"""


def add_history(connection: Connection, moments: list[History]) -> None:
    """Append lines to the history."""
    names = ("outbox_seq", "recipient", "state", "code", "text", "at_ms")
    rows: list[dict[str, Any]] = [dict(zip(names, moment, strict=True)) for moment in moments]
    for row in rows:
        row["state"] = int(row["state"])
    if rows:
        connection.execute(_INSERT_HISTORY, rows)


def settle(connection: Connection, seqs: list[int]) -> None:
    """Mark messages of which every recipient's state is final."""
    open_ones = select(outbox_recipients.c.outbox_seq).where(
        outbox_recipients.c.outbox_seq.in_(seqs),
        outbox_recipients.c.state.not_in([int(state) for state in tracking.FINAL]),
    )
    connection.execute(
        update(outbox).where(outbox.c.seq.in_(seqs), outbox.c.seq.not_in(open_ones)).values(settled=True)
    )


# Built once: building a statement costs more than running it.
_INSERT = insert(outbox)
_INSERT_RECIPIENTS = insert(outbox_recipients)
_INSERT_HISTORY = insert(outbox_history)
_BY_KEY = select(outbox.c.seq, outbox.c.id, outbox.c.put_digest).where(outbox.c.key == bindparam("key"))


# ── inside ─────────────────────────────────────────────────────────────────────────────────


def _check(draft: Draft) -> None:
    bounds = (
        ("subject", draft.subject, limits.SUBJECT_CHARS),
        ("patient", draft.patient, limits.PATIENT_CHARS),
        ("id (the sender's key)", draft.key or "", limits.KEY_CHARS),
        ("kind", draft.kind, limits.KIND_CHARS),
    )
    for name, value, bound in bounds:
        if len(value) > bound:
            raise Refused("too-long", f"{name} has {len(value)} characters, at most {bound} are allowed")
        if not _is_text(value):
            raise Refused("not-text", f"{name} holds bytes that are no UTF-8 text: {value!a}")
    if not draft.recipients:
        raise Refused("no-recipient", "a message needs at least one recipient, mailbox@facility")
    if not 1 <= draft.valid_for_ms <= limits.VALID_FOR_MAX_MS:
        days = limits.VALID_FOR_MAX_MS // DAY_MS
        raise Refused("valid-for", f"a message is valid for 1 ms to {days} days, not {draft.valid_for_ms} ms")


def _is_text(value: str) -> bool:
    """Return whether UTF-8 can carry it: an argument of the command line may be any bytes."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _put_digest(draft: Draft) -> bytes:
    prepared = draft.prepared
    named = [(file.named.name, file.named.digest) for file in prepared.files if file.named]
    request = [
        draft.sender, sorted(draft.recipients), draft.kind, draft.subject, draft.patient,
        int(draft.priority), prepared.body_digest, named,
    ]  # fmt: skip
    return blake2b(msgspec.msgpack.encode(request), person=b"wasl put")


def _by_key(connection: Connection, key: str, put_digest: bytes) -> Put | None:
    row = connection.execute(_BY_KEY, {"key": key}).one_or_none()
    if row is None:
        return None
    if row.put_digest != put_digest:
        raise KeyConflict(
            "key-conflict",
            f"the key {key!r} belongs to message {id_text(row.id)} with another content: use a new key, "
            "or send exactly the same again",
        )
    states = connection.execute(
        select(outbox_recipients.c.state).where(outbox_recipients.c.outbox_seq == row.seq)
    ).scalars()
    return Put(row.id, tracking.overall(tuple(State(state) for state in states)), fresh=False)


def _seal(draft: Draft, identifier: bytes, recipients: tuple[str, ...], now_ms: int) -> tuple[bytes, bytes]:
    prepared = draft.prepared
    named: tuple[NamedFile, ...] = tuple(file.named for file in prepared.files if file.named)
    content = encode(Content(prepared.body, draft.subject, draft.patient, draft.key or "", named))
    if len(content) > limits.CONTENT_BYTES:
        raise Refused(
            "too-large", f"text and names take {len(content)} bytes, at most {limits.CONTENT_BYTES}"
        )
    try:
        decode_content(content)
    except RemoteError as fault:
        raise Refused("bad-content", f"no recipient could read this message: {fault.text}") from None
    envelope = encode(
        Envelope(
            version=1,
            id=identifier,
            sender=draft.sender,
            recipients=recipients,
            kind=draft.kind,
            priority=draft.priority,
            created_ms=now_ms,
            valid_for_ms=draft.valid_for_ms,
            commitment=sealing.key_commitment(prepared.content_key),
            body_outside=prepared.body_outside,
            attachments=tuple(file.ref for file in prepared.files),
        )
    )
    try:
        decode_envelope(envelope)
    except RemoteError as fault:
        raise Refused("bad-envelope", f"the sender or the kind is none: {fault.text}") from None
    return envelope, sealing.seal_body(prepared.content_key, envelope, content)
