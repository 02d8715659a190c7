"""Images drawn by another process: the same picture, and whatever that process does, the desk goes on."""

from __future__ import annotations

import io
import struct
import sys
from pathlib import Path
from typing import Final

import pydicom
import pytest

from nodes.desk.viewing import dicom, drawing, frame, pictures, pixels
from nodes.desk.viewing.pictures import CannotShow
from tests.nodes.desk.viewing.laid import image, scan

BOUNDED: Final = "from nodes.desk.viewing import painter; painter.{name} = {most}; painter.main()"
PAGE: Final = (
    '{"media_type": "text/html", "width": 1, "height": 1, '
    '"original_width": 1, "original_height": 1, "frames": 1}\n<script>'
)


def runs(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """Let a program of the test's draw."""
    monkeypatch.setattr(drawing, "_PAINTER", (sys.executable, "-P", "-c", program))


def drawn(data: bytes) -> pictures.Picture:
    return drawing.image(io.BytesIO(data), len(data))


def refused(data: bytes) -> str:
    with pytest.raises(CannotShow) as caught:
        drawn(data)
    return caught.value.code


def rle(segment: bytes, rows: int, columns: int) -> bytes:
    """Return a DICOM file with an RLE frame of 16 bits, each byte's plane being ``segment``."""
    data = struct.pack("<16I", 2, 64, 64 + len(segment), *[0] * 13) + segment * 2
    head = scan(pydicom.uid.RLELossless, pixels=b"", Rows=rows, Columns=columns)
    items = [b"", data]
    return (
        head
        + struct.pack("<HH2sHI", 0x7FE0, 0x10, b"OB", 0, 0xFFFFFFFF)
        + b"".join(struct.pack("<HHI", 0xFFFE, 0xE000, len(item)) + item for item in items)
        + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    )


def framed(data: bytes) -> pictures.Picture:
    look = frame.look(dicom.scan(io.BytesIO(data)))
    return drawing.frame(look, io.BytesIO(data))


def test_a_picture_is_the_same_as_here(tmp_path: Path) -> None:
    data = image("PNG", (3_000, 40))
    here = pictures.redraw(io.BytesIO(data), len(data))
    assert drawn(data) == here
    path = tmp_path / "image"
    path.write_bytes(data)
    with path.open("rb") as file:
        file.read(7)
        assert drawing.image(file, len(data)) == here


@pytest.mark.parametrize("data", [scan(), rle(b"\xc1\x07" * 2, 8, 16)])
def test_a_frame_is_the_same_as_here(data: bytes) -> None:
    here = pixels.draw(frame.look(dicom.scan(io.BytesIO(data))), io.BytesIO(data))
    assert framed(data) == here


def test_what_cannot_be_shown_says_why() -> None:
    assert refused(image()[:60]) == "damaged"
    assert refused(b"") == "damaged"


def test_an_image_that_wants_too_much_memory_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    runs(monkeypatch, BOUNDED.format(name="MEMORY_BYTES", most=200 * 1024 * 1024))
    assert drawn(image("PNG", (100, 100), "RGBA")).width == 100
    assert refused(image("PNG", (6_000, 5_000), "RGBA")) == "too-large"


def test_an_image_that_wants_too_much_time_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of length nothing costs a turn of a loop, and a frame may have a hundred million of them."""
    runs(monkeypatch, BOUNDED.format(name="CPU_S", most=1))
    with pytest.raises(CannotShow) as caught:
        framed(rle(b"\x80" * 30_000_000, 2_048, 4_096))
    assert caught.value.code == "spent"


def test_a_process_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    runs(monkeypatch, "import time; time.sleep(600)")
    monkeypatch.setattr(drawing, "WALL_S", 0.5)
    assert refused(image()) == "spent"


@pytest.mark.parametrize(
    ("program", "code"),
    [
        ("import os; os.abort()", "spent"),
        ("raise SystemExit(3)", "damaged"),
        ("pass", "damaged"),
        ("print('{}')", "damaged"),
        ("print('[]')", "damaged"),
        ("print('x' * 5_000_000)", "damaged"),
        (f"print({PAGE!r})", "damaged"),
    ],
)
def test_nothing_is_believed_but_a_picture(monkeypatch: pytest.MonkeyPatch, program: str, code: str) -> None:
    runs(monkeypatch, program)
    assert refused(image()) == code


def test_nobody_waits_for_ever_for_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "ROOM_S", 0.05)
    for _ in range(drawing.AT_ONCE):
        drawing._ROOM.acquire()
    try:
        assert refused(image()) == "busy"
    finally:
        for _ in range(drawing.AT_ONCE):
            drawing._ROOM.release()
    assert drawn(image()).width == 40


def test_a_header_of_endless_elements_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """4 MiB of empty elements held the process for 16 seconds."""
    monkeypatch.setattr(dicom, "READS", 2_000)
    head = scan(pixels=b"")
    start = head.index(struct.pack("<HH", 8, 5))
    many = b"".join(struct.pack("<HH2sH", 0x10, number, b"CS", 0) for number in range(3_000))
    nested = struct.pack("<HH2sHI", 0x0008, 0x1115, b"SQ", 0, 0xFFFFFFFF) + struct.pack(
        "<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF
    )
    for data in (head[:start] + many, head[:start] + nested + many):
        with pytest.raises(CannotShow) as caught:
            dicom.scan(io.BytesIO(data))
        assert caught.value.code == "too-large"


def test_values_behind_the_last_row_are_not_looked_at() -> None:
    """Each of a value's parts becomes an object: two million of them took 500 MiB."""
    head = scan(pixels=b"")
    start = head.index(struct.pack("<HH", 8, 5))
    value = b"1\\" * 500
    many = b"".join(
        struct.pack("<HH2sH", 0x10, number, b"IS", len(value)) + value for number in range(1, 2_000)
    )
    seen = dicom.scan(io.BytesIO(head[:start] + many))
    assert (len(seen.elements), seen.cut) == (dicom.ROWS, True)
    raw = [element.is_raw for element in seen.dataset.values()]
    assert sum(raw) >= 1_500
