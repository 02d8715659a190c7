"""REF^I12: a patient is referred to another department (HL7 v2.5.1, 11.3).

MSH RF1 PRD PRD PID OBR OBX… PV1 NTE…: who refers to whom, the letter as a CDA document with a reference to
each attachment, and the letter's text once more as notes, for systems that show no CDA.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from protocols.hl7.build import SegmentFields, build
from protocols.hl7.composing.document import Document
from protocols.hl7.composing.parts import (
    Attachment,
    Coded,
    Head,
    attachment_obxs,
    author_field,
    document_obx,
    msh,
    notes,
    pid,
    pv1,
    reference_field,
)
from protocols.parties import plain

_PRIORITY: Final = {True: ("S", "STAT", "HL70280"), False: ("R", "Routine", "HL70280")}
_CATEGORIES: Final = {"E": "Emergency", "I": "Inpatient", "O": "Outpatient"}
"""RF1-5 (table 0284) where it follows from the patient's class."""


@dataclass(frozen=True, slots=True)
class Referral:
    """The letter, why (a line), and its text without markup."""

    letter: Document
    reason: str
    text: str


def build_referral(head: Head, referral: Referral, attachments: tuple[Attachment, ...] = ()) -> bytes:
    """Return REF^I12. Raises :class:`LocalProtocolError` for what no message can say."""
    return build(
        msh(head, "REF", "I12"),
        _rf1(head, referral.reason),
        _prd("RP", "Referring provider", head.author.name, head.author.place.mailbox, head.sender.facility),
        _prd("RT", "Referred to provider", "", head.recipient.mailbox, head.recipient.facility),
        pid(head),
        _obr(head, referral.letter.kind),
        document_obx(head, 1, referral.letter.kind, referral.letter.content),
        *attachment_obxs(head, 2, attachments),
        pv1(head),
        *notes(referral.text),
    )


def _rf1(head: Head, reason: str) -> SegmentFields:
    """RF1 (11.6.1): pending, medical; RF1-6 is the message's reference, RF1-11 that of what it answers."""
    category = _CATEGORIES.get(head.patient_class)
    return (
        "RF1", ("P", "Pending", "HL70283"), _PRIORITY[head.urgent], ("Med", "Medical", "HL70281"), "",
        (head.patient_class, category, "HL70284") if category else "",
        reference_field(head, head.reference), head.at, "", "", ("", plain(reason)),
        (plain(head.answers),) if head.answers else "",
    )  # fmt: skip


def _prd(role: str, meaning: str, name: str, mailbox: str, facility: str) -> SegmentFields:
    """PRD (11.6.3): a role, a name if there is one, and the place."""
    return (
        "PRD",
        (role, meaning, "HL70286"),
        (plain(name),) if name else "",
        "",
        (mailbox, "", "", facility),
    )


def _obr(head: Head, what: Coded) -> SegmentFields:
    """OBR (7.4.1) that the letter hangs on."""
    own = reference_field(head, head.reference)
    begin = ("OBR", "1", own, "", what.field, "", "", head.at)
    return (*begin, *[""] * 8, author_field(head.author), *[""] * 8, "F")
