"""As much of HL7 as judging the gateway takes, written apart from the project's own reader.

:func:`split_header` cuts MSH by its declared separator and says which field makes it unusable, by these
rules: MSH-2 has at most five characters, no two the same; MSH-9 and MSH-10 are there. :func:`answer_of` reads
MSA, :func:`place_of_error` reads ERR in its old and its new form.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

_START = re.compile(rb"[\s\x00\x0b]*(?:\xef\xbb\xbf)?[\s\x00\x0b]*(?=MSH)")
_MARKS = 5


@dataclass(frozen=True, slots=True)
class Head:
    """MSH, cut; ``wrong_field`` like ``MSH-9`` if the message cannot be used, else None."""

    separator: bytes
    fields: tuple[bytes, ...]
    wrong_field: str | None

    def field(self, number: int) -> bytes:
        """Return MSH-``number``."""
        return self.fields[number - 1] if number <= len(self.fields) else b""

    @property
    def marks(self) -> bytes:
        """MSH-2."""
        return self.field(2) or b"^~\\&"

    @property
    def control_id(self) -> bytes:
        """MSH-10."""
        return self.field(10)

    @property
    def mirrored_id(self) -> bytes:
        """What MSA-2 of an answer must be: MSH-10, unless not even MSH-1 can be believed."""
        return b"" if self.wrong_field == "MSH-2" and self.separator != b"|" else self.control_id

    @property
    def name(self) -> tuple[bytes, ...]:
        """What a message is known by."""
        return (self.field(3), self.field(4), self.field(10))


@lru_cache(maxsize=8_192)
def split_header(raw: bytes) -> Head:
    """Cut MSH of a message."""
    start = _START.match(raw)
    if start is None:
        return Head(b"|", (b"MSH",), "MSH")
    line = re.split(rb"[\r\n]", raw[start.end() :], maxsplit=1)[0]
    separator = line[3:4] or b"|"
    fields = tuple(line.split(separator))
    head = Head(separator, fields, None)
    return Head(separator, fields, _wrong(head))


def _wrong(head: Head) -> str | None:
    marks = head.field(2)
    if len(marks) > _MARKS or len(set(marks)) != len(marks):
        return "MSH-2"
    if not head.field(9).strip(b" " + marks[:1]):
        return "MSH-9"
    return None if head.control_id.strip() else "MSH-10"


@dataclass(frozen=True, slots=True)
class Said:
    """An answer: MSA-1 to MSA-3."""

    code: str
    control_id: bytes
    text: str

    @property
    def positive(self) -> bool:
        """AA or CA."""
        return self.code in {"AA", "CA"}

    @property
    def accept(self) -> bool:
        """CA, CE or CR."""
        return self.code.startswith("C")


@lru_cache(maxsize=8_192)
def answer_of(answer: bytes) -> Said:
    """Read MSA; ValueError if it is not an answer."""
    parts = [*_segment(answer, b"MSA"), b"", b"", b""]
    code = parts[1].decode()
    if code not in {"AA", "AE", "AR", "CA", "CE", "CR"}:
        raise ValueError(f"no answer: {answer!r}")
    return Said(code, parts[2], parts[3].decode("utf-8", "replace"))


def place_of_error(answer: bytes) -> str:
    """Return segment and field that ERR names, like ``MSH-9``; of ERR-2 (2.5 and later) or ERR-1."""
    err = [*_segment(answer, b"ERR"), b"", b"", b""]
    component = answer[4:5]
    parts = [part.decode() for part in (err[2] or err[1]).split(component)]
    field = parts[2] if len(parts) > 2 else ""
    return f"{parts[0]}-{field}" if field else parts[0]


def wants(head: Head, *, good: bool) -> bool:
    """Whether MSH-15 and MSH-16 ask for any answer (HL7 table 0155)."""
    conditions = [head.field(number).strip().upper() for number in (15, 16)]
    if not any(conditions):
        return True
    never = {b"", b"NE", b"ER" if good else b"SU"}
    return any(condition not in never for condition in conditions)


def _segment(answer: bytes, name: bytes) -> list[bytes]:
    separator = answer[3:4]
    lines = (line.split(separator) for line in answer.split(b"\r"))
    return next((parts for parts in lines if parts[0] == name), [])
