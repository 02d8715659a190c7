"""Results (ORU, OUL and whatever else has OBR and OBX) as panels of values.

A message is a list of segments: OBR begins a panel, the OBX behind it are its results, an NTE belongs to what
stands before it, SPM and ORC add facts. Nothing is inferred: whether a value is abnormal is what its
laboratory said in OBX-8, not what its reference range would say. HL7 v2.5.1 chapter 7.

Values: NM as it is written, SN with its comparator, coded values by their text, text with its lines, times as
times, files (ED) as a file of the message. A value of another type is shown as its components.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from flask_babel import lazy_gettext as _
from markupsafe import Markup

from nodes.desk.viewing import codes
from nodes.desk.viewing.blocks import Fact, Panel, Result, facts
from nodes.desk.viewing.written import CUT, Line, formatted, said
from protocols.hl7.moments import read_moment

FLAGS_SHOWN: Final = 8
NOTES_SHOWN: Final = 500
_CODED: Final = frozenset({"CE", "CWE", "CNE", "CF", "IS", "ID"})
_TIMES: Final = frozenset({"DT", "TS", "DTM"})
_NUMBER: Final = re.compile(r"[+-]?(?:\d{1,15}(?:[.,]\d{0,15})?|[.,]\d{1,15})(?:[eE][+-]?\d{1,2})?")
_THOUSANDS: Final = re.compile(r"[+-]?\d{1,3},\d{3}")
"""Either a thousand or a fraction: nobody can tell, so it is no number."""
_RANGE: Final = re.compile(rf"\s*({_NUMBER.pattern})\s*(?:-|–|\.\.|to|à)\s*({_NUMBER.pattern})\s*")
_BOUND: Final = re.compile(rf"\s*([<>])\s*=?\s*({_NUMBER.pattern})\s*")


def number_in(text: str) -> float | None:
    """Return a number as HL7 or a person writes it (comma or point); None for anything else."""
    if _NUMBER.fullmatch(text) is None or _THOUSANDS.fullmatch(text):
        return None
    found = float(text.replace(",", "."))
    return found if math.isfinite(found) else None


def range_in(text: str) -> tuple[float | None, float | None]:
    """Return low and high end of a reference range such as ``3.5-5.1`` or ``<5``, None where it says none."""
    if match := _RANGE.fullmatch(text):
        return number_in(match.group(1)), number_in(match.group(2))
    if match := _BOUND.fullmatch(text):
        number = number_in(match.group(2))
        return (None, number) if match.group(1) == "<" else (number, None)
    return None, None


def panels(lines: Iterable[Line]) -> list[Panel]:
    """Return the panels among the segments of one patient."""
    found: list[_Making] = []
    order: Line | None = None
    for segment in lines:
        match segment.name:
            case "ORC":
                order = segment
            case "OBR":
                found.append(_Making(segment, order))
                order = None
            case "OBX":
                if not found:
                    found.append(_Making(None, order))
                found[-1].add(segment)
            case "NTE" if found:
                found[-1].note(segment)
            case "SPM" if found:
                found[-1].specimen(segment)
            case _:
                pass
    return [each.panel() for each in found]


class _Making:
    """A panel while its segments are read."""

    def __init__(self, request: Line | None, order: Line | None) -> None:
        self._request = request
        self._order = order
        self._results: list[Result] = []
        self._notes: list[str] = []
        self._specimens: list[Fact] = []

    def add(self, observation: Line) -> None:
        one = result(observation)
        if not one.at and self._request is not None:
            one = replace(one, at=self._request.moment(7))
        self._results.append(one)

    def note(self, comment: Line) -> None:
        text = comment.prose(3)
        if not text:
            return
        if not self._results:
            self._notes += _bounded(len(self._notes), text)
            return
        last = self._results[-1]
        self._results[-1] = replace(last, notes=(*last.notes, *_bounded(len(last.notes), text)))

    def specimen(self, specimen: Line) -> None:
        self._specimens += facts(
            (_("Specimen"), specimen.coded(4)),
            (_("Taken from"), specimen.coded(8)),
            (_("Specimen taken"), specimen.moment(17)),
        )

    def panel(self) -> Panel:
        asked = self._request
        shown: list[Fact] = []
        if asked is not None:
            shown += facts(
                (_("Report"), codes.word(codes.REPORT_STATUS, asked.code(25))),
                (_("Reported"), asked.moment(22)),
                (_("Observed"), asked.moment(7)),
                (_("Specimen received"), asked.moment(14)),
                (_("Requested by"), asked.people(16) or (self._order.people(12) if self._order else "")),
                (_("Reason"), asked.coded(31)),
                (_("Clinical information"), asked.prose(13)),
                (_("Interpreted by"), asked.text(32)),
                (_("Order number"), asked.text(2) or (self._order.text(2) if self._order else "")),
                (
                    _("Number at the laboratory"),
                    asked.text(3) or (self._order.text(3) if self._order else ""),
                ),
            )
        title = asked.coded(4) if asked is not None else ""
        return Panel(title, (*shown, *self._specimens), tuple(self._results), tuple(self._notes))


def _bounded(present: int, text: str) -> list[str]:
    """Return a comment behind so many others; a sign that there are more, once, behind the last one."""
    return [text] if present < NOTES_SHOWN else [CUT.strip()] if present == NOTES_SHOWN else []


def result(observation: Line) -> Result:
    """Return one OBX."""
    kind = observation.code(2)
    reference = observation.text(7)
    low, high = range_in(reference)
    value, number = _value(observation, kind)
    parts = observation.parts(observation.first(3))
    code, system = (*parts, "", "", "")[0], (*parts, "", "", "")[2]
    flags = [flag for value in observation.raw(8) for flag in observation.parts(value)[:1] if flag]
    return Result(
        code=f"{code}^{system}" if code else "",
        name=said(parts),
        value=value,
        number=number,
        unit=observation.coded(6) if "^" in observation.text(6) else _unit(observation),
        reference=reference,
        low=low,
        high=high,
        flags=tuple(dict.fromkeys(flag.upper() for flag in flags))[:FLAGS_SHOWN],
        status=observation.code(11),
        at=observation.moment(14),
        method=observation.coded(17),
        notes=(),
        embedded=observation.files,
    )


def _unit(observation: Line) -> str:
    """Return the unit by its code: ``g/dL`` is what people read, ``gram per deciliter`` what it is called."""
    parts = [*observation.parts(observation.first(6)), "", ""]
    return parts[0] or parts[1]


def _value(observation: Line, kind: str) -> tuple[str, float | None]:
    """Return an OBX's value as it is shown, and as a number."""
    values = observation.raw(5)
    if kind == "NM" and len(values) == 1:
        text = observation.text(5)
        return text, number_in(text)
    if kind == "SN" and len(values) == 1:
        parts = [*observation.parts(values[0]), *[""] * 4]
        comparator, first, separator, second = parts[:4]
        shown = f"{comparator} {first}{separator}{second}".strip()
        return shown, number_in(first) if not comparator and not second else None
    if kind == "ED":
        return "", None
    shown_values = [_one(observation, value, kind) for value in values]
    return Markup("<br>").join(filter(None, shown_values)), None


def _one(observation: Line, value: bytes, kind: str) -> str:
    if kind in _CODED:
        return said(observation.parts(value))
    if kind in _TIMES:
        text = next(iter(observation.parts(value)), "")
        return _told(text)
    if kind in {"ST", "TX", "FT", ""} or not kind.isalnum():
        return formatted(observation.message, value)
    return " ".join(filter(None, observation.parts(value)))


def _told(text: str) -> str:
    """Return a time within a list of values as ISO 8601 writes it, which every reader knows."""
    found = read_moment(text)
    if found is None:
        return text
    date = "-".join(f"{part:02}" for part in found.parts[:3])
    time = ":".join(f"{part:02}" for part in found.parts[3:])
    return f"{date} {time}".strip()
