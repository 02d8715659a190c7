"""What a file is, decided by its bytes. Neither its name nor what its sender says of it counts.

``SHOWN_AS`` says how each kind is offered. What is not recognized is a file to keep. Markup that a browser
would run (HTML, SVG, other XML) is recognized only to be called what it is; it is never shown as such.
"""

from __future__ import annotations

import codecs
import re
from enum import StrEnum
from typing import Final

SNIFFED_BYTES: Final = 4_096
"""How much of a file is looked at."""


class Kind(StrEnum):
    """What a file is."""

    PDF = "pdf"
    ACTIVE_PDF = "active-pdf"
    PNG = "png"
    JPEG = "jpeg"
    GIF = "gif"
    WEBP = "webp"
    TIFF = "tiff"
    BMP = "bmp"
    DICOM = "dicom"
    CDA = "cda"
    HL7 = "hl7"
    ZIP = "zip"
    TEXT = "text"
    MARKUP = "markup"
    OTHER = "other"


IMAGES: Final = frozenset({Kind.PNG, Kind.JPEG, Kind.GIF, Kind.WEBP, Kind.TIFF, Kind.BMP})
SHOWN: Final = IMAGES | {Kind.PDF, Kind.DICOM, Kind.CDA, Kind.ZIP, Kind.TEXT, Kind.HL7}
"""What has a page; anything else can only be kept."""
SUFFIXES: Final = {
    Kind.PDF: ".pdf", Kind.ACTIVE_PDF: ".pdf", Kind.PNG: ".png",
    Kind.JPEG: ".jpg", Kind.GIF: ".gif", Kind.WEBP: ".webp",
    Kind.TIFF: ".tif", Kind.BMP: ".bmp", Kind.DICOM: ".dcm", Kind.CDA: ".xml", Kind.HL7: ".hl7",
    Kind.ZIP: ".zip", Kind.TEXT: ".txt", Kind.MARKUP: ".txt", Kind.OTHER: ".dat",
}  # fmt: skip

_STARTS: Final = (
    (b"\x89PNG\r\n\x1a\n", Kind.PNG),
    (b"\xff\xd8\xff", Kind.JPEG),
    (b"GIF87a", Kind.GIF),
    (b"GIF89a", Kind.GIF),
    (b"II*\x00", Kind.TIFF),
    (b"MM\x00*", Kind.TIFF),
    (b"PK\x03\x04", Kind.ZIP),
    (b"PK\x05\x06", Kind.ZIP),
)
_BMP_HEADER: Final = frozenset({12, 40, 52, 56, 64, 108, 124})
_PDF_WITHIN: Final = 1_024
_DICOM_AT: Final = 128
_TAG: Final = re.compile(r"<[!?/a-zA-Z]")
_LAYOUT: Final = frozenset("\t\r\n\f")
_CDA_ROOT: Final = re.compile(r"<(?:[A-Za-z_][\w.-]{0,40}:)?ClinicalDocument[\s>/]")


def kind_of(start: bytes) -> Kind:
    """Return what a file is that begins so: its first ``SNIFFED_BYTES``, or all of it."""
    start = start[:SNIFFED_BYTES]
    if start[_DICOM_AT : _DICOM_AT + 4] == b"DICM":
        return Kind.DICOM  # its first 128 bytes are free, for another format or for mischief
    for mark, kind in _STARTS:
        if start.startswith(mark):
            return kind
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return Kind.WEBP
    if start[:2] == b"BM" and int.from_bytes(start[14:18], "little") in _BMP_HEADER:
        return Kind.BMP
    if b"%PDF-" in start[:_PDF_WITHIN] and not start.lstrip().startswith(b"<"):
        return Kind.PDF
    return _text_kind(start)


def _text_kind(start: bytes) -> Kind:
    text = _as_text(start)
    if text is None:
        return Kind.OTHER
    bare = text.lstrip("\ufeff \t\r\n")
    if bare.startswith("MSH"):
        return Kind.HL7
    if not all((sign >= " " and sign != "\x7f") or sign in _LAYOUT for sign in text):
        return Kind.OTHER
    if _CDA_ROOT.search(bare):
        return Kind.CDA
    return Kind.MARKUP if _TAG.search(bare) else Kind.TEXT


def _as_text(start: bytes) -> str | None:
    codec = "utf-8"
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        codec = "utf-16"
    elif start[:2] in {b"<\x00", b"\x00<"}:
        codec = "utf-16-le" if start[1:2] == b"\x00" else "utf-16-be"
    try:
        return codecs.getincrementaldecoder(codec)().decode(start)
    except UnicodeDecodeError:
        # A text in one byte a character has no zeros; which set it is cannot be seen in its beginning.
        return None if b"\x00" in start else start.decode("latin-1")
