"""What a message is shown as: a few kinds of block, as values that the templates draw.

A text is a ``str`` (escaped by the template) or :class:`~markupsafe.Markup` of our own making; a time is a
:class:`~protocols.hl7.moments.Moment`, told in the reader's language when it is drawn. Titles and labels are
lazy: they become words of the request's language then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from flask_babel.speaklater import LazyString

from protocols.hl7.moments import Moment

Said: TypeAlias = "str | Moment | LazyString"
"""A value: text (Markup included), a word of ours, or a time."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One labelled value."""

    label: Any
    value: Said


@dataclass(frozen=True, slots=True)
class Facts:
    """A list of labelled values under a title."""

    title: Any
    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class Prose:
    """Running text under a title."""

    title: Any
    text: str


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that the reader must see first; ``kind`` is ok, info, warn or bad."""

    kind: str
    title: Any
    text: Any = ""


@dataclass(frozen=True, slots=True)
class Result:
    """One observation (OBX).

    ``code`` is what it has in common with other values of its kind, empty if nothing: code and system.
    ``number`` is the value as a number where it is one. ``flags`` and ``status`` are codes. ``embedded`` are
    the numbers of the files in the message that are the value.
    """

    code: str
    name: str
    value: str
    number: float | None
    unit: str
    reference: str
    low: float | None
    high: float | None
    flags: tuple[str, ...]
    status: str
    at: Said
    method: str
    notes: tuple[str, ...]
    embedded: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Panel:
    """What was asked (OBR) and what was found: facts, results, comments."""

    title: str
    facts: tuple[Fact, ...]
    results: tuple[Result, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One field of a segment: where it stands and what it says."""

    place: str
    text: str


@dataclass(frozen=True, slots=True)
class SegmentRows:
    """A segment field by field."""

    name: str
    title: Any
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Paper:
    """A file within the message (OBX-5 of type ED), by its number."""

    title: Any
    embedded: int


Block: TypeAlias = "Facts | Prose | Notice | Panel | SegmentRows | Paper"


def facts(*pairs: tuple[Any, Said]) -> tuple[Fact, ...]:
    """Return those facts that say something; a lazy word always does."""
    return tuple(Fact(label, value) for label, value in pairs if not isinstance(value, str) or value)
