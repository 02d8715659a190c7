"""What the header of a DICOM file says of its first frame; :mod:`pixels` draws it.

Shown are frames that are not compressed (8, 16 and 32 bits, one or three samples, palettes of 8 bits), RLE
(PS3.5 annex G), JPEG of 8 bits and JPEG 2000; JPEG-LS, lossless JPEG and video need decoders that Wasl does
not bring, and are offered as files.

This is a look at what arrived, not a diagnostic display: the page says so.
"""

from __future__ import annotations

from typing import Any

from nodes.desk.viewing.dicom import Scan
from nodes.desk.viewing.pictures import CannotShow
from nodes.desk.viewing.pixels import FRAME_BYTES, PIXELS, Look


def look(scan: Scan) -> Look:
    """Return how the first frame is drawn; raises :class:`~nodes.desk.viewing.pictures.CannotShow`."""
    if scan.pixels_at is None:
        raise CannotShow("no-image")
    try:
        found = _look(scan, scan.pixels_at)
    except CannotShow:
        raise
    except Exception as fault:
        raise CannotShow("damaged") from fault
    if found.columns < 1 or found.rows < 1:
        raise CannotShow("no-image")
    if found.columns * found.rows > PIXELS or found.frame_bytes > FRAME_BYTES:
        raise CannotShow("too-large")
    if found.samples not in {1, 3} or found.bits not in {8, 16, 32}:
        raise CannotShow("unknown")
    return found


def _look(scan: Scan, pixels_at: int) -> Look:
    dataset = scan.dataset
    photometric = str(dataset.get("PhotometricInterpretation") or "").strip().upper()
    slope = _first(dataset.get("RescaleSlope"))
    slope = 1.0 if slope is None else slope
    return Look(
        syntax=scan.syntax,
        pixels_at=pixels_at,
        columns=_number(dataset, "Columns", 0),
        rows=_number(dataset, "Rows", 0),
        samples=_number(dataset, "SamplesPerPixel", 1),
        bits=_number(dataset, "BitsAllocated", 0),
        signed=_number(dataset, "PixelRepresentation", 0) == 1,
        planar=_number(dataset, "PlanarConfiguration", 0) == 1,
        photometric=photometric,
        frames=_frames(dataset),
        window=_window(dataset, slope),
        turned=(photometric == "MONOCHROME1") != (slope < 0),
        palette=_palette(dataset) if photometric == "PALETTE COLOR" else (),
    )


def _number(dataset: Any, keyword: str, default: int) -> int:
    value = dataset.get(keyword)
    return default if value is None or value == "" else int(value)


def _frames(dataset: Any) -> int:
    """Return how many frames there are; one where that cannot be read."""
    try:
        return max(1, _number(dataset, "NumberOfFrames", 1))
    except (ValueError, TypeError):
        return 1


def _first(value: Any) -> float | None:
    """Return a number, or the first of several."""
    if value is None or value == "":
        return None
    several = isinstance(value, list | tuple) or (
        hasattr(value, "__getitem__") and not isinstance(value, str)
    )
    return float(value[0] if several else value)


def _window(dataset: Any, slope: float) -> tuple[float, ...]:
    """Return the stored values that are black and white; empty: the header does not say."""
    intercept = _first(dataset.get("RescaleIntercept")) or 0.0
    centre, width = _first(dataset.get("WindowCenter")), _first(dataset.get("WindowWidth"))
    if centre is None or width is None or width <= 1 or not slope:
        return ()
    ends = (
        (centre - 0.5 - (width - 1) / 2 - intercept) / slope,
        (centre - 0.5 + (width - 1) / 2 - intercept) / slope,
    )
    return min(ends), max(ends)


def _palette(dataset: Any) -> tuple[tuple[int, ...], ...]:
    """Return what values of eight bits are in red, green and blue (PS3.3 section C.7.6.3.1.5)."""
    bands = []
    for colour in ("Red", "Green", "Blue"):
        count, first, bits = (int(part) for part in dataset.get(f"{colour}PaletteColorLookupTableDescriptor"))
        table = bytes(dataset.get(f"{colour}PaletteColorLookupTableData") or b"")
        wide = bits > 8 or len(table) >= 2 * (count or 65_536)  # noqa: PLR2004 (a byte)
        values = table[1::2] if wide else table
        if not values:
            raise CannotShow("damaged")
        bands.append(tuple(values[min(max(i - first, 0), len(values) - 1)] for i in range(256)))
    return tuple(bands)
