"""What arrived here, and whether somebody took it.

A row is written once, in the transaction whose commit is the delivery (``accept``), and
holds the signed receipt that answered the hub, so that a repeat gets the same answer. It
waits in state DELIVERED until an application took it (PROCESSED) or refused it (REFUSED);
``conclude`` records that together with the signed receipt for the sender, in one
transaction, so neither can be lost without the other.

Order: within one priority as they came; STAT before ROUTINE.

What is handed on is what arrived: body, addresses, kind, subject, patient and key are covered by a digest
that was made on arrival (``content_digest``), and every door reads the body by ``body_pieces`` or
``read_body``, which check it. Attachments have digests of their own, which the doors check (``file_pieces``).
Not covered: names and media types of attachments, times, state.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, bindparam, insert, select, update

from crypto import sealing
from crypto.errors import CryptoError
from crypto.keys import SigningPublicKey
from crypto.primitives import blake2b, blake2b_stream
from nodes.link import addressbook
from nodes.link.errors import Damaged, NotFound, Refused
from nodes.link.identity import Identity
from nodes.link.ids import id_text
from nodes.link.tables import inbox, inbox_files, receipts
from protocols.link import limits
from protocols.link.envelope import FILE_KIND, Priority, Receipt, State, facility_of
from runtime.driver_sql import PreparedSql

PIECE_BYTES: Final = 1_048_576


@dataclass(frozen=True, slots=True)
class ReceivedFile:
    """An attachment that arrived: ``path`` (relative to the home) holds the plain bytes."""

    name: str
    media_type: str
    size: int
    digest: bytes
    path: str


@dataclass(frozen=True, slots=True)
class Received:
    """A message that arrived, for one of our mailboxes. ``body`` is empty if ``body_path`` is set."""

    seq: int
    id: bytes
    sender: str
    recipient: str
    kind: str
    priority: Priority
    subject: str
    patient: str
    key: str
    body: bytes = field(repr=False)
    body_path: str | None
    created_ms: int
    received_ms: int
    state: State
    code: str
    handed_ms: int | None
    files: tuple[ReceivedFile, ...]
    content_digest: bytes = field(repr=False)


def waiting(
    connection: Connection,
    *,
    recipients: tuple[str, ...] | None = None,
    limit: int,
    unhanded_only: bool = False,
    kinds: tuple[str, ...] | None = None,
) -> list[Received]:
    """Return what nobody has taken yet, in the order in which it is due; ``recipients`` are addresses.

    ``unhanded_only`` leaves out what was laid out for the application.
    """
    query = (
        select(inbox)
        .where(inbox.c.state == int(State.DELIVERED))
        .order_by(inbox.c.priority.desc(), inbox.c.seq)
        .limit(limit)
    )
    if recipients is not None:
        query = query.where(inbox.c.recipient.in_(recipients))
    if unhanded_only:
        query = query.where(inbox.c.handed_ms.is_(None))
    if kinds is not None:
        query = query.where(inbox.c.kind.in_(kinds))
    return _received(connection, query)


def next_hl7(connection: Connection, recipient: str) -> Received | None:
    """Return what a local system of this mailbox has to get next: HL7, and laid out nowhere.

    Its attachments are not named: they stay here.
    """
    row = _NEXT_HL7.one(connection, recipient=recipient)
    if row is None:
        return None
    found = dict(zip(_NEXT_FIELDS, row, strict=True))
    return Received(
        **found | {"priority": Priority(found["priority"]), "state": State(found["state"]), "files": ()}
    )


_NEXT_FIELDS = tuple(one.name for one in fields(Received) if one.name != "files")
_NEXT_HL7 = PreparedSql(
    select(*(inbox.c[name] for name in _NEXT_FIELDS))
    .where(
        inbox.c.state == int(State.DELIVERED),
        inbox.c.recipient == bindparam("recipient"),
        inbox.c.handed_ms.is_(None),
        inbox.c.kind != FILE_KIND,
    )
    .order_by(inbox.c.priority.desc(), inbox.c.seq),
    " LIMIT 1",
)


def waiting_lots(connection: Connection) -> list[tuple[str, str]]:
    """Return (recipient, kind) of everything that waits and was not laid out anywhere yet, each once."""
    query = (
        select(inbox.c.recipient, inbox.c.kind)
        .where(inbox.c.state == int(State.DELIVERED), inbox.c.handed_ms.is_(None))
        .distinct()
        .order_by(inbox.c.recipient, inbox.c.kind)
    )
    return [(row.recipient, row.kind) for row in connection.execute(query)]


def listing(
    connection: Connection,
    *,
    recipient: str | None = None,
    limit: int = 1_000,
    states: tuple[State, ...] | None = None,
) -> list[Received]:
    """Return what arrived (in ``states``), oldest first, the latest ``limit`` of it; bodies included."""
    query = select(inbox).order_by(inbox.c.seq.desc()).limit(limit)
    if recipient is not None:
        query = query.where(inbox.c.recipient == recipient)
    if states is not None:
        query = query.where(inbox.c.state.in_([int(state) for state in states]))
    return _received(connection, query)[::-1]


def recipients_of(connection: Connection, identifier: bytes) -> list[str]:
    """Return the mailboxes here that one message came to, as addresses; empty if it is not here."""
    query = select(inbox.c.recipient).where(inbox.c.id == identifier)
    return list(connection.execute(query.distinct().order_by(inbox.c.recipient)).scalars())


def find(connection: Connection, identifier: bytes, recipient: str | None = None) -> Received:
    """Return one received message; :class:`NotFound` if it is not here."""
    query = select(inbox).where(inbox.c.id == identifier).order_by(inbox.c.seq)
    if recipient is not None:
        query = query.where(inbox.c.recipient == recipient)
    found = _received(connection, query.limit(1))
    if not found:
        raise NotFound("not-found", f"no message {id_text(identifier)} has arrived here")
    return found[0]


def find_row(connection: Connection, seq: int) -> Received:
    """Return one received message by its number here; :class:`NotFound` if it is not here."""
    found = _received(connection, select(inbox).where(inbox.c.seq == seq))
    if not found:
        raise NotFound("not-found", f"the inbox has no row {seq}")
    return found[0]


def content_digest(
    identifier: bytes,
    sender: str,
    recipient: str,
    kind: str,
    subject: str,
    patient: str,
    key: str,
    body_digest: bytes,
) -> bytes:
    """Return the digest over what is handed on of a message; ``body_digest`` is BLAKE2b-256 of its body."""
    handed_on = (identifier, sender, recipient, kind, subject, patient, key, body_digest)
    return blake2b(msgspec.msgpack.encode(handed_on), person=b"wasl inbox")


def read_body(received: Received, home: Path) -> bytes:
    """Return the body, wherever it is kept; raises as :func:`body_pieces` does."""
    return b"".join(body_pieces(received, home))


def body_pieces(received: Received, home: Path) -> Iterator[bytes]:
    """Yield the body in pieces of up to ``PIECE_BYTES``.

    Raises Damaged at its end unless body, addresses, kind, subject, patient and key are what arrived; OSError
    if it cannot be read.
    """
    digest = blake2b_stream()
    for piece in _pieces(home / received.body_path) if received.body_path else (received.body,):
        digest.update(piece)
        yield piece
    found = content_digest(
        received.id, received.sender, received.recipient, received.kind, received.subject, received.patient,
        received.key, digest.digest(),
    )  # fmt: skip
    if found != received.content_digest:
        place = f"the inbox's row {received.seq}" + (
            f" or {received.body_path}" if received.body_path else ""
        )
        text = f"{place} in {home} does not hold message {id_text(received.id)} as it arrived any more"
        raise Damaged("damaged", f"{text}; restore a backup")


def file_pieces(file: ReceivedFile, home: Path) -> Iterator[bytes]:
    """Yield an attachment's bytes; raises Damaged at its end unless they are those that arrived, OSError."""
    digest = blake2b_stream()
    for piece in _pieces(home / file.path):
        digest.update(piece)
        yield piece
    if digest.digest() != file.digest:
        text = f"{home / file.path} does not hold what arrived as {file.name!r} any more"
        raise Damaged("damaged", f"{text}; restore a backup")


def _pieces(path: Path) -> Iterator[bytes]:
    try:
        stored = path.open("rb")
    except FileNotFoundError:
        raise Damaged("damaged", f"{path} is not there any more, though a message needs it") from None
    with stored:
        while piece := stored.read(PIECE_BYTES):
            yield piece


def hand(connection: Connection, seq: int, now_ms: int) -> bool:
    """Note that a message was laid out for the application, which has not taken it yet.

    Returns False, and changes nothing, if it was concluded meanwhile.
    """
    done = connection.execute(
        update(inbox)
        .where(inbox.c.seq == seq, inbox.c.state == int(State.DELIVERED))
        .values(handed_ms=now_ms)
    )
    return done.rowcount == 1


def take_back(connection: Connection) -> None:
    """Note that nothing which waits is laid out for the application any more."""
    connection.execute(
        update(inbox)
        .where(inbox.c.state == int(State.DELIVERED), inbox.c.handed_ms.is_not(None))
        .values(handed_ms=None)
    )


def handed(connection: Connection, *, after_seq: int = 0, limit: int) -> list[tuple[int, bytes]]:
    """Return (seq, id) of what was laid out and not taken yet, from the one after ``after_seq`` on."""
    query = (
        select(inbox.c.seq, inbox.c.id)
        .where(inbox.c.state == int(State.DELIVERED), inbox.c.handed_ms.is_not(None), inbox.c.seq > after_seq)
        .order_by(inbox.c.seq)
        .limit(limit)
    )
    return [(row.seq, row.id) for row in connection.execute(query)]


@dataclass(frozen=True, slots=True)
class Concluded:
    """A conclusion that was recorded. ``unsealed`` says why the answer does not go with it, else empty."""

    unsealed: str


def conclude(
    connection: Connection,
    identity: Identity,
    seq: int,
    state: State,
    now_ms: int,
    *,
    code: str = "",
    answer: bytes = b"",
) -> Concluded | None:
    """Record that the application took (PROCESSED) or refused (REFUSED) a message, and tell its sender.

    ``answer`` is what the application said (an HL7 acknowledgement, a text), at most
    ``DETAIL_BYTES``, cut if longer; it is sealed for the sender's node, and stays behind (an
    alarm for the caller to raise) if its key is none. Returns None, and changes nothing, if
    the message was concluded before.
    """
    if state not in (State.PROCESSED, State.REFUSED):
        raise Refused("bad-state", f"a message is concluded as processed or refused, not {state.word}")
    row = _WAITING.one(connection, seq=seq)
    if row is None:
        return None
    identifier, digest, sender, recipient = row
    detail, unsealed = _seal_answer(connection, identity.known_authorities, sender, answer)
    receipt = Receipt(
        version=1,
        message_id=identifier,
        digest=digest,
        sender=sender,
        recipient=recipient,
        state=state,
        code=code[: limits.REASON_CODE_CHARS],
        at_ms=now_ms,
        signer_serial=identity.credential.serial,
        detail=detail,
    )
    signed = identity.sign_receipt(receipt)
    _CONCLUDE.run(connection, of_seq=seq, state=int(state), code=code, conclusion=signed, concluded_ms=now_ms)
    _INSERT_RECEIPT.run(
        connection, id=identifier, sender=sender, recipient=recipient, state=int(state), receipt=signed
    )
    return Concluded(unsealed)


_WAITING = PreparedSql(
    select(inbox.c.id, inbox.c.digest, inbox.c.sender, inbox.c.recipient).where(
        inbox.c.seq == bindparam("seq"), inbox.c.state == int(State.DELIVERED)
    )
)
_CONCLUDE = PreparedSql(
    update(inbox)
    .where(inbox.c.seq == bindparam("of_seq"))
    .values({name: bindparam(name) for name in ("state", "code", "conclusion", "concluded_ms")})
)
_INSERT_RECEIPT = PreparedSql(
    insert(receipts).values(
        {name: bindparam(name) for name in ("id", "sender", "recipient", "state", "receipt")}
    )
)


def _seal_answer(
    connection: Connection, authorities: Sequence[SigningPublicKey], sender: str, answer: bytes
) -> tuple[bytes, str]:
    """Return the sealed answer, and why there is none although there should be."""
    if not answer:
        return b"", ""
    credentials = addressbook.credentials_of(connection, facility_of(sender), *authorities)
    if not credentials:
        return b"", ""
    newest = credentials[0]
    try:
        return sealing.seal_detail(newest.sealing_key, answer[: limits.DETAIL_BYTES]), ""
    except CryptoError as fault:
        return b"", f"no answer can be sealed for credential {newest.serial} of {newest.facility}: {fault}"


def _received(connection: Connection, query: Any) -> list[Received]:
    rows = connection.execute(query).all()
    files: dict[int, list[ReceivedFile]] = {}
    seqs = [row.seq for row in rows]
    if seqs:
        found = connection.execute(
            select(inbox_files).where(inbox_files.c.inbox_seq.in_(seqs)).order_by(inbox_files.c.position)
        )
        for file in found:
            files.setdefault(file.inbox_seq, []).append(
                ReceivedFile(file.name, file.media_type, file.size, file.digest, file.path)
            )
    return [
        Received(
            row.seq, row.id, row.sender, row.recipient, row.kind, Priority(row.priority), row.subject,
            row.patient, row.key, row.body, row.body_path, row.created_ms, row.received_ms, State(row.state),
            row.code, row.handed_ms, tuple(files.get(row.seq, ())), row.content_digest,
        )
        for row in rows
    ]  # fmt: skip
