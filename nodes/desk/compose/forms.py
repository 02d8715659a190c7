"""What a form of composing holds, as fields of a draft: cleaned and cut, judged later."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from nodes.desk.compose import bounds
from nodes.desk.compose.content import CLASSES, LANGUAGES, SUBJECT_CHARS, Row, many_lines, one_line
from protocols.link import limits

Form = Mapping[str, str]


def recipient(form: Form) -> dict[str, Any]:
    """Return kind, department, recipient."""
    return {
        "kind": _line(form, "kind", bounds.NUMBER_CHARS),
        "department": _line(form, "department", limits.ADDRESS_CHARS),
        "recipient": _line(form, "recipient", limits.ADDRESS_CHARS),
    }


def patient(form: Form) -> dict[str, Any]:
    """Return who it is about."""
    stay = _line(form, "patient_class", 1)
    return {
        "number": _line(form, "number", bounds.NUMBER_CHARS),
        "national": _line(form, "national", bounds.NUMBER_CHARS).replace(" ", ""),
        "family": _line(form, "family", bounds.NAME_CHARS),
        "given": _line(form, "given", bounds.NAME_CHARS),
        "sex": _line(form, "sex", 1),
        "born": _line(form, "born", bounds.NUMBER_CHARS),
        "patient_class": stay if stay in CLASSES else "U",
    }


def content(form: Form) -> dict[str, Any]:
    """Return the message itself; of fields that its kind does not show, nothing is changed."""
    language = _line(form, "language", 2)
    found: dict[str, Any] = {
        "urgent": form.get("urgent") == "1",
        "subject": _line(form, "subject", SUBJECT_CHARS),
        "text": many_lines(form.get("text", ""), bounds.TEXT_CHARS + 1),
    }
    if language in LANGUAGES:
        found["language"] = language
    if "examinations" in form:
        longest = bounds.EXAMINATIONS * bounds.LINE_CHARS * 2
        found["examinations"] = many_lines(form["examinations"], longest)
    if "row-0-name" in form:
        found["rows"] = _rows(form)
    return found


def _rows(form: Form) -> tuple[Row, ...]:
    rows = []
    for index in range(bounds.MOST_ROWS):
        if f"row-{index}-name" not in form:
            break
        name, value, unit, normal = (
            _line(form, f"row-{index}-{part}", bounds.LINE_CHARS)
            for part in ("name", "value", "unit", "normal")
        )
        row = Row(name, value, unit, normal, _line(form, f"row-{index}-flag", 3))
        rows.append(row)
    while rows and rows[-1].empty:
        rows.pop()
    return tuple(rows)


def _line(form: Form, name: str, most: int) -> str:
    return one_line(form.get(name, ""), most)


READ: Final[Mapping[str, Callable[[Form], dict[str, Any]]]] = {
    "recipient": recipient,
    "patient": patient,
    "content": content,
}
