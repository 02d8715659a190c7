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

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
from sqlalchemy import BindParameter, Connection, bindparam, false, insert, select, true, update

from crypto import sealing
from crypto.primitives import blake2b
from nodes.link import addressbook, facts, tracking
from nodes.link.errors import KeyConflict, NodeError, Refused
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
from runtime.driver_sql import LIST_VALUES, PreparedSql

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
    (done,) = put_all(connection, [(draft, now_ms)])
    if isinstance(done, NodeError):
        raise done
    return done


def put_all(connection: Connection, drafts: Sequence[tuple[Draft, int]]) -> list[Put | NodeError]:
    """Take messages, each with the time of its put; an error in the place of each that cannot be right."""
    book = addressbook.Book(connection)
    faults = [_fault(draft) for draft, _ in drafts]
    usable = [draft for (draft, _), fault in zip(drafts, faults, strict=True) if fault is None]
    earlier = _by_keys(connection, [draft.key for draft in usable if draft.key is not None])
    done: list[Put | NodeError] = []
    fresh: list[_Fresh] = []
    for (draft, now_ms), fault in zip(drafts, faults, strict=True):
        if fault is not None:
            done.append(fault)
            continue
        try:
            put_digest = _put_digest(draft)
            known = None if draft.key is None else earlier.get(draft.key)
            if known is not None:
                done.append(_again(connection, draft, put_digest, known))
                continue
            one = _fresh(draft, put_digest, book.resolve(draft.recipients), now_ms)
        except NodeError as error:
            done.append(error)
            continue
        if draft.key is not None:
            earlier[draft.key] = one.id, put_digest
        fresh.append(one)
        done.append(Put(one.id, State.QUEUED, fresh=True))
    if fresh:
        _insert(connection, fresh)
    return done


class _Fresh(msgspec.Struct, frozen=True):
    """A message that was not here before, sealed."""

    id: bytes
    draft: Draft
    put_digest: bytes
    recipients: tuple[str, ...]
    envelope: bytes
    sealed: bytes
    now_ms: int


def _fresh(draft: Draft, put_digest: bytes, recipients: tuple[str, ...], now_ms: int) -> _Fresh:
    if len(recipients) > limits.RECIPIENTS:
        raise Refused("too-many-recipients", f"{len(recipients)} recipients, at most {limits.RECIPIENTS}")
    identifier = new_id(now_ms)
    envelope, sealed = _seal(draft, identifier, recipients, now_ms)
    return _Fresh(identifier, draft, put_digest, recipients, envelope, sealed, now_ms)


def _insert(connection: Connection, fresh: list[_Fresh]) -> None:
    first = facts.advance(connection, facts.OUTBOX_SEQ, len(fresh)) - len(fresh) + 1
    messages, copies, files = [], [], []
    for seq, one in enumerate(fresh, first):
        draft, prepared = one.draft, one.draft.prepared
        messages.append(
            (seq, one.id, draft.key, one.put_digest, draft.sender, draft.kind, int(draft.priority),
             draft.subject, draft.patient, one.envelope, one.sealed, bytes(prepared.content_key),
             sealing.message_digest(one.envelope, one.sealed), len(prepared.files), one.now_ms,
             one.now_ms + draft.valid_for_ms, int(State.QUEUED))
        )  # fmt: skip
        copies += [
            (seq, recipient, int(State.QUEUED), "", one.now_ms, b"", b"") for recipient in one.recipients
        ]
        files += [
            (seq, position, file.ref.id, file.ref.size, file.ref.root, file.path, 0)
            for position, file in enumerate(prepared.files)
        ]
    _INSERT.run_many(connection, messages)
    _INSERT_RECIPIENT.run_many(connection, copies)
    if files:
        _INSERT_FILE.run_many(connection, files)


_INSERT = PreparedSql(
    insert(outbox).values(
        {column.name: bindparam(column.name) for column in outbox.c if column.name != "settled"}
        | {"settled": false()}
    )
)
_INSERT_RECIPIENT = PreparedSql(insert(outbox_recipients))
_INSERT_FILE = PreparedSql(insert(outbox_files))


def owned_files(connection: Connection) -> set[str]:
    """Return the relative paths of all sealed files that some message still owns."""
    return set(connection.execute(select(outbox_files.c.path)).scalars())


History = tuple[int, str, State, str, str, int]
"""(outbox seq, recipient or "", state, code, text, at_ms)"""


def add_history(connection: Connection, moments: list[History]) -> None:
    """Append lines to the history."""
    if moments:
        _INSERT_HISTORY.run_many(
            connection,
            [(seq, recipient, int(state), *rest) for seq, recipient, state, *rest in moments],
        )


def settle(connection: Connection, seqs: list[int]) -> None:
    """Mark messages of which every recipient's state is final."""
    for start in range(0, len(seqs), LIST_VALUES):
        page = seqs[start : start + LIST_VALUES]
        open_ones = {seq for (seq,) in _OPEN.all(connection, seqs=page)}
        settled = [seq for seq in page if seq not in open_ones]
        if settled:
            _SETTLE.run(connection, seqs=settled)


_INSERT_HISTORY = PreparedSql(
    insert(outbox_history).values(
        {name: bindparam(name) for name in ("outbox_seq", "recipient", "state", "code", "text", "at_ms")}
    )
)
_SEQS: BindParameter[int] = bindparam("seqs", expanding=True)
_OPEN = PreparedSql(
    select(outbox_recipients.c.outbox_seq)
    .where(outbox_recipients.c.outbox_seq.in_(_SEQS), outbox_recipients.c.state < int(State.PROCESSED))
    .distinct()
)
_SETTLE = PreparedSql(update(outbox).where(outbox.c.seq.in_(_SEQS)).values(settled=true()))


# ── inside ─────────────────────────────────────────────────────────────────────────────────


def _fault(draft: Draft) -> Refused | None:
    """Return what is wrong with a draft whatever the tables hold."""
    try:
        _check(draft)
    except Refused as fault:
        return fault
    return None


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


def _by_keys(connection: Connection, keys: list[str]) -> dict[str, tuple[bytes, bytes]]:
    """Return (id, put digest) of what was put with these keys before."""
    found: dict[str, tuple[bytes, bytes]] = {}
    for start in range(0, len(keys), LIST_VALUES):
        rows = _BY_KEY.all(connection, keys=keys[start : start + LIST_VALUES])
        found.update({key: (identifier, put_digest) for key, identifier, put_digest in rows})
    return found


_BY_KEY = PreparedSql(
    select(outbox.c.key, outbox.c.id, outbox.c.put_digest).where(
        outbox.c.key.in_(bindparam("keys", expanding=True))
    )
)


def _again(connection: Connection, draft: Draft, put_digest: bytes, known: tuple[bytes, bytes]) -> Put:
    """Return the answer to a put whose key is known; :class:`KeyConflict` if the content is another."""
    identifier, earlier_digest = known
    if earlier_digest != put_digest:
        raise KeyConflict(
            "key-conflict",
            f"the key {draft.key!r} belongs to message {id_text(identifier)} with another content: use a new "
            "key, or send exactly the same again",
        )
    states = connection.execute(
        select(outbox_recipients.c.state)
        .join(outbox, outbox.c.seq == outbox_recipients.c.outbox_seq)
        .where(outbox.c.id == identifier)
    ).scalars()
    found = tuple(State(state) for state in states)
    return Put(identifier, tracking.overall(found) if found else State.QUEUED, fresh=False)


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
