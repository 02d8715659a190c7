"""A small, valid DICOM file: a drawn chest, so that the demo can attach an image without copying one.

Written by DICOM PS3.10 (preamble, ``DICM``, file meta information) and PS3.5 (explicit VR, little endian):
one Secondary Capture image (PS3.3 A.8.1), 8 bits a pixel, MONOCHROME2. Text is UTF-8 (ISO_IR 192). Instance
UIDs are 2.25 followed by a UUID (PS3.5 B.2), so they need no registered root.
"""

import struct
from functools import lru_cache
from math import floor
from typing import Final
from uuid import uuid4

from demo.people import Patient

SIZE: Final = 512
"""Rows and columns; the file has a little over SIZE × SIZE bytes: several chunks of an attachment."""

_SECONDARY_CAPTURE: Final = "1.2.840.10008.5.1.4.1.1.7"
_EXPLICIT_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2.1"
_LONG_FORM: Final = frozenset({"OB", "OW", "UN", "SQ", "UT"})
_PADDED_BY_ZERO: Final = frozenset({"UI", "OB"})

Element = tuple[int, int, str, bytes]


def new_uid() -> str:
    """Return a UID that nobody else has."""
    return f"2.25.{uuid4().int}"


def chest_image(patient: Patient, instance_uid: str, *, number: str, date: str) -> bytes:
    """Return the whole file; ``date`` is YYYYMMDD, ``number`` the accession number (up to 16 characters)."""
    data = b"".join(_encoded(*element) for element in _image(patient, instance_uid, number, date))
    meta = b"".join(
        _encoded(2, element, vr, value)
        for element, vr, value in (
            (0x0001, "OB", b"\x00\x01"),
            (0x0002, "UI", _SECONDARY_CAPTURE.encode()),
            (0x0003, "UI", instance_uid.encode()),
            (0x0010, "UI", _EXPLICIT_LITTLE_ENDIAN.encode()),
            (0x0012, "UI", b"2.25.316137284523109563478953401231798401372"),
            (0x0013, "SH", b"WASL_DEMO"),
        )
    )
    length = _encoded(2, 0, "UL", struct.pack("<I", len(meta)))
    return bytes(128) + b"DICM" + length + meta + data


def _image(patient: Patient, instance_uid: str, number: str, date: str) -> list[Element]:
    name = f"{patient.family}^{patient.given}={patient.family_ar}^{patient.given_ar}"
    small = struct.Struct("<H").pack
    return [
        (0x0008, 0x0005, "CS", b"ISO_IR 192"),
        (0x0008, 0x0016, "UI", _SECONDARY_CAPTURE.encode()),
        (0x0008, 0x0018, "UI", instance_uid.encode()),
        (0x0008, 0x0020, "DA", date.encode()),
        (0x0008, 0x0030, "TM", b""),
        (0x0008, 0x0050, "SH", number.encode()),
        (0x0008, 0x0060, "CS", b"OT"),
        (0x0008, 0x0064, "CS", b"SYN"),
        (0x0008, 0x0090, "PN", b""),
        (0x0010, 0x0010, "PN", name.encode()),
        (0x0010, 0x0020, "LO", patient.nin.encode()),
        (0x0010, 0x0030, "DA", patient.birth.encode()),
        (0x0010, 0x0040, "CS", patient.sex.encode()),
        (0x0020, 0x000D, "UI", new_uid().encode()),
        (0x0020, 0x000E, "UI", new_uid().encode()),
        (0x0020, 0x0010, "SH", number.encode()),
        (0x0020, 0x0011, "IS", b"1"),
        (0x0020, 0x0013, "IS", b"1"),
        (0x0020, 0x0020, "CS", b"L\\F"),
        (0x0028, 0x0002, "US", small(1)),
        (0x0028, 0x0004, "CS", b"MONOCHROME2"),
        (0x0028, 0x0010, "US", small(SIZE)),
        (0x0028, 0x0011, "US", small(SIZE)),
        (0x0028, 0x0100, "US", small(8)),
        (0x0028, 0x0101, "US", small(8)),
        (0x0028, 0x0102, "US", small(7)),
        (0x0028, 0x0103, "US", small(0)),
        (0x7FE0, 0x0010, "OB", _chest()),
    ]


def _encoded(group: int, element: int, vr: str, value: bytes) -> bytes:
    """Write one data element, padded to an even length (PS3.5 7.1.2)."""
    if len(value) % 2:
        value += b"\x00" if vr in _PADDED_BY_ZERO else b" "
    head = struct.pack("<HH2s", group, element, vr.encode())
    length = struct.pack("<HI", 0, len(value)) if vr in _LONG_FORM else struct.pack("<H", len(value))
    return head + length + value


@lru_cache(maxsize=1)
def _chest() -> bytes:
    """Draw: a body, two lungs, a spine, ribs; each pixel from -1 to 1 in both directions."""
    across = [2 * x / SIZE - 1 for x in range(SIZE)]
    return b"".join(bytes(_grey(x, 2 * row / SIZE - 1) for x in across) for row in range(SIZE))


def _grey(x: float, y: float) -> int:
    if (x / 0.92) ** 2 + ((y - 0.1) / 1.05) ** 2 > 1:
        return 8
    grey = 150 - int(30 * abs(x))
    if ((abs(x) - 0.42) / 0.30) ** 2 + ((y - 0.02) / 0.68) ** 2 < 1:
        grey = 45 + (38 if floor((y + 0.35 * abs(x)) * 14) % 3 == 0 else 0)
    if abs(x) < 0.09:  # noqa: PLR2004 - the spine
        grey = 205 + (15 if floor(y * 18) % 2 else 0)
    return grey
