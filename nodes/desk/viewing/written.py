r"""Fields of HL7 messages as people read them.

:class:`Line` reads one segment: names in the order in which they are said, coded values by their text,
times as :class:`~protocols.hl7.moments.Moment` where they are times. Formatting escapes (``\.br\``, ``\H\``,
``\.sp3\``) become lines and emphasis, or nothing where text stands alone; character sets are
:mod:`protocols.hl7.charsets`'s work.

Control signs are taken out, and those that change the direction of writing with them: an override before
``21`` shows ``12``. HL7's null (two quotation marks) says that there is no value: it is read as none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from markupsafe import Markup, escape

from protocols.hl7.er7 import Message, Segment
from protocols.hl7.moments import Moment, read_moment

NULL: Final = '""'
TEXT_CHARS: Final = 100_000
"""Of one value; what is longer is cut and says so."""
REPETITIONS: Final = 2_000
CUT: Final = " […]"
_HIDDEN: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
_SPACES: Final = re.compile(r"[^\S\n]+")


def cleaned(text: str) -> str:
    """Return ``text`` without control signs, null and blank ends, at most ``TEXT_CHARS`` long."""
    text = _HIDDEN.sub("", text).strip()
    if text == NULL:
        return ""
    return text if len(text) <= TEXT_CHARS else text[:TEXT_CHARS] + CUT


@lru_cache(maxsize=64)
def _sequences(mark: bytes) -> re.Pattern[bytes]:
    """Return what finds escape sequences; those of formatting and of other character sets in group 1."""
    escaped = re.escape(mark)
    commands = rb"\.(?:br|sp\+?\d{0,3}|sk\+?\d{0,3}|(?:in|ti)[+-]?\d{0,3}|fi|nf|ce)"
    ours = rb"([HN]|" + commands + rb"|C[0-9A-F]{4}|M[0-9A-F]{4,6})"
    others = rb"[FSTREP]|X(?:[0-9A-F]{2})*|Z[^\r\n" + escaped + rb"]{0,64}"
    return re.compile(escaped + rb"(?:" + ours + rb"|" + others + rb")" + escaped, re.IGNORECASE)


def _tokens(message: Message, value: bytes) -> Iterator[tuple[bool, str]]:
    """Yield (False, text) and (True, command) in order."""
    mark = message.header.delimiters.escape
    if not mark or mark not in value:
        yield False, message.text(value)
        return
    at = 0
    for match in _sequences(mark).finditer(value):
        if match.group(1) is None:
            continue
        if match.start() > at:
            yield False, message.text(value[at : match.start()])
        yield True, match.group(1).decode("ascii").upper()
        at = match.end()
    if at < len(value):
        yield False, message.text(value[at:])


def _lines_of(command: str) -> str:
    """Return the blank that a formatting command stands for."""
    if command in {".BR", ".CE"} or command.startswith((".TI", ".IN")):
        return "\n"
    if command.startswith(".SP"):
        return "\n" * min(int(command[3:].lstrip("+") or 1), 20)
    if command.startswith(".SK"):
        return " " * min(int(command[3:].lstrip("+") or 1), 80)
    return ""


def plain(message: Message, value: bytes) -> str:
    """Return a value as text, without emphasis; lines are kept."""
    return cleaned("".join(_lines_of(text) if command else text for command, text in _tokens(message, value)))


def line(message: Message, value: bytes) -> str:
    """Return a value as one line of text."""
    mark = message.header.delimiters.escape
    if value.isascii() and not (mark and mark in value) and len(value) <= TEXT_CHARS:
        text = value.decode("ascii")
        if text.isprintable():  # nearly every value: nothing to decode, nothing to take out
            return "" if text.strip() == NULL else " ".join(text.split())
    return " ".join(plain(message, value).split())


def formatted(message: Message, value: bytes) -> Markup:
    """Return a value as HTML: escaped text, ``<br>`` and ``<b>``, nothing else."""
    text = plain(message, value)
    if not text:
        return Markup("")
    parts: list[Markup] = []
    bold = False
    length = 0
    for is_command, part in _tokens(message, value):
        if is_command and part in {"H", "N"}:
            if bold != (part == "H"):
                parts.append(Markup("<b>") if part == "H" else Markup("</b>"))
            bold = part == "H"
            continue
        shown = _lines_of(part) if is_command else _HIDDEN.sub("", part)
        shown = shown[: max(0, TEXT_CHARS - length)]
        length += len(shown)
        parts.append(Markup("<br>").join(escape(one) for one in _SPACES.sub(" ", shown).split("\n")))
    if bold:
        parts.append(Markup("</b>"))
    return Markup("").join([*parts, *([CUT] if length >= TEXT_CHARS else [])])


class Line:
    """One segment of a message, read for people. Numbers count from 1; what is absent is empty.

    ``files`` are the numbers of the files within the message that the segment holds.
    """

    def __init__(self, message: Message, segment: Segment, files: tuple[int, ...] = ()) -> None:
        self.message = message
        self.segment = segment
        self.files = files

    @property
    def name(self) -> str:
        """Three letters, like ``OBX``."""
        return self.segment.name

    def raw(self, number: int) -> list[bytes]:
        """Return the repetitions of a field, at most ``REPETITIONS``."""
        return self.segment.repetitions(number)[:REPETITIONS]

    def first(self, number: int) -> bytes:
        """Return the first repetition of a field."""
        return next(iter(self.raw(number)), b"")

    def parts(self, value: bytes) -> list[str]:
        """Return the components of a repetition as text: of each its first subcomponent."""
        marks = self.message.header.delimiters
        found = value.split(marks.component, REPETITIONS) if marks.component else [value]
        if marks.subcomponent:
            found = [part.split(marks.subcomponent, 1)[0] for part in found]
        return [line(self.message, part) for part in found]

    def part(self, number: int, component: int) -> str:
        """Return one component of the first repetition."""
        parts = self.parts(self.first(number))
        return parts[component - 1] if component <= len(parts) else ""

    def text(self, number: int) -> str:
        """Return a field's first component."""
        return self.part(number, 1)

    def code(self, number: int) -> str:
        """Return a field's first component in capitals: a code of one of HL7's tables."""
        return self.part(number, 1).upper()

    def prose(self, number: int) -> Markup:
        """Return a field of running text; its repetitions are lines."""
        return Markup("<br>").join(formatted(self.message, value) for value in self.raw(number))

    def moment(self, number: int) -> Moment | str:
        """Return a time; the text itself where it is none."""
        text = self.part(number, 1)
        return read_moment(text) or text

    def coded(self, number: int) -> str:
        """Return what coded values (CE, CWE) are called, the repetitions one after the other."""
        return "; ".join(filter(None, (said(self.parts(value)) for value in self.raw(number))))

    def people(self, number: int) -> str:
        """Return names of people (XCN): title, given name, family name; their number where they have none."""
        return "; ".join(filter(None, (_person(self.parts(value)) for value in self.raw(number))))

    def person_name(self, value: bytes) -> str:
        """Return a person's name (XPN)."""
        family, given, middle, suffix, prefix = (*self.parts(value), *[""] * 5)[:5]
        return " ".join(filter(None, (prefix, given, middle, family, suffix)))

    def place(self, number: int) -> str:
        """Return a place (PL): ward, room, bed, facility."""
        parts = [*self.parts(self.first(number)), *[""] * 4]
        return " · ".join(filter(None, parts[:4]))

    def address(self, value: bytes) -> str:
        """Return an address (XAD)."""
        parts = [*self.parts(value), *[""] * 6]
        return ", ".join(filter(None, (*parts[:3], f"{parts[4]} {parts[3]}".strip(), parts[5])))

    def telephone(self, value: bytes) -> str:
        """Return a telephone number or mail address (XTN)."""
        parts = [*self.parts(value), *[""] * 12]
        return parts[0] or parts[3] or parts[11] or " ".join(filter(None, parts[4:8]))

    def quantity(self, number: int) -> str:
        """Return an amount with its unit (CQ)."""
        parts = [*self.parts(self.first(number)), ""]
        return f"{parts[0]} {parts[1]}".strip()


def said(parts: list[str]) -> str:
    """Return the name of a coded value: its text, else its alternate or original text, else the code."""
    code, name, _system, other_code, other = (*parts, *[""] * 5)[:5]
    original = parts[8] if len(parts) > 8 else ""  # noqa: PLR2004 (CWE-9)
    return name or other or original or code or other_code


def _person(parts: list[str]) -> str:
    number, family, given, middle, suffix, prefix = (*parts, *[""] * 6)[:6]
    return " ".join(filter(None, (prefix, given, middle, family, suffix))) or number
