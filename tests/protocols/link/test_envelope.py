"""Envelopes, contents and receipts: read from others' hands, so anything may stand in them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto import sealing
from protocols.link import frames as f
from protocols.link import limits
from protocols.link.envelope import (
    AttachmentRef,
    Content,
    Envelope,
    NamedFile,
    Receipt,
    SealedMessage,
    SignedReceipt,
    State,
    Wrap,
    decode_content,
    decode_envelope,
    decode_message,
    decode_receipt,
    encode,
    facility_of,
    mailbox_of,
)
from protocols.link.errors import RemoteError
from tests.protocols.link.samples import D32, ENVELOPE, ID, LABO, values_of

replace = msgspec.structs.replace
CONTENT = Content(b"MSH|", "subject", "123", "key", (NamedFile("a.pdf", "application/pdf", D32),))
MESSAGE = SealedMessage(encode(ENVELOPE), b"sealed", (Wrap("chu-oran", 1, bytes(80)),), 2, bytes(64))
RECEIPT = Receipt(1, ID, D32, "cardio@chu-alger", LABO, State.DELIVERED, "", 1_790_000_000_000, 3, b"")
SIGNED = SignedReceipt(encode(RECEIPT), bytes(64))

DECODERS: list[tuple[Callable[[bytes], Any], Any]] = [
    (decode_envelope, ENVELOPE),
    (decode_content, CONTENT),
    (decode_message, MESSAGE),
    (lambda data: decode_receipt(data)[1], SIGNED),
]


@pytest.mark.parametrize(("decode", "value"), DECODERS)
def test_it_comes_back_the_same(decode: Callable[[bytes], Any], value: Any) -> None:
    assert decode(encode(value)) == value


@pytest.mark.parametrize(("decode", "value"), DECODERS)
def test_cut_anywhere_it_is_refused(decode: Callable[[bytes], Any], value: Any) -> None:
    data = encode(value)
    for end in range(len(data)):
        with pytest.raises(RemoteError):
            decode(data[:end])
    with pytest.raises(RemoteError, match="malformed"):
        decode(data + b"\x00")


@pytest.mark.parametrize(("decode", "value"), DECODERS)
def test_a_later_versions_fields_are_ignored(decode: Callable[[bytes], Any], value: Any) -> None:
    elements = msgspec.msgpack.decode(encode(value))
    assert decode(encode([*elements, {"later": 1}])) == value


@given(values_of(Envelope))
def test_any_envelope_comes_back_the_same(envelope: Envelope) -> None:
    assert decode_envelope(encode(envelope)) == envelope


@given(values_of(Content))
def test_any_content_comes_back_the_same(content: Content) -> None:
    assert decode_content(encode(content)) == content


@given(values_of(Receipt))
def test_any_receipt_comes_back_the_same(receipt: Receipt) -> None:
    signed = SignedReceipt(encode(receipt), bytes(64))
    assert decode_receipt(encode(signed)) == (receipt, signed)


@given(st.binary(max_size=300), st.integers(0, 3))
def test_any_bytes_are_read_or_the_peers_fault(data: bytes, which: int) -> None:
    decode, value = DECODERS[which]
    for start in (b"", encode(value)[:10], b"\x9b\x01\xc4\x10" + ID):
        with suppress(RemoteError):
            decode(start + data)


@given(st.data(), st.integers(0, 3))
def test_one_damaged_byte_is_read_or_the_peers_fault(data: st.DataObject, which: int) -> None:
    decode, value = DECODERS[which]
    encoded = bytearray(encode(value))
    encoded[data.draw(st.integers(0, len(encoded) - 1))] ^= data.draw(st.integers(1, 255))
    with suppress(RemoteError):
        decode(bytes(encoded))


def refused(envelope: Any) -> None:
    with pytest.raises(RemoteError, match="malformed"):
        decode_envelope(encode(envelope))


REF = AttachmentRef(ID, 0, D32)
AT_THE_BOUND: dict[str, tuple[Callable[[int], Envelope], int]] = {
    "recipients": (lambda n: replace(ENVELOPE, recipients=(LABO,) * n), limits.RECIPIENTS),
    "attachments": (lambda n: replace(ENVELOPE, attachments=(REF,) * n), limits.ATTACHMENTS + 1),
    "size": (
        lambda n: replace(ENVELOPE, attachments=(replace(REF, size=n),)),
        limits.ATTACHMENT_MAX_BYTES,
    ),
    "kind": (lambda n: replace(ENVELOPE, kind="K" * n), limits.KIND_CHARS),
    "valid for": (lambda n: replace(ENVELOPE, valid_for_ms=n), limits.VALID_FOR_MAX_MS),
    "created": (lambda n: replace(ENVELOPE, created_ms=n), 1 << 53),
    "version": (lambda n: replace(ENVELOPE, version=n), 1),
    "priority": (lambda n: replace(ENVELOPE, priority=n), 1),
    "mailbox": (lambda n: replace(ENVELOPE, sender="m" * n + "@chu"), 63),
    "facility": (lambda n: replace(ENVELOPE, sender="m@" + "f" * n), 63),
}


@pytest.mark.parametrize("what", AT_THE_BOUND)
def test_a_bound_holds_at_its_edge(what: str) -> None:
    make, bound = AT_THE_BOUND[what]
    assert decode_envelope(encode(make(bound))) == make(bound)
    refused(make(bound + 1))


@pytest.mark.parametrize(
    "wrong",
    [
        {"version": 0},
        {"id": ID[:15]},
        {"id": ID + b"x"},
        {"id": "x" * 16},
        {"sender": "labo"},
        {"sender": "labo@chu@chu"},
        {"sender": "labo@chu\n"},
        {"sender": "../x@chu"},
        {"recipients": ()},
        {"recipients": ("labo",)},
        {"recipients": (LABO, "LABO@chu")},
        {"kind": ""},
        {"kind": "ORU R01"},
        {"kind": "ORU^R01\n"},
        {"kind": "ORU*"},
        {"priority": -1},
        {"created_ms": -1},
        {"valid_for_ms": 0},
        {"commitment": bytes(31)},
        {"body_outside": 1},
        {"attachments": [[ID, -1, D32]]},
        {"attachments": [[ID, 1, bytes(33)]]},
        {"attachments": [[ID[:8], 1, D32]]},
    ],
    ids=str,
)
def test_an_envelope_that_cannot_be_one_is_refused(wrong: dict[str, Any]) -> None:
    refused(replace(ENVELOPE, **wrong))


CONTENT_AT_THE_BOUND: dict[str, tuple[Callable[[int], Content], int]] = {
    "subject": (lambda n: replace(CONTENT, subject="ش" * n), limits.SUBJECT_CHARS),
    "patient": (lambda n: replace(CONTENT, patient="1" * n), limits.PATIENT_CHARS),
    "key": (lambda n: replace(CONTENT, key="k" * n), limits.KEY_CHARS),
    "files": (lambda n: replace(CONTENT, files=CONTENT.files * n), limits.ATTACHMENTS),
    "name": (lambda n: replace(CONTENT, files=(NamedFile("n" * n, "", D32),)), limits.FILE_NAME_CHARS),
    "media type": (
        lambda n: replace(CONTENT, files=(NamedFile("n", "m" * n, D32),)),
        limits.MEDIA_TYPE_CHARS,
    ),
}


@pytest.mark.parametrize("what", CONTENT_AT_THE_BOUND)
def test_a_contents_bound_holds_at_its_edge(what: str) -> None:
    make, bound = CONTENT_AT_THE_BOUND[what]
    assert decode_content(encode(make(bound))) == make(bound)
    with pytest.raises(RemoteError, match="malformed"):
        decode_content(encode(make(bound + 1)))


def test_a_file_has_a_name() -> None:
    with pytest.raises(RemoteError, match="malformed"):
        decode_content(encode(replace(CONTENT, files=(NamedFile("", "", D32),))))


@pytest.mark.parametrize(
    ("decode", "make", "bound"),
    [
        (decode_content, lambda n: replace(CONTENT, body=bytes(n)), limits.CONTENT_BYTES),
        (decode_message, lambda n: replace(MESSAGE, sealed=bytes(n)), limits.MESSAGE_BYTES),
    ],
)
def test_the_whole_has_a_bound(decode: Callable[[bytes], Any], make: Any, bound: int) -> None:
    rest = len(encode(make(bound))) - bound
    assert len(encode(make(bound - rest))) == bound
    decode(encode(make(bound - rest)))
    with pytest.raises(RemoteError, match="too-large"):
        decode(encode(make(bound - rest + 1)))


@pytest.mark.parametrize(
    "wrong",
    [
        replace(MESSAGE, wraps=MESSAGE.wraps * (limits.RECIPIENTS + 1)),
        replace(MESSAGE, wraps=(Wrap("chu-oran", 1, bytes(79)),)),
        replace(MESSAGE, wraps=(Wrap("CHU", 1, bytes(80)),)),
        replace(MESSAGE, wraps=(Wrap("chu", -1, bytes(80)),)),
        replace(MESSAGE, signature=bytes(63)),
        replace(MESSAGE, signer_serial=-1),
        replace(MESSAGE, envelope="text"),
    ],
)
def test_a_message_that_cannot_be_one_is_refused(wrong: SealedMessage) -> None:
    with pytest.raises(RemoteError, match="malformed"):
        decode_message(encode(wrong))


@pytest.mark.parametrize(
    "wrong",
    [
        {"version": 2},
        {"state": 7},
        {"message_id": b""},
        {"digest": bytes(31)},
        {"sender": "x"},
        {"recipient": ""},
        {"code": "c" * (limits.REASON_CODE_CHARS + 1)},
        {"detail": bytes(limits.DETAIL_BYTES + 513)},
    ],
    ids=str,
)
def test_a_receipt_that_cannot_be_one_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(RemoteError):
        decode_receipt(encode(SignedReceipt(encode(replace(RECEIPT, **wrong)), bytes(64))))


def test_what_is_largest_still_fits_what_carries_it() -> None:
    """A message may be as large as its bound says and still be submitted and delivered in one frame."""
    longest = "m" * 63 + "@" + "f" * 63
    blob = bytes(limits.MESSAGE_BYTES)
    f.encode_frame(f.Submit((f.Submission(blob, 1 << 53),)))
    f.encode_frame(f.Deliver((f.Delivery(1 << 62, longest, 1 << 53, blob),)))
    detail = bytes(sealing.MAX_SEALED_DETAIL_BYTES)
    receipt = replace(
        RECEIPT, sender=longest, recipient=longest, code="c" * limits.REASON_CODE_CHARS, detail=detail
    )
    signed = encode(SignedReceipt(encode(receipt), bytes(64)))
    assert decode_receipt(signed)[0] == receipt
    f.encode_frame(f.Receipts((f.ReceiptItem(1 << 62, longest, ID, longest, State.PROCESSED, signed),)))
    f.encode_frame(f.Events((f.Event(1 << 62, ID, longest, State.PROCESSED, "c" * 40, 1 << 53, signed),)))


def test_the_largest_message_a_node_can_make_is_within_the_bound() -> None:
    """64 recipients at 64 facilities, 33 attachments and a full inline body."""
    addresses = tuple("m" * 60 + f"{n:03}" + "@" + "f" * 60 + f"{n:03}" for n in range(limits.RECIPIENTS))
    envelope = replace(ENVELOPE, recipients=addresses, attachments=(REF,) * (limits.ATTACHMENTS + 1))
    wraps = tuple(Wrap(facility_of(address), 1 << 53, bytes(80)) for address in addresses)
    files = (NamedFile("n" * limits.FILE_NAME_CHARS, "m" * 100, D32),) * limits.ATTACHMENTS
    content = Content(bytes(limits.INLINE_BODY_BYTES), "s" * 200, "p" * 64, "k" * 300, files)
    sealed = encode(content)
    assert len(sealed) <= limits.CONTENT_BYTES
    message = SealedMessage(encode(envelope), sealed + bytes(16), wraps, 1 << 53, bytes(64))
    assert len(encode(message)) <= limits.MESSAGE_BYTES


def test_addresses_come_apart() -> None:
    assert (mailbox_of(LABO), facility_of(LABO)) == ("labo", "chu-oran")
    both = replace(ENVELOPE, recipients=(LABO, "cardio@chu-oran", "x@chu-alger", LABO))
    assert both.recipient_facilities == ("chu-oran", "chu-alger")
    assert both.sender_facility == "chu-alger"


def test_the_words_of_states() -> None:
    assert [state.word for state in State] == [
        "queued", "accepted", "delayed", "delivered", "processed", "returned", "returned",
    ]  # fmt: skip
