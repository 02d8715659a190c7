r"""Reading ER7 ("pipes and hats") messages lazily, and never changing a byte of them.

A :class:`Message` keeps its bytes as they came (``bytes(message)`` gives them back) and is only a
view on them: segments are cut when first asked for, fields when a segment is asked, text when a
value is. Nothing is validated beyond what finding a value needs; that a hospital's message is odd
is no reason to lose it.

Segment ends. The standard knows CR alone; LF, CR LF and mixtures of them are met daily. CR always
ends a segment. In a message whose MSH ends with CR, a lone LF ends a segment only where something
that looks like a segment follows; else it is text that a sender forgot to escape. In all other
messages LF ends a segment. Blank lines are no segments.

Paths are ``SEG-F``, ``SEG-F.C`` or ``SEG-F.C.S``, with ``[n]`` after the segment and after the field
for the n-th of them: ``PID-3[2].4.1``, ``OBX[3]-5``. Numbers count from 1, as in the standard.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

import msgspec

from protocols.hl7 import charsets
from protocols.hl7.build import build
from protocols.hl7.encoding import STANDARD, Delimiters, escape, unescape
from protocols.hl7.errors import BadPath, MalformedMessage
from protocols.hl7.header import Header, HierarchicDesignator, find_header, read_header

__all__ = [
    "STANDARD",
    "BadPath",
    "Delimiters",
    "Header",
    "HierarchicDesignator",
    "Leaf",
    "MalformedMessage",
    "Message",
    "Path",
    "Segment",
    "build",
    "escape",
    "parse_path",
    "read_header",
    "unescape",
]

MAX_SEGMENTS: Final = 100_000
#: Fields of a segment, repetitions of a field, components of a repetition, subcomponents.
MAX_PARTS: Final = 10_000

_HEADER_SEGMENTS: Final = frozenset({"MSH", "FHS", "BHS"})
_LINE_ENDS: Final = (b"\r", b"\n")
_BLANK: Final = b" \t\x0b\x0c\x1c\x00"
_PATH: Final = re.compile(
    r"([A-Z][A-Z0-9]{2})(?:\[(\d{1,6})\])?-(\d{1,4})(?:\[(\d{1,6})\])?(?:\.(\d{1,4})(?:\.(\d{1,4}))?)?"
)


class Path(msgspec.Struct, frozen=True):
    """Where a value stands; all numbers count from 1, None where the path does not say."""

    segment: str
    occurrence: int
    field: int
    repetition: int | None = None
    component: int | None = None
    subcomponent: int | None = None


class Leaf(msgspec.Struct, frozen=True):
    """One subcomponent found by :meth:`Message.walk`: its full path and its bytes, still escaped."""

    path: str
    value: bytes


@lru_cache(maxsize=1_024)
def parse_path(path: str) -> Path:
    """Take a path apart; :class:`BadPath` if it is not one."""
    match = _PATH.fullmatch(path)
    if match is None:
        raise BadPath(f"{path!r} is not a path; it must be like PID-3, OBX[2]-5 or PID-3[2].4.1")
    numbers = [int(number) if number else None for number in match.groups()[1:]]
    if 0 in numbers:
        raise BadPath(f"{path!r} counts from 0; segments, fields and their parts count from 1")
    occurrence, field, repetition, component, subcomponent = numbers
    assert field is not None
    return Path(match.group(1), occurrence or 1, field, repetition, component, subcomponent)


class Segment:
    """One segment: a name and the bytes of its line without the end of line."""

    __slots__ = ("_fields", "delimiters", "name", "raw")

    def __init__(self, raw: bytes, delimiters: Delimiters) -> None:
        self.raw = raw
        self.delimiters = delimiters
        self.name = raw[:3].decode("latin-1")
        self._fields: list[bytes] | None = None

    @property
    def fields(self) -> list[bytes]:
        """Bytes of the fields: ``[0]`` is the name, ``[n]`` is field n; in MSH, ``[1]`` is the separator."""
        if self._fields is None:
            self._fields = _split(self.raw, self.delimiters.field, self.name)
            if self.name in _HEADER_SEGMENTS:
                self._fields.insert(1, self.delimiters.field)
        return self._fields

    def field(self, number: int) -> bytes:
        """Bytes of one field with all its repetitions, empty if absent."""
        fields = self.fields
        return fields[number] if number < len(fields) else b""

    def repetitions(self, number: int) -> list[bytes]:
        """Bytes of each repetition of a field; empty list if the field is empty or absent."""
        value = self.field(number)
        if self._is_declaration(number):
            return [value]
        return _split(value, self.delimiters.repetition, self.name) if value else []

    def parts(self, path: Path) -> bytes:
        """Bytes at ``path`` within this segment, as deep as the path goes, empty if absent."""
        value = self.field(path.field)
        if self._is_declaration(path.field):
            return value
        if path.repetition is not None or path.component is not None:
            value = _nth(value, self.delimiters.repetition, path.repetition or 1)
        if path.component is not None:
            value = _nth(value, self.delimiters.component, path.component)
        if path.subcomponent is not None:
            value = _nth(value, self.delimiters.subcomponent, path.subcomponent)
        return value

    def _is_declaration(self, number: int) -> bool:
        return number <= 2 and self.name in _HEADER_SEGMENTS  # noqa: PLR2004 (MSH-1 and MSH-2)

    def leaves(self, name: str) -> Iterator[Leaf]:
        """Walk the non-empty subcomponents, their paths beginning with ``name``."""
        marks = self.delimiters
        for number, field in enumerate(self.fields[1:], start=1):
            if not field:
                continue
            if self._is_declaration(number):
                yield Leaf(f"{name}-{number}", field)
                continue
            for r, repetition in enumerate(_split(field, marks.repetition, self.name), start=1):
                at = f"{name}-{number}[{r}]" if r > 1 else f"{name}-{number}"
                for c, component in enumerate(_split(repetition, marks.component, self.name), start=1):
                    for s, value in enumerate(_split(component, marks.subcomponent, self.name), start=1):
                        if value:
                            yield Leaf(f"{at}.{c}.{s}", value)


class Message:
    """An ER7 message: its bytes, and a view on them.

    Raises :class:`MalformedMessage` as :func:`read_header` does. With a ``header`` (that of a
    fault's ``partial``, say) nothing is checked, so that even a refused message can be looked into.
    """

    __slots__ = ("_charset", "_raw", "_segments", "header")

    def __init__(self, raw: bytes, header: Header | None = None) -> None:
        self._raw = raw
        self.header = read_header(raw) if header is None else header
        self._segments: tuple[Segment, ...] | None = None
        self._charset: charsets.Decoded | None = None

    def __bytes__(self) -> bytes:
        return self._raw

    @property
    def charset(self) -> charsets.Decoded:
        """Whole message as text, and what character set that took; decoded once."""
        if self._charset is None:
            self._charset = charsets.decode(self._raw, self.header.character_sets)
        return self._charset

    @property
    def segments(self) -> tuple[Segment, ...]:
        """All segments in order; :class:`MalformedMessage` beyond ``MAX_SEGMENTS``."""
        if self._segments is None:
            delimiters = self.header.delimiters
            self._segments = tuple(
                Segment(line if line[:1].isalnum() else line.lstrip(_BLANK), delimiters)
                for line in self._lines()
                if line[:1].isalnum() or line.strip(_BLANK)
            )
        return self._segments

    def _lines(self) -> list[bytes]:
        body = self._raw[find_header(self._raw) :]
        if b"\n" not in body:
            lines = body.split(b"\r", MAX_SEGMENTS)
        elif b"\r" not in body:
            lines = body.split(b"\n", MAX_SEGMENTS)
        elif body.find(b"\r") < body.find(b"\n"):
            lines = _line_pattern(self.header.delimiters.field).split(body, MAX_SEGMENTS)
        else:
            lines = re.split(rb"[\r\n]+", body, maxsplit=MAX_SEGMENTS)
        if len(lines) > MAX_SEGMENTS:
            raise MalformedMessage(
                "MSH",
                None,
                f"more than {MAX_SEGMENTS} segments",
                "send it as several messages",
                partial=self.header,
            )
        return lines

    def all(self, name: str) -> list[Segment]:
        """Segments of that name, in order."""
        return [segment for segment in self.segments if segment.name == name]

    def segment(self, name: str, occurrence: int = 1) -> Segment | None:
        """Find the ``occurrence``-th segment of that name, counted from 1; None if there are fewer."""
        for segment in self.segments:
            if segment.name == name:
                occurrence -= 1
                if not occurrence:
                    return segment
        return None

    def first(self, name: str) -> Segment | None:
        """Find the first line that begins with this name, and take nothing else apart: others may be many."""
        mark = name.encode("ascii") + self.header.delimiters.field
        starts = [at + 1 for end in _LINE_ENDS if (at := self._raw.find(end + mark)) >= 0]
        if not starts:
            return None
        start = min(starts)
        ends = [at for end in _LINE_ENDS if (at := self._raw.find(end, start)) >= 0]
        return Segment(self._raw[start : min(ends, default=len(self._raw))], self.header.delimiters)

    def text_at(self, segment: Segment, path: str) -> str:
        """Text of one subcomponent of ``segment``; what ``path`` leaves out is the first."""
        at = parse_path(path)
        leaf = Path(at.segment, 1, at.field, at.repetition or 1, at.component or 1, at.subcomponent or 1)
        return self.text(segment.parts(leaf))

    def raw(self, path: str) -> bytes:
        """Bytes at ``path``, as deep as it goes and still escaped; empty if absent."""
        at = parse_path(path)
        segment = self.segment(at.segment, at.occurrence)
        return b"" if segment is None else segment.parts(at)

    def get(self, path: str) -> str:
        r"""Text of one subcomponent; what ``path`` leaves out is the first. Empty if absent.

        ``PID-5`` is PID-5.1.1, the family name. HL7's null comes as it is sent: two quotation marks.
        """
        at = parse_path(path)
        segment = self.segment(at.segment, at.occurrence)
        return "" if segment is None else self.text_at(segment, path)

    def values(self, path: str) -> list[str]:
        """Text at ``path`` in every segment of its name and every repetition of the field."""
        at = parse_path(path)
        found = []
        for segment in self.all(at.segment):
            for number in range(1, len(segment.repetitions(at.field)) + 1):
                leaf = Path(at.segment, 1, at.field, number, at.component or 1, at.subcomponent or 1)
                found.append(self.text(segment.parts(leaf)))
        return found

    def text(self, value: bytes) -> str:
        """Text of a value: unescaped, then decoded as the whole message is."""
        value = unescape(value, self.header.delimiters)
        if value.isascii():
            return value.decode("ascii")
        return value.decode(self.charset.charset_used, "replace")

    def walk(self) -> Iterator[Leaf]:
        """Every non-empty subcomponent in order, with its path."""
        seen: dict[str, int] = {}
        for segment in self.segments:
            count = seen[segment.name] = seen.get(segment.name, 0) + 1
            yield from segment.leaves(f"{segment.name}[{count}]" if count > 1 else segment.name)


@lru_cache(maxsize=64)
def _line_pattern(field_separator: bytes) -> re.Pattern[bytes]:
    return re.compile(
        rb"\r\n?|\n(?=[A-Z][A-Z0-9]{2}(?:" + re.escape(field_separator) + rb"|[\r\n]|\Z)|\r|\n|\Z)"
    )


def _split(value: bytes, mark: bytes, segment: str) -> list[bytes]:
    if not mark:
        return [value]
    parts = value.split(mark, MAX_PARTS)
    if len(parts) > MAX_PARTS:
        raise MalformedMessage(
            segment, None, f"a part is divided more than {MAX_PARTS} times", "send less in one"
        )
    return parts


def _nth(value: bytes, mark: bytes, number: int) -> bytes:
    if not mark:
        return value if number == 1 else b""
    parts = value.split(mark, number)
    return parts[number - 1] if number <= len(parts) else b""
