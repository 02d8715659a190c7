"""What travels: the envelope that the hub reads, the content that it cannot, the receipt that comes back.

A *sealed message* has five parts. The **envelope** is encoded once, by the sender, and
from then on kept and compared as those very bytes: it is what is signed, what the body
is bound to, and all that the hub ever learns. The **sealed content** holds everything
private: subject, patient, body, names of files. One **wrap** for each recipient facility
holds the content key for that facility's sealing key. The sender's **signature** covers
envelope and ciphertext; its credential's **serial** says which key made it.

A body over ``INLINE_BODY_BYTES`` travels as the first attachment, in chunks, so that no
message is ever larger than one record and no large one is ever held in memory.

Encodings are MessagePack arrays in field order. A reader ignores elements after those it
knows. All sizes are bytes, all times milliseconds since 1970-01-01 UTC.
"""

from __future__ import annotations

import re
from enum import IntEnum
from functools import lru_cache
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta, Struct

from crypto.identity import ID_PATTERN, MAX_ID_CHARS, is_address
from protocols.link import limits
from protocols.link.errors import RemoteError

Id = Annotated[bytes, Meta(min_length=limits.ID_BYTES, max_length=limits.ID_BYTES)]
Digest = Annotated[bytes, Meta(min_length=32, max_length=32)]
Signature = Annotated[bytes, Meta(min_length=64, max_length=64)]
Facility = Annotated[str, Meta(max_length=MAX_ID_CHARS, pattern=rf"^{ID_PATTERN}\Z")]
Address = Annotated[str, Meta(max_length=limits.ADDRESS_CHARS, pattern=rf"^{ID_PATTERN}@{ID_PATTERN}\Z")]
KnownAddress = Annotated[
    str,
    Meta(max_length=limits.ADDRESS_CHARS, extra_json_schema={"pattern": rf"^{ID_PATTERN}@{ID_PATTERN}\Z"}),
]
"""An address whose pattern is looked at after decoding: the same few come again and again."""
KIND_PATTERN: Final = r"[A-Za-z0-9^_.\-]+"
Kind = Annotated[
    str,
    Meta(min_length=1, max_length=limits.KIND_CHARS, extra_json_schema={"pattern": rf"^{KIND_PATTERN}\Z"}),
]
"""Likewise."""
Size = Annotated[int, Meta(ge=0, le=limits.ATTACHMENT_MAX_BYTES)]
Millis = Annotated[int, Meta(ge=0, le=1 << 53)]
Sequence = Annotated[int, Meta(ge=0, le=1 << 62)]
Serial = Annotated[int, Meta(ge=0, le=1 << 53)]
ReasonCode = Annotated[str, Meta(max_length=limits.REASON_CODE_CHARS)]
ReasonText = Annotated[str, Meta(max_length=limits.REASON_TEXT_CHARS)]

FILE_KIND: Final = "file"
"""The kind of a message that carries attachments and no HL7 body."""


class Priority(IntEnum):
    """HL7-like urgency; within one, order is kept, and STAT overtakes ROUTINE."""

    ROUTINE = 0
    STAT = 1


class State(IntEnum):
    """What became of a message for one recipient. Order is progress, except the last two, which end it."""

    QUEUED = 0
    ACCEPTED = 1
    DELAYED = 2
    DELIVERED = 3
    PROCESSED = 4
    REFUSED = 5
    RETURNED = 6

    @property
    def word(self) -> str:
        """The state as commands print it; an application's refusal is a return like any other."""
        return "returned" if self is State.REFUSED else self.name.lower()


class AttachmentRef(Struct, array_like=True, frozen=True):
    """One attachment as the hub sees it: ``size`` is the plain size, ``root`` the hash over sealed chunks."""

    id: Id
    size: Size
    root: Digest


class Envelope(Struct, array_like=True, frozen=True):
    """The routed unit. ``body_outside``: the first attachment is the body."""

    version: Annotated[int, Meta(ge=1, le=1)]
    id: Id
    sender: KnownAddress
    recipients: Annotated[tuple[KnownAddress, ...], Meta(min_length=1, max_length=limits.RECIPIENTS)]
    kind: Kind
    priority: Priority
    created_ms: Millis
    valid_for_ms: Annotated[int, Meta(ge=1, le=limits.VALID_FOR_MAX_MS)]
    commitment: Digest
    body_outside: bool = False
    attachments: Annotated[tuple[AttachmentRef, ...], Meta(max_length=limits.ATTACHMENTS + 1)] = ()

    @property
    def sender_facility(self) -> str:
        """The facility id after the ``@``."""
        return facility_of(self.sender)

    @property
    def recipient_facilities(self) -> tuple[str, ...]:
        """Distinct recipient facilities, in the order of first mention."""
        return tuple(dict.fromkeys(facility_of(address) for address in self.recipients))


class NamedFile(Struct, array_like=True, frozen=True):
    """What only the ends know of an attachment. ``digest`` is BLAKE2b-256 of the plain bytes."""

    name: Annotated[str, Meta(min_length=1, max_length=limits.FILE_NAME_CHARS)]
    media_type: Annotated[str, Meta(max_length=limits.MEDIA_TYPE_CHARS)]
    digest: Digest


class Content(Struct, array_like=True, frozen=True):
    """What is sealed. ``files`` are in the order of the envelope's attachments, the outside body left out."""

    body: bytes
    subject: Annotated[str, Meta(max_length=limits.SUBJECT_CHARS)] = ""
    patient: Annotated[str, Meta(max_length=limits.PATIENT_CHARS)] = ""
    key: Annotated[str, Meta(max_length=limits.KEY_CHARS)] = ""
    files: Annotated[tuple[NamedFile, ...], Meta(max_length=limits.ATTACHMENTS)] = ()


class Wrap(Struct, array_like=True, frozen=True):
    """The content key for one facility: ``serial`` names the credential whose sealing key opens it."""

    facility: Facility
    serial: Serial
    key: Annotated[bytes, Meta(min_length=80, max_length=80)]


class SealedMessage(Struct, array_like=True, frozen=True):
    """A message as it is submitted, stored and delivered. ``envelope`` is an encoded :class:`Envelope`."""

    envelope: bytes
    sealed: bytes
    wraps: Annotated[tuple[Wrap, ...], Meta(max_length=limits.RECIPIENTS)]
    signer_serial: Serial
    signature: Signature


class Receipt(Struct, array_like=True, frozen=True):
    """What a recipient's node states, and signs, about one message.

    ``state`` is DELIVERED, PROCESSED, REFUSED (the application said no) or RETURNED (the
    node could not verify or open it; ``code`` says why). ``detail`` is sealed for the
    sender's node: the application's answer, which may speak of the patient.
    """

    version: Annotated[int, Meta(ge=1, le=1)]
    message_id: Id
    digest: Digest
    sender: KnownAddress
    recipient: KnownAddress
    state: State
    code: ReasonCode
    at_ms: Millis
    signer_serial: Serial
    detail: Annotated[bytes, Meta(max_length=limits.DETAIL_BYTES + 512)] = b""


class SignedReceipt(Struct, array_like=True, frozen=True):
    """``receipt`` is an encoded :class:`Receipt`; the signature is over those bytes."""

    receipt: bytes
    signature: Signature


KINDS_KEPT: Final = 4_096
"""Kinds that were looked at before and need not be read again."""

_T = TypeVar("_T")

_KIND: Final = re.compile(KIND_PATTERN)

_encoder = msgspec.msgpack.Encoder()
_envelope = msgspec.msgpack.Decoder(Envelope)
_content = msgspec.msgpack.Decoder(Content)
_sealed = msgspec.msgpack.Decoder(SealedMessage)
_receipt = msgspec.msgpack.Decoder(Receipt)
_signed_receipt = msgspec.msgpack.Decoder(SignedReceipt)

encode = _encoder.encode


def facility_of(address: str) -> str:
    """Return the part of ``mailbox@facility`` after the ``@``."""
    return address.rpartition("@")[2]


def mailbox_of(address: str) -> str:
    """Return the part of ``mailbox@facility`` before the ``@``."""
    return address.rpartition("@")[0]


def decode_envelope(data: bytes) -> Envelope:
    """Read an envelope. Raises :class:`RemoteError` (``malformed``) for anything else."""
    envelope = _decode(_envelope, data, limits.MESSAGE_BYTES, "envelope")
    _check_addresses("envelope", envelope.sender, *envelope.recipients)
    if not _is_kind(envelope.kind):
        raise RemoteError("malformed", f"envelope: {envelope.kind!r} is no kind of message")
    return envelope


def decode_content(data: bytes) -> Content:
    """Read an opened content. Raises :class:`RemoteError` (``malformed``) for anything else."""
    return _decode(_content, data, limits.CONTENT_BYTES, "content")


def decode_message(data: bytes) -> SealedMessage:
    """Read a sealed message. Raises :class:`RemoteError` (``malformed``) for anything else."""
    return _decode(_sealed, data, limits.MESSAGE_BYTES, "message")


def decode_receipt(data: bytes) -> tuple[Receipt, SignedReceipt]:
    """Read a signed receipt: the statement, and its bytes with the signature, not verified here."""
    signed = _decode(_signed_receipt, data, limits.RECEIPT_BYTES, "signed receipt")
    receipt = _decode(_receipt, signed.receipt, limits.RECEIPT_BYTES, "receipt")
    _check_addresses("receipt", receipt.sender, receipt.recipient)
    return receipt, signed


def check_receipt(data: bytes, claim: tuple[bytes, str, str, State]) -> None:
    """Check that a signed receipt reads and states ``claim``: message id, sender, recipient, state.

    The signature is not verified: that is the sender's node's. Raises RemoteError.
    """
    receipt, _ = decode_receipt(data)
    if (receipt.message_id, receipt.sender, receipt.recipient, receipt.state) != claim:
        raise RemoteError("malformed", f"the receipt for {claim[2]} is about something else")


def _check_addresses(what: str, *addresses: str) -> None:
    for address in addresses:
        if not is_address(address):
            raise RemoteError("malformed", f"{what}: {address!r} is no address, mailbox@facility")


@lru_cache(maxsize=KINDS_KEPT)
def _is_kind(kind: str) -> bool:
    return _KIND.fullmatch(kind) is not None


def _decode(decoder: msgspec.msgpack.Decoder[_T], data: bytes, bound_bytes: int, what: str) -> _T:
    if len(data) > bound_bytes:
        raise RemoteError("too-large", f"{what} of {len(data)} bytes, at most {bound_bytes} are allowed")
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        raise RemoteError("malformed", f"{what}: {problem}") from None
