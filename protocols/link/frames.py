"""What is said on the link: the frames, as values and as bytes.

A record's plaintext is a run of whole frames, each a 2-byte big-endian length and a
MessagePack array whose first element is the frame's type. Frames that speak of messages
carry lists: one ACCEPTED answers hundreds of SUBMITs.

Attachments are *pulled*, in both directions: the side that stores says WANT for a range
of chunks, the side that has them sends exactly those. A WANT is at once the answer to
"which chunks do you have?" and the credit for the next ones.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from protocols.link import limits
from protocols.link.entries import DirectoryEntry
from protocols.link.envelope import (
    Address,
    Digest,
    Facility,
    Id,
    Millis,
    ReasonCode,
    ReasonText,
    Sequence,
    Size,
    State,
)
from protocols.link.errors import LocalError, RemoteError

Count = Annotated[int, Meta(ge=0, le=1 << 40)]
MessageBlob = Annotated[bytes, Meta(max_length=limits.MESSAGE_BYTES)]
ReceiptBlob = Annotated[bytes, Meta(max_length=limits.RECEIPT_BYTES)]
Ids = Annotated[tuple[Id, ...], Meta(max_length=limits.IDS_PER_FRAME)]


class Goodbye(IntEnum):
    """Why a side ends the session."""

    DONE = 0
    RESTARTING = 1
    REPLACED = 2
    PROTOCOL_FAULT = 3
    UNKNOWN_KEY = 4
    REVOKED = 5
    SUSPENDED = 6
    TOO_MANY_SESSIONS = 7
    INVITATION_REFUSED = 8
    INTERNAL = 9
    PENDING = 10


class Frame(Struct, array_like=True, frozen=True):
    """Base of all frames."""


class Ready(Frame, frozen=True, tag=1):
    """The node's first frame: proves that it holds the keys of this session."""


class Ping(Frame, frozen=True, tag=2):
    """Asks whether the other is still there."""

    token: Sequence


class Pong(Frame, frozen=True, tag=3):
    """I am; ``now_ms`` is the answerer's clock."""

    token: Sequence
    now_ms: Millis


class Rekey(Frame, frozen=True, tag=4):
    """Last frame of its record: the sender's next record uses the next key (Noise, section 11.3)."""


class End(Frame, frozen=True, tag=5):
    """Goodbye: the last frame that its sender sends."""

    reason: Goodbye
    text: ReasonText = ""
    retry_after_s: Annotated[int, Meta(ge=0, le=86_400)] = 0


class Join(Frame, frozen=True, tag=10):
    """Node to hub, on a joining session: the public keys to be certified for the invited facility."""

    signing_key: Digest
    sealing_key: Digest
    proof: Annotated[bytes, Meta(min_length=64, max_length=64)]


Changes = Annotated[
    tuple[Annotated[bytes, Meta(max_length=limits.TRUST_BYTES)], ...], Meta(max_length=limits.TRUST_CHANGES)
]


class Joined(Frame, frozen=True, tag=11):
    """Hub to node: the signed credential and the facility's own entry. Asked again, the same answer.

    ``trust``: as in DIRECTORY, those that the code did not know yet.
    """

    facility: Facility
    credential: Annotated[bytes, Meta(max_length=limits.STATEMENT_BYTES)]
    entry: DirectoryEntry
    trust: Changes = ()


class Renew(Frame, frozen=True, tag=12):
    """Node to hub: certify these public keys beside the present ones. Asked again, the same answer.

    ``proof`` is signed with the new signing key, ``endorsement`` with the present one (section 12.4).
    """

    link_key: Digest
    signing_key: Digest
    sealing_key: Digest
    proof: Annotated[bytes, Meta(min_length=64, max_length=64)]
    endorsement: Annotated[bytes, Meta(min_length=64, max_length=64)]


class Renewed(Frame, frozen=True, tag=13):
    """Hub to node: the new credential; empty if it waits for the authority, or is refused with a code."""

    credential: Annotated[bytes, Meta(max_length=limits.STATEMENT_BYTES)]
    code: ReasonCode = ""
    text: ReasonText = ""


class Submission(Struct, array_like=True, frozen=True):
    """``age_ms``: how long the message has waited at the node; the hub's clock alone decides expiry."""

    message: MessageBlob
    age_ms: Millis


class Submit(Frame, frozen=True, tag=20):
    """Node to hub: take these, in this order."""

    messages: tuple[Submission, ...]


class AgainItem(Struct, array_like=True, frozen=True):
    """One message. ``returned``: the recipients whose copy came back to its sender, and stays so."""

    id: Id
    returned: Annotated[tuple[Address, ...], Meta(max_length=limits.RECIPIENTS)] = ()


class Again(Frame, frozen=True, tag=25):
    """Node to hub, before SUBMIT: these may have been accepted before this hub was restored from a backup."""

    items: tuple[AgainItem, ...]


class Accepted(Frame, frozen=True, tag=21):
    """Hub to node: these are committed here, with all their attachments."""

    ids: Ids


class Refusal(Struct, array_like=True, frozen=True):
    """Why one message was not taken, for good."""

    id: Id
    code: ReasonCode
    text: ReasonText = ""


class Refused(Frame, frozen=True, tag=22):
    """Hub to node: these will never be taken as they are."""

    refusals: tuple[Refusal, ...]


class Busy(Frame, frozen=True, tag=23):
    """Hub to node: nothing after the last answer was taken; wait, say RESUME, submit again from there."""

    retry_after_ms: Annotated[int, Meta(ge=0, le=3_600_000)]
    text: ReasonText = ""


class Resume(Frame, frozen=True, tag=24):
    """Node to hub: I have seen BUSY; what follows is new."""


class Delivery(Struct, array_like=True, frozen=True):
    """One message for one recipient. ``remaining_ms`` 0: expired; take it only if it was taken before."""

    sequence: Sequence
    recipient: Address
    remaining_ms: Millis
    message: MessageBlob


class Deliver(Frame, frozen=True, tag=30):
    """Hub to node: these are for you, in this order."""

    deliveries: tuple[Delivery, ...]


class Taking(Struct, array_like=True, frozen=True):
    """What became of one delivery; ``receipt`` is the node's signed receipt."""

    sequence: Sequence
    state: State
    code: ReasonCode
    receipt: ReceiptBlob


class Taken(Frame, frozen=True, tag=31):
    """Node to hub: these are committed here, or cannot be (state RETURNED), and here is my signature."""

    takings: tuple[Taking, ...]


class ReceiptItem(Struct, array_like=True, frozen=True):
    """A later statement of the recipient's side: processed or refused by the application."""

    sequence: Sequence
    sender: Address
    id: Id
    recipient: Address
    state: State
    receipt: ReceiptBlob


class Receipts(Frame, frozen=True, tag=40):
    """Node to hub: pass these on to the senders."""

    items: tuple[ReceiptItem, ...]


class ReceiptsStored(Frame, frozen=True, tag=41):
    """Hub to node: receipts up to and including this sequence number are committed here."""

    up_to: Sequence


class Event(Struct, array_like=True, frozen=True):
    """News of a message for its sender. ``receipt`` is empty when the hub itself speaks."""

    sequence: Sequence
    id: Id
    recipient: Address
    state: State
    code: ReasonCode
    at_ms: Millis
    receipt: ReceiptBlob


class Events(Frame, frozen=True, tag=42):
    """Hub to node: what became of your messages, in order of sequence."""

    events: tuple[Event, ...]


class EventsTaken(Frame, frozen=True, tag=43):
    """Node to hub: events up to and including this sequence number are committed here."""

    up_to: Sequence


class Offer(Frame, frozen=True, tag=50):
    """Node to hub: I want to store this attachment with you."""

    id: Id
    size: Size
    root: Digest


class Want(Frame, frozen=True, tag=51):
    """Send me the chunks ``first`` <= index < ``until`` that this session has not brought yet.

    All before ``first`` are at the asker; a hub says so only of what is durable.
    """

    id: Id
    first: Count
    until: Count


class Chunk(Frame, frozen=True, tag=52):
    """One sealed chunk. The record protects it in transit, the store's hash at rest, its tag end to end."""

    id: Id
    index: Count
    data: bytes


class Stored(Frame, frozen=True, tag=53):
    """Hub to node: the whole attachment is durable here and its root is right."""

    id: Id


class FileRefused(Frame, frozen=True, tag=54):
    """This attachment cannot be stored, or is not here; ``retry_after_ms`` 0: not ever."""

    id: Id
    code: ReasonCode
    text: ReasonText = ""
    retry_after_ms: Annotated[int, Meta(ge=0, le=3_600_000)] = 0


class DirectoryWanted(Frame, frozen=True, tag=60):
    """Node to hub: tell me what changed after this version, now and from now on. Once a session."""

    version: Sequence


class Directory(Frame, frozen=True, tag=61):
    """Hub to node: changed entries in order of version; ``complete`` when nothing newer is known.

    ``trust``: changes of the hub's and the authority's keys, in order, to be followed before the entries.
    """

    entries: tuple[DirectoryEntry, ...]
    complete: bool
    trust: Changes = ()


CheckpointBlob = Annotated[bytes, Meta(max_length=limits.CHECKPOINT_BYTES)]


class Checkpoint(Frame, frozen=True, tag=70):
    """Hub to node: how long my audit log is by now, signed, and that it grew out of what you named last.

    ``proof`` is RFC 6962's consistency proof, empty if the sizes are equal or you named nothing. ``keys``: if
    another key signs than signed what you named, how the one came from the other.
    """

    statement: CheckpointBlob
    proof: Annotated[tuple[Digest, ...], Meta(max_length=limits.PROOF_HASHES)]
    keys: Annotated[tuple[CheckpointBlob, ...], Meta(max_length=limits.AUDIT_KEYS)] = ()


class Witnessed(Frame, frozen=True, tag=71):
    """Node to hub: the last checkpoint that I have, and my signature of it; empty and 0 if I have none.

    ``serial`` is that of the credential whose signing key signed.
    """

    statement: CheckpointBlob
    serial: Sequence
    signature: Annotated[bytes, Meta(max_length=limits.SIGNATURE_BYTES)]


AnyFrame = (
    Ready | Ping | Pong | Rekey | End
    | Join | Joined | Renew | Renewed
    | Again | Submit | Accepted | Refused | Busy | Resume
    | Deliver | Taken
    | Receipts | ReceiptsStored | Events | EventsTaken
    | Offer | Want | Chunk | Stored | FileRefused
    | DirectoryWanted | Directory
    | Checkpoint | Witnessed
)  # fmt: skip

_HEADER: Final = struct.Struct(">H")
_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[AnyFrame] = msgspec.msgpack.Decoder(AnyFrame)


def encode_frame(frame: AnyFrame) -> bytes:
    """Return the frame with its length before it; :class:`LocalError` if it would not fit one record."""
    body = _encoder.encode(frame)
    if len(body) > limits.FRAME_BYTES:
        raise LocalError(f"{type(frame).__name__} of {len(body)} bytes; a frame holds {limits.FRAME_BYTES}")
    return _HEADER.pack(len(body)) + body


def decode_frames(plain: bytes) -> Iterator[AnyFrame]:
    """Yield the frames of one record's plaintext; :class:`RemoteError` at the first that is wrong."""
    position, end = 0, len(plain)
    view = memoryview(plain)
    while position < end:
        if end - position < limits.FRAME_HEADER_BYTES:
            raise RemoteError("malformed", f"record ends inside a frame's length, at byte {position}")
        (length,) = _HEADER.unpack_from(plain, position)
        position += limits.FRAME_HEADER_BYTES
        if length > end - position:
            raise RemoteError(
                "malformed", f"frame of {length} bytes at byte {position}, {end - position} are left"
            )
        try:
            yield _decoder.decode(view[position : position + length])
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
            raise RemoteError("malformed", f"frame at byte {position}: {problem}") from None
        position += length
