"""Files within a message: OBX-5 of type ED (encapsulated data, HL7 v2.5.1 section 2.A.24).

They are numbered in the order of their segments and repetitions, from 0. The fourth component says how bytes
became text (``Base64``, ``Hex``, ``A`` for plain text), the fifth holds it. What it is, the bytes say.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from dataclasses import dataclass, field
from typing import Final

from nodes.desk.viewing.written import cleaned, line
from protocols.hl7.er7 import Message, Segment

FILES: Final = 200
"""What is shown of one message; of more than these the page says that they are left out."""
_TYPE: Final = 2
_VALUE: Final = 5
_TITLE: Final = 3


@dataclass(frozen=True, slots=True)
class EmbeddedFile:
    """One of them. ``data`` is empty and ``fault`` says why if the text is not what it claims to be."""

    title: str
    data: bytes = field(repr=False)
    fault: str


def held(message: Message) -> list[tuple[Segment, bytes]]:
    """Return all values that are a file, each with the segment that holds it."""
    return [
        (segment, value)
        for segment in message.segments
        if segment.name == "OBX" and segment.field(_TYPE).upper() == b"ED"
        for value in segment.repetitions(_VALUE)
        if value
    ]


def file_of(message: Message, segment: Segment, value: bytes) -> EmbeddedFile:
    """Return the file that a value of an OBX is."""
    marks = message.header.delimiters
    parts = value.split(marks.component, 4) if marks.component else [value]
    encoding = parts[3].strip().upper() if len(parts) > 3 else b""  # noqa: PLR2004 (ED-4)
    raw = parts[4] if len(parts) > 4 else b""  # noqa: PLR2004 (ED-5)
    title = _title(message, segment)
    try:
        return EmbeddedFile(title, _decoded(message, raw, encoding), "")
    except (binascii.Error, ValueError) as problem:
        return EmbeddedFile(
            title, b"", f"OBX-5.5: not {encoding.decode('ascii', 'replace')[:16]}: {problem}"[:200]
        )


def _decoded(message: Message, raw: bytes, encoding: bytes) -> bytes:
    if encoding == b"BASE64":
        # Senders break lines within it, as escapes or as they are.
        mark = message.header.delimiters.escape
        bare = raw.replace(mark + b".br" + mark, b"") if mark else raw
        return b64decode(b"".join(bare.split()), validate=True)
    if encoding == b"HEX":
        return bytes.fromhex(raw.decode("ascii"))
    return message.text(raw).encode("utf-8", "replace")


def _title(message: Message, segment: Segment) -> str:
    marks = message.header.delimiters
    parts = segment.field(_TITLE).split(marks.component) if marks.component else [segment.field(_TITLE)]
    named = parts[1] if len(parts) > 1 and parts[1] else parts[0]
    return cleaned(line(message, named))
