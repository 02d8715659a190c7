"""Real messages: each is read and kept byte for byte, or refused with segment and field; none does harm."""

import re
from collections import Counter
from pathlib import Path

import pytest

from protocols.hl7.acks import ErrorLocation, build_ack, read_ack
from protocols.hl7.batch import split
from protocols.hl7.er7 import Header, MalformedMessage, Message, read_header
from protocols.hl7.header import bare_header
from protocols.mllp import FrameReader, MessageReceived, frame

CORPUS = Path(__file__).parents[4] / "shared" / "corpus"
SEGMENT = re.compile(r"[A-Z][A-Z0-9]{2}[-\[]")

pytestmark = [
    pytest.mark.corpus,
    pytest.mark.skipif(not CORPUS.is_dir(), reason="../shared/corpus is absent"),
]


def files(folder: str) -> list[Path]:
    return sorted(path for path in (CORPUS / folder).rglob("*") if path.is_file())


def check(message: bytes) -> str:
    """Read, walk and answer one message; say what became of it."""
    try:
        header = read_header(message)
    except MalformedMessage as found:
        fault = found
    else:
        check_read(header, message)
        return "read"
    assert fault.segment == "MSH"
    assert fault.field is not None
    known = bare_header() if fault.partial is None else fault.partial
    refusal = build_ack(known, "AR", now="2026", control_id="X", error=ErrorLocation.of(fault))
    assert read_ack(refusal).code == "AR"
    return fault.place


def check_read(header: Header, message: bytes) -> None:
    view = Message(message)
    for leaf in view.walk():
        view.text(leaf.value)
        if SEGMENT.match(leaf.path):
            assert view.raw(leaf.path) == leaf.value
    assert bytes(view) == message
    ack = build_ack(header, "AE", now="2026", control_id="X", text="x", error=ErrorLocation("PID", 1, 3))
    answer = read_ack(ack)
    assert answer.answers(header.control_id)
    reader = FrameReader(1 << 24)
    assert reader.feed(frame(ack)) == [MessageReceived(ack)]


def test_every_file_is_read_or_refused_with_a_place() -> None:
    found: Counter[str] = Counter()
    for path in files("er7"):
        raw = path.read_bytes()
        try:
            messages = split(raw)
        except MalformedMessage as fault:
            found[f"batch {fault.place}"] += 1
            continue
        assert all(message in raw for message in messages)
        for message in messages:
            found[check(message)] += 1
    print(found)
    assert found["read"] > 2_300
    assert sum(found.values()) - found["read"] < 100


def test_arabic_is_read_whatever_its_label() -> None:
    for path in files("er7-derived-arabic"):
        message = Message(path.read_bytes())
        assert "مستشفى حكومي" in message.charset.text, path.name
        assert message.header.sending_facility.namespace_id == "مستشفى حكومي", path.name
