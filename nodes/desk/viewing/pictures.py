"""Images drawn anew: what a browser gets is never what a sender wrote.

:func:`redraw` opens one image of a known format with Pillow, looks at its size before anything is decoded,
turns it as its camera said, shrinks it to what a screen shows, and encodes it again: comments, profiles,
tricks in a format's corners and hidden second files do not survive that. A bomb (a small file that unpacks
to gigabytes) is refused by the pixels that it announces.

Sixty million pixels took up to 1.2 GiB of memory, and decoders are programs with faults: the desk has this
done by another process (:mod:`drawing`). Only the first frame or page is drawn; how many there are is told.
Whatever a decoder makes of hostile bytes comes out as :class:`CannotShow`.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import IO, Any, Final

from PIL import Image, ImageOps

FORMATS: Final = ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP")
FILE_BYTES: Final = 64 * 1024 * 1024
PIXELS: Final = 60_000_000
SIDE: Final = 2_400
"""Pixels along the longer side of what is sent to a browser."""
_SHRUNK: Final = frozenset({"L", "RGB", "RGBA", "CMYK", "YCbCr"})
"""Pixels whose means are pixels: numbers of colours have none, and of deep ones the extremes count."""
_QUALITY: Final = 90
_WHITE: Final = (255, 255, 255)
_DEEP: Final = frozenset({"I", "F", "I;16", "I;16L", "I;16B", "I;16N"})

_LOCK: Final = Lock()
_inside: list[Any] = []


class CannotShow(Exception):  # noqa: N818 (reads as what it is)
    """An image, scan or archive that is not shown; ``code`` says why.

    It is too-large, unknown or damaged, or holds no-image; or drawing it is refused: no turn (busy), or its
    process ended (spent).
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Picture:
    """An image of our own making: its bytes, their type, its size there and of what it was made from."""

    data: bytes = field(repr=False)
    media_type: str
    width: int
    height: int
    original_width: int
    original_height: int
    frames: int


@contextmanager
def quiet() -> Iterator[None]:
    """Hold while foreign bytes are read: decoders warn about what they find, and quote it; no log wants that.

    Several threads may hold it at once: the world's warnings come back with the last.
    """
    with _LOCK:
        if not _inside:
            kept = warnings.catch_warnings()
            kept.__enter__()
            warnings.simplefilter("ignore")
            _inside.append(kept)
        _inside.append(None)
    try:
        yield
    finally:
        with _LOCK:
            _inside.pop()
            if len(_inside) == 1:
                _inside.pop().__exit__(None, None, None)


def redraw(source: IO[bytes], size_bytes: int, side: int = SIDE) -> Picture:
    """Return the image in ``source``; raises :class:`CannotShow`."""
    if size_bytes > FILE_BYTES:
        raise CannotShow("too-large")
    with quiet():
        try:
            with Image.open(source, formats=FORMATS) as image:
                width, height = image.size
                if width * height > PIXELS:
                    raise CannotShow("too-large")
                image.draft("RGB", (side, side))
                frames = int(getattr(image, "n_frames", 1))
                if image.mode in _SHRUNK:
                    image.thumbnail((side, side))  # before anything is copied
                return encoded(ImageOps.exif_transpose(image), side, width, height, frames)
        except (Image.DecompressionBombError, MemoryError):
            raise CannotShow("too-large") from None
        except CannotShow:
            raise
        except Exception as fault:
            raise CannotShow("damaged") from fault


def encoded(image: Image.Image, side: int, width: int, height: int, frames: int) -> Picture:
    """Return ``image`` as JPEG, as PNG where it has no colours; the size is the original's."""
    if image.mode in _DEEP:
        image = _eight_bits(image)
    if image.mode not in {"1", "L", "RGB"}:
        image = _flat(image)
    image.thumbnail((side, side))
    image.info = {}  # comments and profiles would be written again
    out = io.BytesIO()
    if image.mode == "RGB":
        image.save(out, "JPEG", quality=_QUALITY, subsampling=0)
    else:
        image.save(out, "PNG")
    kind = "image/jpeg" if image.mode == "RGB" else "image/png"
    return Picture(out.getvalue(), kind, *image.size, width, height, frames)


def _flat(image: Image.Image) -> Image.Image:
    """Return an image in RGB, on white where it is transparent."""
    if not image.has_transparency_data:
        return image.convert("RGB")
    shaped = image.convert("RGBA")
    ground = Image.new("RGB", shaped.size, _WHITE)
    ground.paste(shaped, mask=shaped.getchannel("A"))
    return ground


def _eight_bits(image: Image.Image) -> Image.Image:
    """Return an image of more than eight bits a pixel, its darkest value black and its lightest white."""
    deep = image.convert("I") if image.mode.startswith("I;") else image
    found = deep.getextrema()
    low, high = float(found[0]), float(found[1])  # type: ignore[arg-type]  # one band, so two numbers
    return stretched(deep, low, high)


def stretched(deep: Image.Image, low: float, high: float) -> Image.Image:
    """Return an image of mode ``I`` or ``F`` in greys: ``low`` and below black, ``high`` and above white."""
    scale = 255.0 / (high - low) if high > low else 0.0
    floats = deep.convert("F")
    return floats.point(lambda value: value * scale + (-low * scale)).convert("L")
