"""The frames' codec: everything that may be said comes back the same, everything else is the peer's fault."""

from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.link import frames as f
from protocols.link import limits, payloads
from protocols.link.entries import DirectoryEntry, Mailbox
from protocols.link.envelope import State
from protocols.link.errors import LocalError, RemoteError
from tests.protocols.link.samples import ANY_FRAME, D32, FRAME_TYPES, ID, LABO, SAMPLES, values_of

pack = msgspec.msgpack.encode


def framed(body: bytes) -> bytes:
    return struct.pack(">H", len(body)) + body


def refused(plain: bytes) -> RemoteError:
    with pytest.raises(RemoteError) as caught:
        list(f.decode_frames(plain))
    return caught.value


def test_the_samples_leave_no_frame_out() -> None:
    assert [type(frame) for frame in SAMPLES] == list(FRAME_TYPES)


@pytest.mark.parametrize("frame", SAMPLES, ids=lambda frame: type(frame).__name__)
def test_a_frame_comes_back_the_same(frame: f.AnyFrame) -> None:
    data = f.encode_frame(frame)
    assert list(f.decode_frames(data)) == [frame]
    assert int.from_bytes(data[:2], "big") == len(data) - 2


@given(st.lists(ANY_FRAME, max_size=6))
def test_any_run_of_frames_comes_back_the_same(frames: list[f.AnyFrame]) -> None:
    assert list(f.decode_frames(b"".join(map(f.encode_frame, frames)))) == frames


def test_an_empty_record_says_nothing() -> None:
    assert list(f.decode_frames(b"")) == []


def frames_or_fault(plain: bytes) -> list[f.AnyFrame] | RemoteError:
    try:
        return list(f.decode_frames(plain))
    except RemoteError as fault:
        return fault


@given(st.binary(max_size=300))
def test_any_bytes_are_frames_or_the_peers_fault(data: bytes) -> None:
    result = frames_or_fault(data)
    assert (result.code == "malformed") if isinstance(result, RemoteError) else (result or not data)


@given(ANY_FRAME, st.data())
def test_a_damaged_frame_is_a_frame_or_the_peers_fault(frame: f.AnyFrame, data: st.DataObject) -> None:
    encoded = bytearray(f.encode_frame(frame))
    position = data.draw(st.integers(0, len(encoded) - 1))
    encoded[position] ^= data.draw(st.integers(1, 255))
    result = frames_or_fault(bytes(encoded))
    assert not isinstance(result, RemoteError) or len(result.text) <= limits.REASON_TEXT_CHARS


@pytest.mark.parametrize("frame", SAMPLES, ids=lambda frame: type(frame).__name__)
def test_a_frame_cut_anywhere_is_refused(frame: f.AnyFrame) -> None:
    data = f.encode_frame(frame)
    for end in range(1, len(data)):
        refused(data[:end])
        if end > 2:
            refused(framed(data[2:end]))


@pytest.mark.parametrize("frame", SAMPLES, ids=lambda frame: type(frame).__name__)
def test_elements_of_a_later_version_are_ignored(frame: f.AnyFrame) -> None:
    elements = [*msgspec.msgpack.decode(f.encode_frame(frame)[2:]), {"new": [1, b"x"]}, None]
    if isinstance(frame, f.Pong | f.Ping | f.Rekey | f.Ready | f.Resume):
        assert list(f.decode_frames(framed(pack(elements)))) == [frame]
        return
    whole = _with_all_fields(frame)
    assert list(f.decode_frames(framed(pack([*whole, "later"])))) == [frame]


def _with_all_fields(frame: f.AnyFrame) -> list[Any]:
    tag = type(frame).__struct_config__.tag
    return [tag, *(getattr(frame, name) for name in type(frame).__struct_fields__)]


@pytest.mark.parametrize(
    ("plain", "why"),
    [
        (b"\x00", "length"),
        (b"\x00\x00", "truncated"),
        (b"\x00\x05\x91\x01", "are left"),
        (framed(b""), "truncated"),
        (framed(pack([1]) + b"\x00"), "trailing"),
        (framed(pack({"type": 1})), "array"),
        (framed(pack([])), "length"),
        (framed(pack([99])), "99"),
        (framed(pack([-1])), "-1"),
        (framed(pack(["1"])), "str"),
        (framed(pack([2])), "length"),
        (framed(pack([2, "7"])), "int"),
        (framed(pack([2, 7.0])), "int"),
        (framed(pack([2, True])), "int"),
        (framed(pack([2, -1])), ">= 0"),
        (framed(pack([2, 1 << 63])), "<="),
        (framed(pack([5, 77])), "77"),
        (framed(pack([5, 0, b"text"])), "str"),
        (framed(b"\x93\x05\x00\xa3\xed\xa0\x80"), "utf-8"),
        (framed(pack([21, [ID[:15]]])), "length"),
        (framed(pack([21, [ID + b"x"]])), "length"),
        (framed(pack([21, ["x" * 16]])), "bytes"),
        (framed(pack([31, [[1, 9, "", b""]]])), "9"),
        (framed(b"\x92\x01" + b"\x91" * 3_000 + b"\x00"), "recursion"),
        (framed(b"\x92\x01\xc1"), "malformed"),
        (framed(b"\x92\x15\xdd\xff\xff\xff\xff"), "length"),
    ],
)
def test_what_is_wrong_is_named(plain: bytes, why: str) -> None:
    fault = refused(plain)
    assert fault.code == "malformed"
    assert why in fault.text


def test_what_came_before_a_wrong_frame_is_heard() -> None:
    frames = f.decode_frames(f.encode_frame(f.Ping(1)) + framed(b"\xc1"))
    assert next(frames) == f.Ping(1)
    with pytest.raises(RemoteError):
        next(frames)


def _delivery(message_bytes: int) -> f.Deliver:
    return f.Deliver((f.Delivery(1, LABO, 1, bytes(message_bytes)),))


def _entry(**fields: Any) -> f.Directory:
    shape: dict[str, Any] = {
        "version": 1,
        "name": "chu-oran",
        "title": "t",
        "active": True,
        "statements": (b"s",),
        "mailboxes": (),
    }
    return f.Directory((DirectoryEntry(**shape | fields),), complete=True)


def _item(receipt_bytes: int) -> f.Receipts:
    return f.Receipts((f.ReceiptItem(1, LABO, ID, LABO, State.PROCESSED, bytes(receipt_bytes)),))


_BOX = Mailbox("b")
AT_THE_BOUND: dict[str, tuple[Callable[[int], f.AnyFrame], int]] = {
    "message submitted": (lambda n: f.Submit((f.Submission(bytes(n), 0),)), limits.MESSAGE_BYTES),
    "message delivered": (_delivery, limits.MESSAGE_BYTES),
    "ids": (lambda n: f.Accepted((ID,) * n), limits.IDS_PER_FRAME),
    "age": (lambda n: f.Submit((f.Submission(b"", n),)), 1 << 53),
    "reason code": (lambda n: f.Refused((f.Refusal(ID, "c" * n),)), limits.REASON_CODE_CHARS),
    "reason text": (lambda n: f.End(f.Goodbye.DONE, "ش" * n), limits.REASON_TEXT_CHARS),
    "retry after": (lambda n: f.End(f.Goodbye.DONE, "", n), 86_400),
    "busy": (f.Busy, 3_600_000),
    "file retry": (lambda n: f.FileRefused(ID, "", "", n), 3_600_000),
    "receipt": (_item, limits.RECEIPT_BYTES),
    "taking's receipt": (
        lambda n: f.Taken((f.Taking(1, State.DELIVERED, "", bytes(n)),)),
        limits.RECEIPT_BYTES,
    ),
    "event's receipt": (
        lambda n: f.Events((f.Event(1, ID, LABO, State.DELIVERED, "", 0, bytes(n)),)),
        limits.RECEIPT_BYTES,
    ),
    "attachment": (lambda n: f.Offer(ID, n, D32), limits.ATTACHMENT_MAX_BYTES),
    "chunk index": (lambda n: f.Chunk(ID, n, b""), 1 << 40),
    "statements": (lambda n: _entry(statements=(b"s",) * n), 4),
    "statement": (lambda n: _entry(statements=(bytes(n),)), limits.STATEMENT_BYTES),
    "mailboxes": (lambda n: _entry(mailboxes=(_BOX,) * n), limits.MAILBOXES),
    "title": (lambda n: _entry(title="t" * n), limits.TITLE_CHARS),
    "mailbox title": (lambda n: _entry(mailboxes=(Mailbox("b", "t" * n),)), limits.TITLE_CHARS),
    "name": (lambda n: _entry(name="n" * n), 63),
    "credential": (lambda n: f.Joined("x", bytes(n), _entry().entries[0]), limits.STATEMENT_BYTES),
    "token": (f.Ping, 1 << 62),
}


@pytest.mark.parametrize("what", AT_THE_BOUND)
def test_a_bound_holds_at_its_edge(what: str) -> None:
    make, bound = AT_THE_BOUND[what]
    exactly = make(bound)
    assert list(f.decode_frames(f.encode_frame(exactly))) == [exactly]
    assert refused(f.encode_frame(make(bound + 1))).code == "malformed"


@pytest.mark.parametrize("name", ["", "-x", ".x", "X", "a b", "a\n", "a@b", "é", "a/b", "a\x00"])
def test_a_name_that_cannot_be_one_is_refused(name: str) -> None:
    refused(f.encode_frame(_entry(name=name)))


@pytest.mark.parametrize(
    "address", ["", "labo", "@chu", "labo@", "labo@chu@x", "labo@chu\n", "LABO@chu", "labo@" + "x" * 64]
)
def test_an_address_that_cannot_be_one_is_refused(address: str) -> None:
    refused(f.encode_frame(f.Deliver((f.Delivery(1, address, 1, b""),))))


def test_the_longest_frame_fits_one_record_and_no_longer_one_is_sent() -> None:
    overhead = len(f.encode_frame(f.Chunk(ID, 0, bytes(60_000)))) - 60_000 - limits.FRAME_HEADER_BYTES
    most = limits.FRAME_BYTES - overhead
    assert len(f.encode_frame(f.Chunk(ID, 0, bytes(most)))) == limits.RECORD_PLAIN_BYTES
    with pytest.raises(LocalError, match="a frame holds"):
        f.encode_frame(f.Chunk(ID, 0, bytes(most + 1)))


PAYLOADS = [
    (payloads.decode_hello, payloads.Hello("n", 1, 2, ID)),
    (payloads.decode_welcome, payloads.Welcome("h", 1, 2, 3, 4)),
]


@pytest.mark.parametrize(("decode", "payload"), PAYLOADS)
def test_a_payload_comes_back_the_same(decode: Any, payload: payloads.Hello | payloads.Welcome) -> None:
    data = payloads.encode_payload(payload)
    assert decode(data) == payload
    for end in range(len(data)):
        with pytest.raises(RemoteError):
            decode(data[:end])


@given(payload=values_of(payloads.Hello))
def test_any_hello_comes_back_the_same(payload: payloads.Hello) -> None:
    assert payloads.decode_hello(payloads.encode_payload(payload)) == payload


@given(st.binary(max_size=200))
def test_any_bytes_are_a_payload_or_the_peers_fault(data: bytes) -> None:
    for decode, _ in PAYLOADS:
        with suppress(RemoteError):
            decode(data)


def test_a_payload_has_bounds() -> None:
    padded = pack(["n", 1, 2, b"", 0, b"", bytes(1_011)])
    assert len(padded) == limits.HELLO_BYTES
    assert payloads.decode_hello(padded).software == "n"
    with pytest.raises(RemoteError, match="too-large"):
        payloads.decode_hello(pack(["n", 1, 2, b"", 0, b"", bytes(1_012)]))
    for window in (0, limits.WINDOW_MAX + 1):
        with pytest.raises(RemoteError, match="malformed"):
            payloads.decode_hello(pack(["n", 1, window]))
        with pytest.raises(RemoteError, match="malformed"):
            payloads.decode_welcome(pack(["n", 1, window, 1]))
