"""Whether a PDF file holds a program: one that does is kept, not shown.

Browsers run what a PDF file asks for in a viewer that keeps it from pages and network, but lets it speak
(``app.alert``). An action names its kind (ISO 32000-1 section 12.6.4): ``/JavaScript``, ``/Launch`` and some
others are looked for in the file as it stands. If it names object streams anywhere, every stream is unpacked
and looked through as well, whatever stands before it: a dictionary may be of any length. Names may be written
with numbers for letters (``/J#61vaScript``). A file that is encrypted, larger than ``FILE_BYTES``, or has
streams that cannot be looked through within the bounds (packed in another way than Flate alone, damaged, too
many, too large), counts as one that holds a program; images keep their own formats.

The file is gone through once, forwards, and what is unpacked is bounded by its size: no file costs more than
its length and ``UNPACKED_BYTES`` say, and many small ones no more than a large one.

What is not promised: that a file without these names is without fault. The viewer's own walls stand behind
this.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from typing import IO, Final

FILE_BYTES: Final = 64 * 1024 * 1024
UNPACKED_BYTES: Final = 64 * 1024 * 1024
"""Of the streams of a file, together."""
UNPACKED_RATIO: Final = 100
"""How much more than the file itself they may be."""
STREAMS: Final = 20_000
_PACKED_BYTES: Final = 2 * FILE_BYTES
"""Read while unpacking: marks within a stream have it read again."""
_PIECE_BYTES: Final = 16 * 1024
_NAME_BYTES: Final = 64
"""More than the longest name takes, so one that is cut by a piece's end is found."""
_DEFLATE: Final = 8


def _name(text: str) -> bytes:
    """Return a pattern for a name, each letter as itself or by its number."""
    return b"".join(b"(?:%c|#(?i:%02x))" % (ord(sign), ord(sign)) for sign in text)


def _names(*texts: str) -> re.Pattern[bytes]:
    """Return what finds any of these names."""
    return re.compile(b"/(?:" + b"|".join(map(_name, texts)) + b")(?![A-Za-z])")


_ACTIVE: Final = _names(
    "JavaScript", "Launch", "RichMedia", "SubmitForm", "ImportData", "Rendition", "Encrypt"
)
_OBJECTS: Final = re.compile(b"/" + _name("ObjStm"))
_FILTER: Final = _names("Filter")
_FLATE_ALONE: Final = re.compile(
    b"/" + _name("Filter") + rb"\s*(?:\[\s*)?/" + _name("FlateDecode") + rb"(?:\s*\])?\s*(?:/(?!"
    + _name("Fl") + rb")|>>)"
)  # fmt: skip
_PREDICTOR: Final = _names("Predictor")
_IMAGE: Final = _names("DCTDecode", "JPXDecode", "CCITTFaxDecode", "JBIG2Decode")
_OTHER: Final = _names("LZWDecode", "ASCII85Decode", "ASCIIHexDecode", "RunLengthDecode", "Crypt")
_TYPE_ELSEWHERE: Final = re.compile(b"/" + _name("Type") + rb"(?![A-Za-z0-9#])(?!\s*/)")
_LINE_END: Final = re.compile(rb"\r\n?|\n")


def is_active(file: IO[bytes], size_bytes: int) -> bool:
    """Return whether a PDF file holds a program, or may; raises OSError."""
    if size_bytes > FILE_BYTES:
        return True
    file.seek(0)
    data = file.read(FILE_BYTES + 1)
    return _ACTIVE.search(data) is not None or (_OBJECTS.search(data) is not None and _in_streams(data))


class _Unclear(Exception):  # noqa: N818 (says what a stream is)
    """A stream that cannot be looked through, or not within the bounds."""


def _in_streams(data: bytes) -> bool:
    unpacking = _Unpacking(data)
    before = 0
    for count, at in enumerate(_streams(data)):
        try:
            if count >= STREAMS or (_is_flate(data, at) and unpacking.is_active(at)):
                return True
        except _Unclear:
            return True
        # All since the stream before counts as what is said of this one.
        if not _is_clear(data, before, at):
            return True
        before = at
    return False


def _streams(data: bytes) -> Iterator[int]:
    """Yield where streams begin: viewers pass over the rest of the line, which may end in any way."""
    at = data.find(b"stream")
    while at >= 0:
        end = _LINE_END.search(data, at)
        if end is None:
            return
        yield end.end()
        at = data.find(b"stream", end.end())


def _is_flate(data: bytes, at: int) -> bool:
    """Return whether a stream begins as RFC 1950 says."""
    head = data[at : at + 2]
    return len(head) > 1 and head[0] & 15 == _DEFLATE and int.from_bytes(head, "big") % 31 == 0


def _is_clear(data: bytes, before: int, at: int) -> bool:
    """Return whether what is said of a stream lets one see what is in it once it is unpacked."""
    if _OTHER.search(data, before, at):
        return False
    objects = _OBJECTS.search(data, before, at) or _TYPE_ELSEWHERE.search(data, before, at)
    if _is_flate(data, at):
        return not objects or (
            _FLATE_ALONE.search(data, before, at) is not None and not _PREDICTOR.search(data, before, at)
        )
    if objects:
        return False
    return not _FILTER.search(data, before, at) or _IMAGE.search(data, before, at) is not None


class _Unpacking:
    """What is left of the bounds of one file."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)
        self._packed = _PACKED_BYTES
        self._unpacked = min(UNPACKED_BYTES, UNPACKED_RATIO * len(data))

    def is_active(self, at: int) -> bool:
        """Return whether the stream that begins there names a program; raises _Unclear."""
        stream = zlib.decompressobj()
        tail = b""
        while not stream.eof:
            piece = stream.unconsumed_tail or self._data[at : at + _PIECE_BYTES]
            if not piece:
                raise _Unclear
            if not stream.unconsumed_tail:
                at += len(piece)
                self._packed -= len(piece)
            try:
                unpacked = stream.decompress(piece, 64 * _PIECE_BYTES)
            except zlib.error as fault:
                raise _Unclear from fault
            self._unpacked -= len(unpacked)
            if self._packed < 0 or self._unpacked < 0:
                raise _Unclear
            tail += unpacked
            if _ACTIVE.search(tail):
                return True
            tail = tail[-_NAME_BYTES:]
        return False
