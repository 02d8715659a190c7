"""One file that came with a message, wherever it is: an attachment, a part of the body, the body itself.

Addresses name it by ``source`` and number: ``file/0`` is the first attachment, ``part/0`` the first file
within the HL7 message, ``body/0`` the body of a message that is no HL7. ``infile/0`` is what the clinical
document ``file/0`` consists of if it has no text of its own (CDA's nonXMLBody), and so on.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from nodes.desk.errors import NotThere
from nodes.desk.viewing.embedded import EmbeddedFile
from nodes.desk.viewing.kinds import SHOWN, SNIFFED_BYTES, SUFFIXES, Kind, kind_of
from nodes.desk.viewing.names import safe_name
from nodes.desk.viewing.pdfs import is_active
from nodes.link.inbox import Received, ReceivedFile
from protocols.cda.document import read
from protocols.errors import RemoteProtocolError

FILE, PART, BODY = "file", "part", "body"
WITHIN: Final = "in"
DOCUMENT_BYTES: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Foreign:
    """A file of somebody else's. ``data`` is None if it lies at ``path``; ``file`` is its entry then."""

    source: str
    index: int
    name: str
    kind: Kind
    size_bytes: int
    data: bytes | None = field(repr=False)
    path: Path | None
    file: ReceivedFile | None

    @property
    def shown(self) -> bool:
        """Whether there is something to see."""
        return self.kind in SHOWN

    @property
    def tag(self) -> str:
        """What changes with the content."""
        if self.file is not None:
            return self.file.digest.hex()
        return hashlib.sha256(self.data or b"").hexdigest()

    def open(self) -> IO[bytes]:
        """Return its bytes, to be closed; raises OSError."""
        if self.path is not None:
            return self.path.open("rb")
        return io.BytesIO(self.data or b"")


def _kind(file: IO[bytes], size_bytes: int) -> Kind:
    """Return what a file is; a PDF that may hold a program is no PDF to show."""
    kind = kind_of(file.read(SNIFFED_BYTES))
    return Kind.ACTIVE_PDF if kind is Kind.PDF and is_active(file, size_bytes) else kind


def attachment(received: Received, index: int, home: Path) -> Foreign:
    """Return an attachment; raises NotThere, OSError."""
    if not 0 <= index < len(received.files):
        raise NotThere("no-such-file", f"the message has no file {index}")
    file = received.files[index]
    path = home / file.path
    with path.open("rb") as opened:
        kind = _kind(opened, file.size)
    return Foreign(FILE, index, safe_name(file.name, SUFFIXES[kind]), kind, file.size, None, path, file)


def part(files: tuple[EmbeddedFile, ...], index: int) -> Foreign:
    """Return a file within the message; raises NotThere."""
    if not 0 <= index < len(files):
        raise NotThere("no-such-file", f"the message has no part {index}")
    one = files[index]
    kind = _kind(io.BytesIO(one.data), len(one.data))
    suffix = SUFFIXES[kind]
    stem = safe_name(one.title or "document", "").removesuffix(".download")
    return Foreign(PART, index, safe_name(stem + suffix, suffix), kind, len(one.data), one.data, None, None)


def body(data: bytes, subject: str) -> Foreign:
    """Return a body that is no HL7 message."""
    kind = _kind(io.BytesIO(data), len(data))
    suffix = SUFFIXES[kind]
    stem = safe_name(subject or "message", "").removesuffix(".download")
    return Foreign(BODY, 0, safe_name(stem + suffix, suffix), kind, len(data), data, None, None)


def within(one: Foreign) -> Foreign | None:
    """Return the file that a clinical document consists of; None if it has text of its own, or is none.

    Raises OSError.
    """
    if one.kind is not Kind.CDA or one.size_bytes > DOCUMENT_BYTES:
        return None
    with one.open() as opened:
        try:
            held = read(opened.read()).attachment
        except RemoteProtocolError:
            return None
    if held is None or held.data is None:
        return None
    kind = _kind(io.BytesIO(held.data), len(held.data))
    suffix = SUFFIXES[kind]
    name = safe_name(one.name.removesuffix(".xml") + suffix, suffix)
    return Foreign(WITHIN + one.source, one.index, name, kind, len(held.data), held.data, None, None)
