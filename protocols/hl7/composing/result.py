"""ORU^R01: results, in answer to an order or unasked (HL7 v2.5.1, 7.3.1).

MSH PID PV1 ORC OBR NTE… OBX…: values as OBX with unit, range and flag, then the report's text as notes. The
message's own reference is the filler number (ORC-3, OBR-3); an order's number comes back as the placer
number (ORC-2, OBR-2), which is how the system that ordered finds it again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from protocols.errors import LocalProtocolError
from protocols.hl7.build import Field, SegmentFields, build
from protocols.hl7.composing.parts import (
    Attachment,
    Coded,
    Head,
    attachment_obxs,
    msh,
    notes,
    obx,
    pid,
    pv1,
    reference_field,
)
from protocols.parties import plain

MAX_VALUES: Final = 200
FLAGS: Final = ("", "N", "L", "H", "LL", "HH", "A", "AA", "POS", "NEG")
"""What may stand in OBX-8 (table 0078)."""
_NUMBER: Final = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Value:
    """One value as it is reported; ``unit`` is UCUM or as people write it, ``normal`` like ``3.5-5.1``."""

    what: Coded
    value: str
    unit: str = ""
    normal: str = ""
    flag: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What was examined, its values, the report in words; ``order`` is the placer's number, if one asked."""

    examination: Coded
    values: tuple[Value, ...]
    text: str = ""
    order: str = ""


def build_result(head: Head, result: Result, attachments: tuple[Attachment, ...] = ()) -> bytes:
    """Return ORU^R01. Raises :class:`LocalProtocolError` for what no message can say."""
    if len(result.values) > MAX_VALUES:
        raise LocalProtocolError(f"{len(result.values)} values; a result has at most {MAX_VALUES}")
    if not (result.values or result.text.strip() or attachments):
        raise LocalProtocolError("a result has values, a text or an attachment")
    number = len(result.values) + 1
    return build(
        msh(head, "ORU", "R01"),
        pid(head),
        pv1(head),
        _orc(head, result),
        _obr(head, result),
        *notes(result.text),
        *(_value(head, n, value) for n, value in enumerate(result.values, start=1)),
        *attachment_obxs(head, number, attachments),
    )


def _placer(head: Head, result: Result) -> Field:
    """Return the number that the order was given by who asked, with the facility that asked."""
    number = result.order or head.answers
    return (plain(number), head.recipient.facility) if number else ""


def _orc(head: Head, result: Result) -> SegmentFields:
    """ORC (4.5.1): observations to follow; completed."""
    group: Field = (plain(head.answers), head.recipient.facility) if head.answers else ""
    filler = reference_field(head, head.reference)
    return ("ORC", "RE", _placer(head, result), filler, group, "CM", "", "", "", head.at)


def _obr(head: Head, result: Result) -> SegmentFields:
    """OBR (7.4.1): final, observed and reported when the message was written."""
    filler = reference_field(head, head.reference)
    begin = ("OBR", "1", _placer(head, result), filler, result.examination.field, "", "", head.at)
    return (*begin, *[""] * 14, head.at, "", "", "F", *[""] * 6, _principal(head))


def _principal(head: Head) -> Field:
    """Return OBR-32, who answers for the results: NDL, whose first component is a CNN (2A.52, 2A.12)."""
    return ((head.author.identifier, plain(head.author.name)),)


def _value(head: Head, number: int, value: Value) -> SegmentFields:
    if value.flag not in FLAGS:
        raise LocalProtocolError(f"{value.flag!r} is no flag of OBX-8; {', '.join(FLAGS[1:])} are")
    text = plain(value.value).strip()
    if not text:
        raise LocalProtocolError(f"the value {number} is empty")
    kind = "NM" if _NUMBER.fullmatch(text) else "ST"
    units: Field = (plain(value.unit), plain(value.unit), "UCUM") if value.unit else ""
    return obx(head, number, kind, value.what, text, units=units, normal=value.normal, flag=value.flag)
