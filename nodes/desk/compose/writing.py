"""A draft as the message that it becomes: CDA where it is a letter, HL7 around it. Pure.

The same draft, written at the same time by the same author, is the same bytes.
"""

from __future__ import annotations

import base64
import mimetypes
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from config.fields import size_text
from crypto.primitives import blake2b
from nodes.desk.compose.content import Content, Kind
from nodes.desk.compose.store import Upload
from protocols.cda.build import Section, build
from protocols.cda.header import Code, DocumentKind, Header
from protocols.hl7.composing.document import Document, build_document
from protocols.hl7.composing.order import Order, build_order
from protocols.hl7.composing.parts import CONTROL_ID_CHARS, Attachment, Coded, Head
from protocols.hl7.composing.referral import Referral, build_referral
from protocols.hl7.composing.result import Result, Value, build_result
from protocols.parties import LOCAL_KIND, NATIONAL, NATIONAL_KIND, Author, Identifier, Patient, Place, Sex

DOCUMENTS: Final = {
    Kind.FILE: DocumentKind.PATIENT_FILE,
    Kind.ADVICE: DocumentKind.ADVICE,
    Kind.DISCHARGE: DocumentKind.DISCHARGE,
    Kind.REFERRAL: DocumentKind.REFERRAL,
}
REPORT: Final = Code("11502-2", "Laboratory report")
ATTACHED: Final = {"ar": "المرفقات", "fr": "Pièces jointes", "en": "Attachments"}
_CODED: Final = re.compile(r"([0-9]{1,5}-[0-9])\s+(\S.*)")
"""A line that begins with a LOINC code."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a draft does not say itself: its reference, who writes when, and to whom."""

    reference: UUID
    author: Author
    recipient: Place
    written_at: datetime


def patient_of(content: Content, facility: str) -> Patient:
    """Return the patient of a draft; a record number is the writer's facility's unless it says another."""
    identifiers = []
    if content.national:
        identifiers.append(Identifier(content.national, NATIONAL, NATIONAL_KIND))
    if content.number:
        identifiers.append(Identifier(content.number, content.authority or facility, LOCAL_KIND))
    return Patient(tuple(identifiers), content.family, content.given, Sex(content.sex), content.born_on)


def write(content: Content, envelope: Envelope, uploads: Sequence[Upload]) -> bytes:
    """Return the message. Raises LocalProtocolError for a draft that has faults left."""
    head = Head(
        control_id=control_id_of(envelope.reference),
        reference=envelope.reference,
        written_at=envelope.written_at,
        language=content.language,
        author=envelope.author,
        recipient=envelope.recipient,
        patient=patient_of(content, envelope.author.place.facility),
        patient_class=content.patient_class,
        urgent=content.urgent,
        answers=content.answers,
    )
    files = tuple(Attachment(one.name, media_type(one.name)) for one in uploads)
    kind = Kind(content.kind)
    if kind is Kind.ORDER:
        return build_order(head, Order(tuple(map(coded, content.examination_lines)), content.text), files)
    if kind is Kind.RESULT:
        return build_result(head, _result(content), files)
    document = _document(content, head, uploads)
    if kind is Kind.REFERRAL:
        return build_referral(head, Referral(document, content.subject, content.text), files)
    return build_document(head, document, files)


def control_id_of(reference: UUID) -> str:
    """Return MSH-10 of the message with this reference: as good as unique in the 20 characters there are."""
    digest = blake2b(reference.bytes, size=16, person=b"wasl control id")
    return base64.b32encode(digest).decode("ascii")[:CONTROL_ID_CHARS]


def coded(line: str) -> Coded:
    """Return what a line asks for: a LOINC code and words, or words alone."""
    found = _CODED.fullmatch(line)
    return Coded(line) if found is None else Coded(found.group(2), found.group(1), "LN")


def media_type(name: str) -> str:
    """Return what a file seems to be, by its name."""
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


def _result(content: Content) -> Result:
    values = tuple(
        Value(coded(row.name), row.value, row.unit, row.normal, row.flag) for row in content.values
    )
    return Result(Coded(content.subject, REPORT.code, "LN"), values, content.text, content.order)


def _document(content: Content, head: Head, uploads: Sequence[Upload]) -> Document:
    kind = DOCUMENTS[Kind(content.kind)]
    sections = [Section(kind.title(content.language), content.text)]
    if uploads:
        listed = tuple(f"{one.name} ({size_text(one.size)})" for one in uploads)
        sections.append(Section(ATTACHED[content.language], "", items=listed))
    header = Header(
        identifier=head.reference,
        kind=kind,
        title=content.subject,
        written_at=head.written_at,
        language=content.language,
        patient=head.patient,
        author=head.author,
        recipient=head.recipient,
        parent=_parent(content.answers, head.recipient.facility),
    )
    written = Coded(kind.code.name, kind.code.code, "LN")
    return Document(build(header, tuple(sections)), written, content.subject)


def _parent(answers: str, facility: str) -> UUID | Identifier | None:
    """Return the reference of what is answered as CDA takes it: another system's is that facility's."""
    if not answers:
        return None
    try:
        return UUID(answers)
    except ValueError:
        return Identifier(answers, facility)
