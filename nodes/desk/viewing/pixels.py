"""The pixels of one DICOM frame, as an image: what is behind a header that was read before.

Only that frame's bytes are read. Nothing here knows pydicom: a :class:`Look` says how the bytes are written
and which greys they stand for, so that this runs in the small process that decodes (:mod:`painter`).
Stored values become greys by the header's slope, intercept and window (PS3.3 sections C.11.1 and C.11.2), by
their extremes where it has none. Encapsulated frames are found by PS3.5 annex A.4, RLE is that of annex G.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import IO, Final

from PIL import Image

from nodes.desk.viewing.pictures import SIDE, CannotShow, Picture, encoded, stretched

IMPLICIT: Final = "1.2.840.10008.1.2"
BIG_ENDIAN: Final = "1.2.840.10008.1.2.2"
PIXELS: Final = 40_000_000
FRAME_BYTES: Final = 128 * 1024 * 1024
FRAGMENTS: Final = 10_000
RLE_BYTES: Final = 32 * 1024 * 1024
_EXPLICIT: Final = "1.2.840.10008.1.2.1"
_RLE: Final = "1.2.840.10008.1.2.5"
_JPEG: Final = frozenset({"1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"})
_JPEG_2000: Final = frozenset({"1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"})
_PLAIN: Final = frozenset({IMPLICIT, _EXPLICIT, BIG_ENDIAN})
_ITEM: Final = b"\xfe\xff\x00\xe0"
_UNDEFINED: Final = 0xFFFFFFFF
_LONG: Final = frozenset({b"OB", b"OW", b"UN"})
_END_OF_IMAGE: Final = b"\xff\xd9"
_RLE_SEGMENTS: Final = 15


@dataclass(frozen=True, slots=True)
class Look:
    """What the header says of the pixels (PS3.3 section C.7.6.3); numbers and texts only.

    ``pixels_at`` is where their element begins. ``window`` is the stored values that are black and white,
    empty: their extremes are. ``turned``: what is large is dark. ``palette`` is what each of 256 values is
    in red, green and blue; empty: it is a grey.
    """

    syntax: str
    pixels_at: int
    columns: int
    rows: int
    samples: int
    bits: int
    signed: bool
    planar: bool
    photometric: str
    frames: int
    window: tuple[float, ...]
    turned: bool
    palette: tuple[tuple[int, ...], ...]

    @property
    def little(self) -> bool:
        """Whether the least significant byte comes first."""
        return self.syntax != BIG_ENDIAN

    @property
    def frame_bytes(self) -> int:
        """How long one frame is that is not compressed."""
        return self.columns * self.rows * self.samples * (self.bits // 8)


def draw(look: Look, file: IO[bytes]) -> Picture:
    """Return the first frame; raises :class:`~nodes.desk.viewing.pictures.CannotShow`, OSError."""
    try:
        image = _image(look, file)
        greys = _greys(look, image) if look.samples == 1 else image.convert("RGB")
        return encoded(greys, SIDE, look.columns, look.rows, look.frames)
    except MemoryError:
        raise CannotShow("too-large") from None
    except (CannotShow, OSError):
        raise
    except Exception as fault:
        raise CannotShow("damaged") from fault


def _image(look: Look, file: IO[bytes]) -> Image.Image:
    length = _at_pixels(look, file)
    if look.syntax in _PLAIN:
        if length == _UNDEFINED:
            raise CannotShow("damaged")
        return _from_bytes(_exactly(file, look.frame_bytes), look)
    if look.syntax == _RLE:
        planes = _rle(_fragments(file, look.frames, by_marker=False), look)
        # Plane by plane, the most significant byte made last here.
        return _from_bytes(planes, replace(look, planar=True))
    if look.syntax in _JPEG | _JPEG_2000:
        form = "JPEG" if look.syntax in _JPEG else "JPEG2000"
        data = _fragments(file, look.frames, by_marker=True)
        return _from_file(data, form, look)
    raise CannotShow("unknown")


def _at_pixels(look: Look, file: IO[bytes]) -> int:
    """Go to the value of the pixel data; return its length."""
    file.seek(look.pixels_at + 4)
    if look.syntax == IMPLICIT:
        return int.from_bytes(_exactly(file, 4), "little")
    kind = _exactly(file, 2)
    if kind not in _LONG:
        raise CannotShow("damaged")
    _exactly(file, 2)
    return int.from_bytes(_exactly(file, 4), "little" if look.little else "big")


def _exactly(file: IO[bytes], count: int) -> bytes:
    data = file.read(count)
    if len(data) != count:
        raise CannotShow("damaged")
    return data


def _items(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the items of encapsulated pixel data (PS3.5 annex A.4), the offset table first."""
    total = 0
    for _ in range(FRAGMENTS):
        if file.read(4) != _ITEM:
            return
        length = int.from_bytes(_exactly(file, 4), "little")
        total += length
        if total > FRAME_BYTES:
            raise CannotShow("too-large")
        yield _exactly(file, length)


def _fragments(file: IO[bytes], frames: int, *, by_marker: bool) -> bytes:
    """Return the first frame's bytes: one fragment, up to the second frame, or up to the end of an image."""
    items = _items(file)
    table = next(items, b"")
    second = int.from_bytes(table[4:8], "little") if len(table) >= 8 else None  # noqa: PLR2004 (two offsets)
    found: list[bytes] = []
    length = 0
    for fragment in items:
        found.append(fragment)
        length += len(fragment) + 8
        if not by_marker and frames > 1:
            break
        if second is not None and length >= second:
            break
        if frames > 1 and second is None and _END_OF_IMAGE in fragment[-10:]:
            break
    if not found:
        raise CannotShow("damaged")
    return b"".join(found)


def _rle(data: bytes, look: Look) -> bytes:
    """Return the planes of an RLE frame (PS3.5 annex G), each pixel's bytes in little-endian order."""
    if look.frame_bytes > RLE_BYTES:
        raise CannotShow("too-large")
    width = look.bits // 8
    count = int.from_bytes(data[:4], "little")
    if count != width * look.samples or count > _RLE_SEGMENTS:
        raise CannotShow("damaged")
    offsets = [int.from_bytes(data[4 + 4 * i : 8 + 4 * i], "little") for i in range(count)]
    ends = [*offsets[1:], len(data)]
    pixels = look.columns * look.rows
    planes = []
    for sample in range(look.samples):
        plane = bytearray(pixels * width)
        for byte in range(width):
            number = sample * width + byte
            segment = data[offsets[number] : ends[number]]
            plane[width - 1 - byte :: width] = _unpacked(segment, pixels)
        planes.append(bytes(plane))
    return b"".join(planes)


def _unpacked(segment: bytes, count: int) -> bytes:
    """Return ``count`` bytes of a segment of runs (PackBits); raises CannotShow if it holds fewer."""
    out = bytearray()
    at = 0
    while len(out) < count and at + 1 < len(segment):
        head = segment[at]
        if head < 128:  # noqa: PLR2004 (a run of different bytes)
            out += segment[at + 1 : at + 2 + head]
            at += 2 + head
        else:
            if head > 128:  # noqa: PLR2004 (of equal ones; 128 itself means nothing)
                out += segment[at + 1 : at + 2] * (257 - head)
            at += 2 if head > 128 else 1  # noqa: PLR2004
    if len(out) < count:
        raise CannotShow("damaged")
    return bytes(out[:count])


def _from_bytes(data: bytes, look: Look) -> Image.Image:
    size = (look.columns, look.rows)
    if look.samples == 1:
        if look.bits == 8:  # noqa: PLR2004 (a byte)
            return Image.frombytes("L", size, data) if not look.signed else _signed_bytes(data, size)
        order = "" if look.little else "B"
        kind = f"{look.bits}{order}{'S' if look.signed else ''}"
        if look.bits == 32:  # noqa: PLR2004 (Pillow's integers: what is above 2^31 is no image)
            return Image.frombytes("I", size, data, "raw", f"I;32{order}S")
        if look.signed:
            return Image.frombytes("I", size, data, "raw", f"I;{kind}")
        return Image.frombytes("I;16", size, data, "raw", f"I;16{order}").convert("I")
    if look.bits != 8:  # noqa: PLR2004 (a byte)
        raise CannotShow("unknown")
    if look.planar:
        step = look.columns * look.rows
        bands = [Image.frombytes("L", size, data[i * step : (i + 1) * step]) for i in range(3)]
        colours = Image.merge("RGB", bands)
    else:
        colours = Image.frombytes("RGB", size, data)
    return _coloured(colours, look.photometric)


def _signed_bytes(data: bytes, size: tuple[int, int]) -> Image.Image:
    shifted = Image.frombytes("L", size, data.translate(bytes((i + 128) % 256 for i in range(256))))
    return shifted.convert("I").point(lambda value: value * 1 - 128)


def _coloured(image: Image.Image, photometric: str) -> Image.Image:
    """Return three bands as colours: they may be brightness and two differences of colour."""
    if photometric in {"YBR_FULL", "YBR_RCT", "YBR_ICT"}:
        return Image.merge("YCbCr", image.split()).convert("RGB")
    if photometric != "RGB":
        raise CannotShow("unknown")
    return image


def _from_file(data: bytes, form: str, look: Look) -> Image.Image:
    with Image.open(io.BytesIO(data), formats=(form,)) as image:
        if image.width * image.height > PIXELS:
            raise CannotShow("too-large")
        if image.size != (look.columns, look.rows):
            raise CannotShow("damaged")
        if form == "JPEG" and look.photometric == "RGB" and "adobe_transform" not in image.info:
            # Its colours were not turned into brightness and difference: Pillow must not turn them back.
            image.draft("YCbCr", image.size)
            image.load()
            if image.mode == "YCbCr":
                return Image.merge("RGB", image.split())
        image.load()
        return image.convert("I") if image.mode.startswith("I;") else image.copy()


def _greys(look: Look, image: Image.Image) -> Image.Image:
    """Return stored values as greys, or as the colours of the palette."""
    if look.photometric == "PALETTE COLOR":
        if image.mode != "L":
            raise CannotShow("unknown")
        return Image.merge("RGB", [image.point(list(band)) for band in look.palette])
    deep = image if image.mode in {"I", "F"} else image.convert("I")
    if look.window:
        low, high = look.window
    else:
        found = deep.getextrema()
        low, high = float(found[0]), float(found[1])  # type: ignore[arg-type]  # one band, so two numbers
    shown = stretched(deep, low, high)
    return shown.point(lambda value: 255 - value) if look.turned else shown
