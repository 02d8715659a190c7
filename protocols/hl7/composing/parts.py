"""What all composed messages share: the header, the patient, the visit, text, documents and attachments.

Chapters are those of HL7 v2.5.1. MSH-3 and MSH-4 are the sender's mailbox and facility, MSH-5 and MSH-6 the
recipient's, as every door of Wasl reads them; so a message needs no other address to be sent, and a hospital
system at the other end may route by the same fields.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from protocols.errors import LocalProtocolError
from protocols.hl7.acks import timestamp
from protocols.hl7.build import Field, SegmentFields
from protocols.parties import Author, Patient, Place, plain

VERSION: Final = "2.5.1"
CONTROL_ID_CHARS: Final = 20
"""MSH-10 has no more before v2.7."""
CHARACTER_SET: Final = "UNICODE UTF-8"
"""HL7 table 0211."""
COUNTRY: Final = "DZA"
"""MSH-17, by ISO 3166."""
APPLICATION: Final = "wasl"
LOCAL_CODES: Final = "99WSL"
"""Coding system of what has no code elsewhere (table 0396: 99 and three letters are local)."""
MAX_TEXT_CHARS: Final = 200_000
PATIENT_CLASSES: Final = frozenset("EIOPRBNU")
"""HL7 table 0004, without accounts."""
_LANGUAGES: Final = {"ar": "Arabic", "fr": "French", "en": "English"}
_CONTROL_ID: Final = re.compile(rf"[A-Za-z0-9\-]{{1,{CONTROL_ID_CHARS}}}")


@dataclass(frozen=True, slots=True)
class Head:
    """What every message says first. ``written_at`` knows its zone; ``language`` is ar, fr or en.

    ``reference`` is the message's own; ``answers`` that of the message which it answers or passes on, as that
    message's system wrote it.
    ``patient_class`` is of table 0004: E emergency, I inpatient, O outpatient, U unknown.
    """

    control_id: str
    reference: UUID
    written_at: datetime
    language: str
    author: Author
    recipient: Place
    patient: Patient
    patient_class: str = "U"
    urgent: bool = False
    answers: str = ""

    @property
    def sender(self) -> Place:
        """Where the message comes from: the author's mailbox."""
        return self.author.place

    @property
    def at(self) -> str:
        """The message's time as HL7 writes it."""
        return timestamp(self.written_at)

    def check(self) -> None:
        """Raise :class:`LocalProtocolError` for what no message can say."""
        if not _CONTROL_ID.fullmatch(self.control_id):
            raise LocalProtocolError(f"a control id has 1 to {CONTROL_ID_CHARS} letters, digits and dashes")
        if self.written_at.tzinfo is None:
            raise LocalProtocolError("a message's time must know its zone")
        if self.language not in _LANGUAGES:
            raise LocalProtocolError(f"{self.language!r} is not one of {', '.join(_LANGUAGES)}")
        if self.patient_class not in PATIENT_CLASSES:
            raise LocalProtocolError(f"{self.patient_class!r} is no patient class of table 0004")
        if not self.patient.identifiers or not self.patient.family:
            raise LocalProtocolError("PID-3 and PID-5 are required: an identifier and a family name")
        if not self.author.identifier or not self.author.name:
            raise LocalProtocolError("an author has an identifier and a name")


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that travels beside the message: the message refers to it by the name that it arrives under."""

    name: str
    media_type: str


@dataclass(frozen=True, slots=True)
class Coded:
    """A thing with a code, or, with no code, only in words. ``system`` is of table 0396 (``LN``: LOINC)."""

    text: str
    code: str = ""
    system: str = ""

    @property
    def field(self) -> Field:
        """As CE or CWE: what has no code is its own, in a local system, since receivers look at the first."""
        if self.code:
            return (self.code, plain(self.text), self.system)
        return (plain(self.text), plain(self.text), LOCAL_CODES)


ATTACHMENT: Final = Coded("Attachment", "attachment", LOCAL_CODES)
"""OBX-3 of what refers to a file that travels beside the message."""


def msh(head: Head, code: str, event: str) -> SegmentFields:
    """MSH (2.15.9)."""
    head.check()
    language = (head.language, _LANGUAGES[head.language], "ISO639")
    return (
        "MSH", head.sender.mailbox, head.sender.facility, head.recipient.mailbox, head.recipient.facility,
        head.at, "", (code, event, f"{code}_{event}"), head.control_id, "P", VERSION, "", "", "", "", COUNTRY,
        CHARACTER_SET, language,
    )  # fmt: skip


def pid(head: Head) -> SegmentFields:
    """PID (3.4.2)."""
    patient = head.patient
    identifiers = [(plain(one.value), "", "", one.authority, one.kind) for one in patient.identifiers]
    name = (plain(patient.family), plain(patient.given), "", "", "", "", "L")
    born = patient.born.strftime("%Y%m%d") if patient.born else ""
    return ("PID", "1", "", [*identifiers], "", name, "", born, patient.sex.value)


def pv1(head: Head) -> SegmentFields:
    """PV1 (3.4.3): where the patient is as far as the sender knows."""
    return ("PV1", "1", head.patient_class, (head.sender.mailbox, "", "", head.sender.facility))


def author_field(author: Author) -> Field:
    """Return the author as XCN (2A.88): a name is not taken apart, it is the family name."""
    return (author.identifier, plain(author.name), "", "", "", "", "", "", author.place.facility, "L")


def reference_field(head: Head, reference: UUID, number: int | None = None) -> Field:
    """Return a reference as EI (2A.28); with a ``number``, one of several things under it."""
    text = str(reference) if number is None else f"{reference}.{number}"
    return (text, head.sender.facility)


def answered_field(head: Head) -> Field:
    """Return the reference of what is answered, as EIP (2A.29): its placer's half; empty if there is none."""
    return ((plain(head.answers), ""),) if head.answers else ""


def notes(text: str) -> list[SegmentFields]:
    """Return a text as NTE segments (2.15.10), a paragraph each; line breaks stay."""
    checked(text)
    parts = [part.strip("\n") for part in plain(text).split("\n\n")]
    return [("NTE", str(n), "L", part) for n, part in enumerate((p for p in parts if p.strip()), start=1)]


def checked(text: str) -> str:
    """Return ``text``; :class:`LocalProtocolError` if it is longer than a message carries."""
    if len(text) > MAX_TEXT_CHARS:
        raise LocalProtocolError(f"{len(text)} characters of text; at most {MAX_TEXT_CHARS} fit a message")
    return text


def document_obx(head: Head, number: int, what: Coded, document: bytes) -> SegmentFields:
    """OBX (7.4.2) with a CDA document whole: ED (2A.24), XML in base64, which needs no escaping."""
    data = (APPLICATION, "TEXT", "XML", "Base64", base64.b64encode(document))
    return obx(head, number, "ED", what, data)


def attachment_obxs(head: Head, first: int, attachments: tuple[Attachment, ...]) -> list[SegmentFields]:
    """OBX for each attachment: RP (2A.65), the file's name and what it is.

    The bytes travel beside the message and wait in the recipient's inbox under that name.
    """
    return [
        obx(
            head, number, "RP", ATTACHMENT,
            (one.name, APPLICATION, *_type(one.media_type)), sub=str(number - first + 1),
        )
        for number, one in enumerate(attachments, start=first)
    ]  # fmt: skip


def obx(
    head: Head, number: int, kind: str, what: Coded, value: Field, *, units: Field = "", normal: str = "",
    flag: str = "", sub: str = "",
) -> SegmentFields:  # fmt: skip
    """OBX (7.4.2), final, observed when the message was written."""
    return (
        "OBX", str(number), kind, what.field, sub, value, units, plain(normal), flag, "", "", "F", "", "",
        head.at,
    )  # fmt: skip


def _type(media_type: str) -> tuple[str, str]:
    """RP-3 and RP-4 by tables 0191 and 0291."""
    main, _, subtype = media_type.partition("/")
    return {"image": "IM", "audio": "AU", "text": "TEXT"}.get(main, "AP"), subtype or "octet-stream"
