"""OML^O21: laboratory or other examinations are asked for (HL7 v2.5.1, 4.4.6).

MSH PID PV1, then for each examination ORC TQ1 OBR NTE… OBX…. Every examination has a placer number of its own
(ORC-2: the message's reference, a dot and a number) under the group number ORC-4, the reference itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from protocols.errors import LocalProtocolError
from protocols.hl7.build import SegmentFields, build
from protocols.hl7.composing.parts import (
    Attachment,
    Coded,
    Head,
    answered_field,
    attachment_obxs,
    author_field,
    checked,
    msh,
    notes,
    pid,
    pv1,
    reference_field,
)
from protocols.parties import plain

MAX_EXAMINATIONS: Final = 50
RELEVANT_CHARS: Final = 300
"""OBR-13; what is longer goes into notes as well."""
_PRIORITY: Final = {True: ("S", "Stat", "HL70485"), False: ("R", "Routine", "HL70485")}


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be examined, and what whoever does it should know."""

    examinations: tuple[Coded, ...]
    text: str = ""


def build_order(head: Head, order: Order, attachments: tuple[Attachment, ...] = ()) -> bytes:
    """Return OML^O21. Raises :class:`LocalProtocolError` for what no message can say."""
    if not 1 <= len(order.examinations) <= MAX_EXAMINATIONS:
        raise LocalProtocolError(
            f"{len(order.examinations)} examinations; an order has 1 to {MAX_EXAMINATIONS}"
        )
    checked(order.text)
    segments: list[SegmentFields] = [msh(head, "OML", "O21"), pid(head), pv1(head)]
    for number, examination in enumerate(order.examinations, start=1):
        segments += [_orc(head, number), ("TQ1", "1", *[""] * 7, _PRIORITY[head.urgent])]
        segments.append(_obr(head, number, examination, order.text))
        if number == 1:
            segments += [*notes(order.text), *attachment_obxs(head, 1, attachments)]
    return build(*segments)


def _orc(head: Head, number: int) -> SegmentFields:
    """ORC (4.5.1): a new order."""
    author, place = author_field(head.author), head.sender
    begin = (
        "ORC",
        "NW",
        reference_field(head, head.reference, number),
        "",
        reference_field(head, head.reference),
    )
    return (
        *begin, "", "", "", "", head.at, author, "", author, "", "", "", "",
        (place.mailbox, place.mailbox_name), "", "", "",
        (place.facility_name, "", "", "", "", "", "", "", "", place.facility),
    )  # fmt: skip


def _obr(head: Head, number: int, examination: Coded, text: str) -> SegmentFields:
    """OBR (4.5.3)."""
    relevant = plain(text)[:RELEVANT_CHARS]
    own = reference_field(head, head.reference, number)
    begin = ("OBR", str(number), own, "", examination.field, *[""] * 8, relevant, "", "")
    return (*begin, author_field(head.author), *[""] * 12, answered_field(head))
