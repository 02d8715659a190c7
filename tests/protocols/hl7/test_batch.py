"""Batch files and streams: each message's exact bytes, and honest notes about the wrapping."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.hl7 import batch
from protocols.hl7.batch import Batch, is_batch, read_batch, split
from protocols.hl7.er7 import MalformedMessage

A = b"MSH|^~\\&|a|b|c|d|2026||ADT^A01|1|P|2.5\rPID|1\r"
B = b"MSH|^~\\&|a|b|c|d|2026||ADT^A01|2|P|2.5\rPID|2\r"
FHS, BHS = b"FHS|^~\\&|x\r", b"BHS|^~\\&|y\r"

FILES = {
    "one message": (A, [A], ()),
    "stream": (A + B, [A, B], ()),
    "stream with blank lines": (A + b"\r\n\r\n" + B + b"\r\n", [A, B], ()),
    "stream with MLLP marks": (b"\x0b" + A + b"\x1c\r\x0b" + B + b"\x1c\r", [A, B], ()),
    "line feeds": (
        A.replace(b"\r", b"\n") + B.replace(b"\r", b"\n"),
        [A.replace(b"\r", b"\n"), B.replace(b"\r", b"\n")],
        (),
    ),
    "stream with byte order marks": (A + b"\xef\xbb\xbf" + B, [A, B], ()),
    "stream with byte order marks and blanks": (A + b"\r\n\xef\xbb\xbf \t" + B, [A, B], ()),
    "stream with blanks": (A + b" \t" + B, [A, B], ()),
    "message before a file": (A + FHS + BHS + B + b"BTS|1\rFTS|1\r", [A, B], ()),
    "message after a trailer": (A + b"BTS|1\r" + B, [A, B], ("BTS without BHS",)),
    "CR LF": (A.replace(b"\r", b"\r\n") * 2, [A.replace(b"\r", b"\r\n")] * 2, ()),
    "no final CR": (A + B[:-1], [A, B[:-1]], ()),
    "batch": (BHS + A + B + b"BTS|2\r", [A, B], ()),
    "file": (FHS + BHS + A + b"BTS|1\r" + BHS + B + b"BTS|1\rFTS|2\r", [A, B], ()),
    "byte order mark": (b"\xef\xbb\xbf" + BHS + A + b"BTS|1\r", [A], ()),
    "count too high": (
        BHS + A + B + b"BTS|3|declared three\r",
        [A, B],
        ("BTS-1 declares 3 messages, there are 2",),
    ),
    "count too low": (BHS + A + B + b"BTS|1\r", [A, B], ("BTS-1 declares 1 messages, there are 2",)),
    "batches miscounted": (
        FHS + BHS + A + b"BTS|1\rFTS|4\r",
        [A],
        ("FTS-1 declares 4 batches, there are 1",),
    ),
    "no count": (BHS + A + b"BTS\r", [A], ()),
    "count is no number": (BHS + A + b"BTS|one\r", [A], ("BTS-1 is 'one', not a number of messages",)),
    "count of many digits": (
        BHS + A + b"BTS|" + b"9" * 5000,
        [A],
        ("BTS-1 is '9999999999999999', not a number of messages",),
    ),
    "no trailers": (FHS + BHS + A, [A], ("FHS without FTS", "BHS without BTS")),
    "no headers": (A + b"BTS|1\rFTS|0\r", [A], ("BTS without BHS", "FTS without FHS")),
    "segments outside": (
        BHS + b"NTE|1\r" + A + b"BTS|1\r",
        [A],
        ("segments after BHS belong to no message and were left out",),
    ),
    "other separator": (b"BHS$%~\\&$\r" + A + b"BTS$7\r", [A], ("BTS-1 declares 7 messages, there are 1",)),
}


@pytest.mark.parametrize("name", FILES)
def test_files(name: str) -> None:
    raw, messages, notes = FILES[name]
    found = read_batch(raw)
    assert list(found.messages) == messages
    assert found.notes == notes
    if name != "no headers":  # a message with a trailer alone is a message
        assert split(raw) == messages


@pytest.mark.parametrize(
    "raw",
    [
        A,
        b"",
        b"hello",
        b"\xef\xbb\xbf" + A,
        b"\x0b" + A + b"\x1c\r",
        A + b"NTE|1||MSH|x\r",
        A + b"MSHX|1\r",
        A + b"BTS|1\rFTS|1\r",
        A + b"NTE|1|| MSH\r",
        A + FHS,
    ],
)
def test_a_single_message_is_left_alone(raw: bytes) -> None:
    assert not is_batch(raw)
    assert split(raw) == [raw]


@pytest.mark.parametrize("raw", [b"", b"hello", b"x\r" + A, FHS, FHS + BHS + b"BTS|0\rFTS|1\r"])
def test_what_holds_no_message_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedMessage):
        read_batch(raw)


def test_the_number_of_messages_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "MAX_MESSAGES", 3)
    assert len(split(A * 3)) == 3
    with pytest.raises(MalformedMessage, match="more than 3 messages"):
        split(A * 4)


def test_files_within_a_file_lose_no_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "MAX_MESSAGES", 3)
    single = FHS + BHS + A + b"BTS|1\rFTS\r"
    assert read_batch(single * 3) == Batch((A,) * 3)
    for too_much in (single * 4, single * 3 + FHS, FHS * 15 + A, BHS + A + b"BTS\r" * 14):
        with pytest.raises(MalformedMessage, match="more than 15 headers and trailers in one file"):
            read_batch(too_much)


@given(st.lists(st.sampled_from([A, B, A.replace(b"\r", b"\n")]), min_size=2), st.booleans())
def test_what_was_joined_comes_apart(messages: list[bytes], wrapped: bool) -> None:
    raw = b"".join(messages)
    if wrapped:
        raw = FHS + BHS + raw + b"BTS|%d\rFTS|1\r" % len(messages)
    assert read_batch(raw).messages == tuple(messages)
    assert read_batch(raw).notes == ()


#: What follows a message's last segment, said plainly: too slow for large files, a measure for small ones.
AFTER_LAST_SEGMENT = re.compile(rb"(\r\n|\r|\n|)[\s\x00\x0b\x1c]*\Z")


@given(st.text("A\r\n\t \f\x00\x0b\x1c\x1d\x85\xa0", max_size=12))
def test_a_message_ends_with_the_end_of_its_last_segment(tail: str) -> None:
    message = A + b"Z" + tail.encode("latin-1")
    assert read_batch(BHS + message).messages == (AFTER_LAST_SEGMENT.sub(rb"\1", message, count=1),)


def test_blanks_within_a_message_cost_no_more_than_other_bytes() -> None:
    long = A + b"NTE|1||" + b" " * 500_000 + b"x\r"
    began_s = time.perf_counter()
    assert split(BHS + long + B) == [long, B]
    assert time.perf_counter() - began_s < 2


def test_headers_and_trailers_that_do_not_match_are_counted_in_linear_time() -> None:
    began_s = time.perf_counter()
    found = read_batch(A + BHS * 14_990 + b"FTS\r" * 14_990)
    assert time.perf_counter() - began_s < 1
    assert found.notes == ("FTS without FHS", "BHS without BTS")


@given(
    st.lists(st.sampled_from([b"MSH", b"|", b"A", b"\r", b"\n", b"\x0b", b" ", b"\xef\xbb\xbf", b"BTS", FHS]))
)
def test_a_batch_is_what_holds_a_second_message(rest: list[bytes]) -> None:
    raw = A + b"".join(rest)
    assert is_batch(raw) == (len(read_batch(raw).messages) > 1)


@given(st.binary(max_size=200))
def test_foreign_bytes_raise_nothing_else(noise: bytes) -> None:
    for raw in (noise, FHS + noise, A + noise + A, BHS + A + b"BTS" + noise):
        try:
            split(raw)
        except MalformedMessage:
            continue
