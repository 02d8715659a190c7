"""MLLP framing: the same bytes give the same events however TCP cut them, within bounds."""

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.mllp import (
    GARBAGE_REPORT_BYTES,
    GARBAGE_SAMPLE_BYTES,
    Event,
    FrameReader,
    FrameTooLarge,
    GarbageSkipped,
    MessageReceived,
    UnframeablePayload,
    frame,
)

LIMIT = 64


def read_whole(data: bytes, limit: int = LIMIT) -> list[Event]:
    reader = FrameReader(limit)
    return reader.feed(data) + reader.flush()


def read_bytewise(data: bytes, limit: int = LIMIT) -> list[Event]:
    reader = FrameReader(limit)
    events: list[Event] = []
    for byte in data:
        events += reader.feed(bytes([byte]))
    return events + reader.flush()


MESSAGE = MessageReceived

STREAMS = {
    "one frame": (b"\x0bMSH|a\x1c\r", [MESSAGE(b"MSH|a")]),
    "two in one segment": (b"\x0ba\x1c\r\x0bb\x1c\r", [MESSAGE(b"a"), MESSAGE(b"b")]),
    "empty frame": (b"\x0b\x1c\r", [MESSAGE(b"")]),
    "FS CR LF": (b"\x0ba\x1c\r\n\x0bb\x1c\r\n", [MESSAGE(b"a"), MESSAGE(b"b")]),
    "stray line ends between": (b"\r\n\n\x0ba\x1c\r\r\r\n", [MESSAGE(b"a")]),
    "no final CR, next frame follows": (b"\x0ba\x1c\x0bb\x1c\r", [MESSAGE(b"a"), MESSAGE(b"b")]),
    "no final CR, then silence": (b"\x0ba\x1c", [MESSAGE(b"a")]),
    "FS inside the payload": (b"\x0ba\x1cb\x1c\r", [MESSAGE(b"a\x1cb")]),
    "FS as the payload's last byte": (b"\x0ba\x1c\x1c\r", [MESSAGE(b"a\x1c")]),
    "FS then CR inside would end it": (b"\x0ba\x1c\rb\x1c\r", [MESSAGE(b"a"), GarbageSkipped(2, b"b\x1c")]),
    "payload ends with CR": (b"\x0bMSH|\r\x1c\r", [MESSAGE(b"MSH|\r")]),
    "no start": (b"MSH|a\x1c\r", [GarbageSkipped(6, b"MSH|a\x1c")]),
    "garbage before": (b"hello\x0ba\x1c\r", [GarbageSkipped(5, b"hello"), MESSAGE(b"a")]),
    "garbage around line ends": (b"x\r\ny\x0ba\x1c\r", [GarbageSkipped(2, b"xy"), MESSAGE(b"a")]),
    "an HTTP request": (b"GET / HTTP/1.1\r\n\r\n", [GarbageSkipped(14, b"GET / HTTP/1.1")]),
    "garbage only": (b"\x00" * 40, [GarbageSkipped(40, b"\x00" * GARBAGE_SAMPLE_BYTES)]),
    "never ends": (b"\x0babc", []),
    "VT in text": (b"\x0ba\x0bb\x1c\r", [MESSAGE(b"a\x0bb")]),
    "VT VT": (b"\x0b\x0bMSH|\x1c\r", [MESSAGE(b"MSH|")]),
    "sender restarted": (
        b"\x0bMSH|ha\x0bMSH|whole\x1c\r",
        [GarbageSkipped(6, b"MSH|ha"), MESSAGE(b"MSH|whole")],
    ),
    "restarted with a batch": (b"\x0bMSH|\x0bFHS|\x1c\r", [GarbageSkipped(4, b"MSH|"), MESSAGE(b"FHS|")]),
    "exactly at the limit": (frame(b"x" * LIMIT), [MESSAGE(b"x" * LIMIT)]),
    "one over": (frame(b"x" * (LIMIT + 1)) + frame(b"b"), [FrameTooLarge(LIMIT), MESSAGE(b"b")]),
    "far over": (frame(b"x" * 999) + frame(b"b"), [FrameTooLarge(LIMIT), MESSAGE(b"b")]),
    "far over, restarted": (b"\x0b" + b"x" * 99 + frame(b"MSH|"), [FrameTooLarge(LIMIT), MESSAGE(b"MSH|")]),
    "far over, no CR": (b"\x0b" + b"x" * 99 + b"\x1c" + frame(b"b"), [FrameTooLarge(LIMIT), MESSAGE(b"b")]),
    "restart just at the limit": (
        b"\x0b" + b"x" * LIMIT + frame(b"MSH|"),
        [GarbageSkipped(LIMIT, b"x" * GARBAGE_SAMPLE_BYTES), MESSAGE(b"MSH|")],
    ),
    "restart just over the limit": (
        b"\x0b" + b"x" * (LIMIT + 1) + frame(b"MSH|"),
        [FrameTooLarge(LIMIT), MESSAGE(b"MSH|")],
    ),
}


@pytest.mark.parametrize("name", STREAMS)
def test_named_streams_whole_and_byte_by_byte(name: str) -> None:
    data, expected = STREAMS[name]
    assert read_whole(data) == expected
    assert read_bytewise(data) == expected


@given(
    st.lists(
        st.one_of(
            st.sampled_from(
                [b"\x0b", b"\x1c", b"\r", b"\n", b"MSH", b"M", b"MS", b"FHS", b"\x1c\r", b"x" * 9]
            ),
            st.binary(max_size=12),
        )
    ).map(b"".join),
    st.lists(st.integers(0, 200)),
    st.integers(1, 20),
)
def test_events_do_not_depend_on_how_the_stream_was_cut(data: bytes, cuts: list[int], limit: int) -> None:
    reader = FrameReader(limit)
    events: list[Event] = []
    edges = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    for start, end in pairwise(edges):
        events += reader.feed(data[start:end])
        assert reader.buffered_bytes <= limit + 4
    assert events + reader.flush() == read_bytewise(data, limit) == read_whole(data, limit)


@given(st.lists(st.binary(max_size=40)))
def test_what_is_framed_comes_back(payloads: list[bytes]) -> None:
    good = []
    for payload in payloads:
        try:
            frame(payload)
        except UnframeablePayload:
            continue
        good.append(payload)
    assert read_whole(b"".join(map(frame, good))) == [MessageReceived(payload) for payload in good]


@pytest.mark.parametrize("payload", [b"a\x1c\rb", b"a\x1c\x0bb", b"x\x0bMSH|", b"\x0bBHS|"])
def test_a_payload_that_would_break_its_frame_is_refused(payload: bytes) -> None:
    with pytest.raises(UnframeablePayload, match="must not contain"):
        frame(payload)


def test_flush_releases_only_what_fs_ended_and_the_late_cr_is_harmless() -> None:
    reader = FrameReader(LIMIT)
    assert reader.feed(b"\x0babc") == []
    assert reader.flush() == []
    assert reader.inside_frame
    assert reader.feed(b"\x1c") == []
    assert reader.flush() == [MessageReceived(b"abc")]
    assert reader.buffered_bytes == 0
    assert reader.feed(b"\r\x0bd\x1c\r") == [MessageReceived(b"d")]


def test_endless_garbage_is_reported_in_portions_and_not_kept() -> None:
    reader = FrameReader(LIMIT)
    events = reader.feed(b"g" * (3 * GARBAGE_REPORT_BYTES + 5))
    assert [event.size_bytes for event in events if isinstance(event, GarbageSkipped)] == [
        GARBAGE_REPORT_BYTES
    ] * 3
    assert reader.buffered_bytes == 0
    assert reader.flush() == [GarbageSkipped(5, b"g" * 5)]


def test_a_frame_without_end_holds_no_memory_beyond_the_limit() -> None:
    reader = FrameReader(1000)
    reader.feed(b"\x0b")
    seen = [event for _ in range(1000) for event in reader.feed(b"x" * 1000)]
    assert seen == [FrameTooLarge(1000)]
    assert reader.buffered_bytes <= 3


@pytest.mark.parametrize("filler", [b"x", b"\x0b", b"\x1c"])
def test_time_is_linear_byte_by_byte(filler: bytes) -> None:
    def seconds(size_bytes: int) -> float:
        reader = FrameReader(1 << 24)
        reader.feed(b"\x0b")
        began = time.process_time()
        for _ in range(size_bytes):
            reader.feed(filler)
        reader.feed(filler * size_bytes * 8 + b"x\x1c\r")
        return time.process_time() - began

    seconds(10_000)
    assert seconds(160_000) < 16 * (seconds(20_000) + 0.02)


def test_a_limit_must_be_positive() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        FrameReader(0)
