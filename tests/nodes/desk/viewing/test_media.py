"""Images, scans and archives of strangers: drawn anew, bounded, or not shown; nothing else comes out."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any, Final

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from nodes.desk.viewing import archives, dicom, frame, pdfs, pictures, pixels
from nodes.desk.viewing.kinds import IMAGES, Kind, kind_of
from nodes.desk.viewing.pictures import CannotShow, Picture
from protocols.hl7.moments import Moment
from tests.nodes.desk.viewing.laid import HOSTILE_PDF, PDF, archive, image, scan

CORPUS: Final = Path(__file__).parents[5] / "shared" / "corpus" / "attachments"
needs_corpus = pytest.mark.skipif(not CORPUS.is_dir(), reason="../shared/corpus is absent")


def drawn(data: bytes) -> Picture:
    return pictures.redraw(io.BytesIO(data), len(data))


def looked(data: bytes) -> dicom.Scan:
    return dicom.scan(io.BytesIO(data))


def framed(data: bytes) -> tuple[Picture, Image.Image]:
    made = pixels.draw(frame.look(looked(data)), io.BytesIO(data))
    return made, Image.open(io.BytesIO(made.data))


def refused(data: bytes, how: Any = drawn) -> str:
    with pytest.raises(CannotShow) as caught:
        how(data)
    return caught.value.code


def png(width: int, height: int) -> bytes:
    """Return a PNG file that announces so many pixels and holds none."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    packed = zlib.compress(bytes(1_000))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


# ── images ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP"])
def test_an_image_is_another_one_that_looks_the_same(form: str) -> None:
    data = image(form)
    made = drawn(data)
    assert made.data != data
    assert (made.original_width, made.original_height) == (40, 30)
    with Image.open(io.BytesIO(made.data)) as shown:
        assert shown.size == (40, 30)
        assert shown.info.get("comment") is None
        red, green, blue = shown.convert("RGB").getpixel((5, 5))  # type: ignore[misc]  # three bands
    assert abs(red) < 8
    assert abs(green - 128) < 8
    assert abs(blue - 128) < 8


def test_what_hides_in_an_image_does_not_survive() -> None:
    out = io.BytesIO()
    exif = Image.Exif()
    exif[0x010E] = "<script>alert(1)</script>"
    Image.new("RGB", (9, 9)).save(out, "JPEG", exif=exif, comment=b"<script>alert(1)</script>")
    assert b"script" not in drawn(out.getvalue() + b"<script>alert(1)</script>").data


@pytest.mark.parametrize(("width", "height"), [(60_000, 60_000), (1, 2_000_000_000), (8_000, 8_000)])
def test_a_bomb_is_refused_by_what_it_announces(width: int, height: int) -> None:
    assert refused(png(width, height)) == "too-large"


def test_a_large_image_is_made_small() -> None:
    made = drawn(image("PNG", (5_000, 1_000), "L"))
    assert (made.width, made.height, made.media_type) == (2_400, 480, "image/png")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16", "I", "F"])
def test_every_kind_of_pixel_is_shown(mode: str) -> None:
    out = io.BytesIO()
    Image.new(mode, (9, 9)).save(out, "TIFF")
    assert drawn(out.getvalue()).width == 9


def test_other_formats_are_not_even_tried() -> None:
    out = io.BytesIO()
    Image.new("RGB", (9, 9)).save(out, "EPS")
    assert refused(out.getvalue()) == "damaged"


def test_decoders_say_nothing_and_the_worlds_warnings_come_back() -> None:
    """What they say quotes the file."""
    before = list(warnings.filters)
    with pytest.raises(CannotShow):
        drawn(image()[:50])
    with pictures.quiet(), pictures.quiet():
        warnings.warn("from a file", stacklevel=1)
    assert warnings.filters == before


@given(st.binary(max_size=200), st.integers(0, 98))
def test_any_bytes_are_an_image_or_not_shown(data: bytes, cut: int) -> None:
    for form in (data, image()[:cut] + data, image("TIFF")[:cut] + data):
        try:
            drawn(form)
        except CannotShow as fault:
            assert fault.code in {"damaged", "too-large"}  # noqa: PT017 - both ends are right


@pytest.mark.corpus
@needs_corpus
def test_real_images_are_shown_or_not() -> None:
    shown = 0
    for path in sorted((CORPUS / "images").iterdir()):
        data = path.read_bytes()
        if kind_of(data) in IMAGES:
            try:
                drawn(data)
            except CannotShow:
                assert path.name.startswith(("crash", "truncated")), path.name
            else:
                shown += 1
    assert shown >= 22


# ── DICOM ──────────────────────────────────────────────────────────────────────────────────


def test_the_header_says_who_and_what() -> None:
    seen = looked(scan())
    assert seen.identity.names == ("Amine Benali", "أمين بن علي")
    assert (seen.identity.birth, seen.identity.sex) == (Moment((1967, 4, 12), None), "M")
    assert [one.number for one in seen.identity.identifiers] == ["4711"]
    assert {str(fact.value) for fact in seen.facts} >= {"Thorax", "CT", "16 × 8"}
    names = {one.tag: (one.name, one.text) for one in seen.elements}
    assert names["(0010,0020)"] == ("Patient ID", "4711")


def test_private_elements_are_counted_and_not_shown() -> None:
    data = pydicom.dcmread(io.BytesIO(scan()))
    block = data.private_block(0x000B, "SOMEBODY", create=True)
    block.add_new(0x01, "LO", "a secret")
    out = io.BytesIO()
    data.save_as(out)
    seen = looked(out.getvalue())
    assert seen.private == 2
    assert not [one for one in seen.elements if "secret" in one.text]


def test_the_window_makes_greys() -> None:
    made, shown = framed(scan())
    assert (made.width, made.height, made.media_type, shown.mode) == (16, 8, "image/png", "L")
    row = [int(shown.getpixel((x, 0))) for x in range(16)]  # type: ignore[arg-type]  # one band
    assert row == sorted(row)
    assert row[0] == 0
    assert row[15] >= 235


def test_black_is_white_where_the_header_says_so() -> None:
    _, shown = framed(scan(PhotometricInterpretation="MONOCHROME1"))
    assert shown.getpixel((0, 0)) == 255


def test_slope_and_intercept_count() -> None:
    data = scan(RescaleSlope="2", RescaleIntercept="-1000", WindowCenter="0", WindowWidth="400")
    _, shown = framed(data)
    assert (shown.getpixel((0, 0)), shown.getpixel((15, 0))) == (0, 255)


def test_signed_values_and_no_window() -> None:
    slope = b"".join((x * 80 - 640).to_bytes(2, "little", signed=True) for x in range(16)) * 8
    _, shown = framed(scan(pixels=slope, PixelRepresentation=1, WindowCenter=None, WindowWidth=None))
    assert (shown.getpixel((0, 0)), shown.getpixel((15, 0))) == (0, 255)


def test_colours_plane_by_plane() -> None:
    planes = b"\xff" * 128 + bytes(256)
    data = scan(
        pixels=planes, SamplesPerPixel=3, PlanarConfiguration=1, BitsAllocated=8, BitsStored=8, HighBit=7,
        PhotometricInterpretation="RGB",
    )  # fmt: skip
    _, shown = framed(data)
    red, green, _blue = shown.convert("RGB").getpixel((3, 3))  # type: ignore[misc]  # three bands
    assert red > 240
    assert green < 12


def test_a_palette_is_looked_up() -> None:
    tables: dict[str, Any] = {
        f"{name}PaletteColorLookupTable{part}": value
        for name, table in (("Red", b"\x00\xff"), ("Green", b"\x00\x00"), ("Blue", b"\x00\x00"))
        for part, value in (("Descriptor", [2, 0, 8]), ("Data", table))
    }
    data = scan(
        pixels=bytes([0, 1] * 64), BitsAllocated=8, BitsStored=8, HighBit=7,
        PhotometricInterpretation="PALETTE COLOR", **tables,
    )  # fmt: skip
    _, shown = framed(data)
    assert shown.convert("RGB").getpixel((1, 0))[0] > 150  # type: ignore[index]  # three bands


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"Rows": 60_000, "Columns": 60_000}, "too-large"),
        ({"Rows": 0}, "no-image"),
        ({"BitsAllocated": 1}, "unknown"),
        ({"SamplesPerPixel": 4}, "unknown"),
        ({"Rows": 900}, "damaged"),
        ({"pixels": b""}, "no-image"),
    ],
)
def test_pixels_that_are_not_there_are_not_shown(values: dict[str, Any], code: str) -> None:
    assert refused(scan(**values), framed) == code


def test_what_unpacks_without_a_bound_is_not_read() -> None:
    """Deflated files grow a thousand times; pydicom would unpack all of it."""
    deflated = scan(pydicom.uid.DeflatedExplicitVRLittleEndian, pixels=b"")
    assert kind_of(deflated) is Kind.DICOM
    assert refused(deflated, looked) == "unknown"


@pytest.mark.parametrize("data", [bytes(128) + b"DICM", bytes(132), b"", scan()[:200], scan()[:140]])
def test_half_a_header_is_not_shown(data: bytes) -> None:
    assert refused(data, looked) == "damaged"


def test_sequences_without_end_are_no_trap() -> None:
    deep = struct.pack("<HH2sHI", 0x0008, 0x1115, b"SQ", 0, 0xFFFFFFFF) + struct.pack(
        "<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF
    )
    head = scan(pixels=b"")
    start = head.index(struct.pack("<HH", 8, 5))
    try:
        looked(head[:start] + deep * 50_000)
    except CannotShow as fault:
        assert fault.code == "damaged"  # noqa: PT017 - read as far as it goes, or not: both are right


@given(st.integers(132, 700), st.binary(min_size=1, max_size=12))
def test_any_bytes_within_a_scan_are_shown_or_not(at: int, data: bytes) -> None:
    whole = scan()
    broken = whole[:at] + data + whole[at + len(data) :]
    try:
        framed(broken)
    except CannotShow as fault:
        assert fault.code  # noqa: PT017 - both ends are right


@pytest.mark.corpus
@needs_corpus
def test_real_scans_are_shown_or_say_why() -> None:
    kept = {"shown": 0, "unknown": 0, "damaged": 0, "no-image": 0}
    for path in sorted((CORPUS / "dicom").glob("*.dcm")):
        data = path.read_bytes()
        if kind_of(data) is Kind.DICOM:
            try:
                framed(data)
            except CannotShow as fault:
                kept[fault.code] += 1
            else:
                kept["shown"] += 1
    assert kept["shown"] >= 11
    assert kept["damaged"] <= 2


# ── PDF ────────────────────────────────────────────────────────────────────────────────────


def active(data: bytes) -> bool:
    return pdfs.is_active(io.BytesIO(data), len(data))


def packed(data: bytes) -> bytes:
    return (
        b"%PDF-1.5\n1 0 obj<</Type/ObjStm/Filter/FlateDecode>>stream\r\n"
        + zlib.compress(data)
        + b"\nendstream"
    )


def stream(
    said: bytes = b"/Type/ObjStm/Filter/FlateDecode", data: bytes = b"<</S/JavaScript>>", end: bytes = b"\n"
) -> bytes:
    """Return a file with a stream of which so much is said, whose keyword ends in this way."""
    return b"%PDF-1.5\n1 0 obj<<" + said + b">>stream" + end + zlib.compress(data) + b"\nendstream endobj\n"


@pytest.mark.parametrize(
    "data",
    [
        HOSTILE_PDF,
        HOSTILE_PDF.replace(b"JavaScript", b"J#61vaScr#69pt"),
        HOSTILE_PDF.replace(b"/JavaScript", b"/Launch"),
        packed(b"<</S/JavaScript>>"),
        packed(b"<</S/#4aavaScript>>"),
        packed(bytes(70_000_000)),
        b"%PDF-1.5 <</Type/ObjStm>>stream\nnot packed so\nendstream",
        PDF + b"/Encrypt 9 0 R",
        stream(b"/Type/ObjStm/Filter/FlateDecode/Why(" + b"x" * 3_000 + b")"),
        stream(b"/Filter/FlateDecode").replace(b"<<", b"/ObjStm<<", 1),
        stream(end=b"\r"),
        stream(end=b" anything\n"),
        stream(b"/Type/ObjStm/Filter/FlateDecode/DecodeParms<</Predictor 12>>", b"<</Type/Page>>"),
        stream(b"/Type/ObjStm/Filter[/FlateDecode/ASCIIHexDecode]", b"<</Type/Page>>"),
        stream(b"/Type/ObjStm/Filter/FlateDecode", b"<</Type/Page>>")[:-26],
        stream(data=b"<</Type/Page>>" * 2_000_000),
    ],
)
def test_a_pdf_with_a_program_is_found(data: bytes) -> None:
    assert active(data)


@pytest.mark.parametrize(
    "data",
    [
        PDF,
        packed(b"<</Type/Page>>"),
        PDF + b"/JavaScripted (Launch)",
        packed(b"<</Type/Page>>") + b"2 0 obj<</Subtype/Image/Filter/DCTDecode>>stream\n\xff\xd8\nendstream",
        packed(b"<</Type/Page>>") + b"2 0 obj<</Type/Metadata>>stream\n<?xpacket?>\nendstream",
    ],
)
def test_a_pdf_without_one_is_shown(data: bytes) -> None:
    assert not active(data)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("mark", [b"/ObjStm stream\n", b"/ObjStm stream", b"/ObjStm stream\n\x78\x9c"])
def test_marks_of_streams_cost_no_more_than_their_length(mark: bytes) -> None:
    """Each was once searched for its end through all the rest, 20,000 times."""
    active(b"%PDF-1.5\n" + mark * (16_000_000 // len(mark)))


@pytest.mark.corpus
@needs_corpus
def test_most_real_pdf_files_are_shown() -> None:
    found = [active(path.read_bytes()) for path in sorted((CORPUS / "pdf").glob("*.pdf"))]
    assert found.count(False) >= 5


# ── archives ───────────────────────────────────────────────────────────────────────────────


def listed(data: bytes) -> archives.Listing:
    return archives.listing(io.BytesIO(data), len(data))


def test_an_archive_is_listed_by_harmless_names() -> None:
    seen = listed(archive(**{".._.._etc_passwd": b"x", "a__b.txt": bytes(10), "x.exe": b"MZ"}))
    assert [one.name for one in seen.entries] == ["_._etc_passwd", "a-b.txt", "x.exe.download"]
    assert (seen.count, seen.unpacked_bytes, seen.bomb) == (3, 13, False)


def test_a_bomb_is_called_one_and_not_unpacked() -> None:
    assert listed(archive(a=bytes(3_000_000))).bomb


def test_many_entries_are_counted_and_not_all_shown() -> None:
    seen = listed(archive(**{f"f{n}": b"" for n in range(700)}))
    assert (len(seen.entries), seen.count) == (500, 700)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "damaged"),
        (b"PK\x05\x06", "damaged"),
        (b"PK\x03\x04" + bytes(100), "damaged"),
        (b"PK\x05\x06" + struct.pack("<4H2LH", 0, 0, 60_000, 60_000, 100, 0, 0), "too-large"),
        (b"PK\x05\x06" + struct.pack("<4H2LH", 0, 0, 1, 1, 0xFFFFFFFF, 0, 0), "too-large"),
        (archive(a=b"x")[:-30], "damaged"),
    ],
)
def test_directories_that_lie(data: bytes, code: str) -> None:
    assert refused(data, listed) == code


def test_an_archive_of_zip64_is_not_listed() -> None:
    """Its own record says how many entries there are, whatever the end record says."""
    whole = archive(a=b"x", b=b"y")
    end = whole.rindex(b"PK\x05\x06")
    at = whole.index(b"PK\x01\x02")
    record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 2, 2, end - at, at)
    found = struct.pack("<4sLQL", b"PK\x06\x07", 0, end, 1)
    lying = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, 46, 0, 0)
    assert refused(whole[:end] + record + found + lying, listed) == "too-large"


@given(st.integers(0, 120), st.binary(min_size=1, max_size=8))
def test_any_bytes_within_an_archive(at: int, data: bytes) -> None:
    whole = archive(a=b"x", b=b"y")
    try:
        listed(whole[:at] + data + whole[at + len(data) :])
    except CannotShow as fault:
        assert fault.code in {"damaged", "too-large"}  # noqa: PT017 - both ends are right
