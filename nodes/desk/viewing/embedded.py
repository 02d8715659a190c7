"""Files within a message: OBX-5 of type ED (encapsulated data, HL7 v2.5.1 section 2.A.24).

They are numbered in the order of their segments, from 0. The fourth component says how bytes became text
(``Base64``, ``Hex``, ``A`` for plain text), the fifth holds it. What it is, the bytes say.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from dataclasses import dataclass, field
from typing import Final

from nodes.desk.viewing.written import cleaned, line
from protocols.hl7.er7 import Message, Segment

FILES: Final = 200
"""What a message may hold of them; the rest is shown as text."""
_TYPE: Final = 2
_VALUE: Final = 5
_TITLE: Final = 3


@dataclass(frozen=True, slots=True)
class EmbeddedFile:
    """One of them. ``data`` is empty and ``fault`` says why if the text is not what it claims to be."""

    title: str
    data: bytes = field(repr=False)
    fault: str


def holders(message: Message) -> list[Segment]:
    """Return the segments that hold a file, at most ``FILES``."""
    return [one for one in message.segments if one.name == "OBX" and _holds(one)][:FILES]


def _holds(segment: Segment) -> bool:
    return segment.field(_TYPE).upper() == b"ED" and bool(segment.field(_VALUE))


def file_of(message: Message, segment: Segment) -> EmbeddedFile:
    """Return the file that an OBX holds."""
    marks = message.header.delimiters
    value = next(iter(segment.repetitions(_VALUE)), b"")
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
