"""A CDA R2 document from a text: what the desk writes, in the form that every other system reads.

The same header and sections always make the same bytes. The text stays what its author typed: paragraphs at
empty lines, line breaks where there were some, nothing interpreted. What XML cannot carry is left out (see
:func:`protocols.parties.plain`).

Level 2 of CDA: narrative sections with codes, no coded entries; nothing is claimed that a person did not
write.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from lxml import etree

from protocols.cda.header import (
    ADMINISTRATIVE_GENDER,
    CONFIDENTIALITY,
    FACILITIES,
    LANGUAGES,
    LOINC,
    NAMESPACE,
    TEMPLATE,
    TEMPLATE_VERSION,
    TYPE_EXTENSION,
    TYPE_ROOT,
    Code,
    Header,
    root_of,
    time_value,
)
from protocols.errors import LocalProtocolError
from protocols.parties import Identifier, Place, Sex, plain

MAX_TEXT_CHARS: Final = 200_000
"""All sections of a document together."""
_NAMES: Final[Any] = {None: NAMESPACE}
_GENDERS: Final = {Sex.FEMALE: "F", Sex.MALE: "M", Sex.OTHER: "UN"}


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, text below it, and a list below that; ``code`` says what it is, if LOINC has a word."""

    title: str
    text: str
    code: Code | None = None
    items: tuple[str, ...] = ()


def build(header: Header, sections: tuple[Section, ...]) -> bytes:
    """Return the document as UTF-8. Raises :class:`LocalProtocolError` for what no document can be."""
    header.check()
    written = [section for section in sections if section.text.strip() or section.items]
    if not written:
        raise LocalProtocolError("a document needs a section with text")
    length = sum(len(section.text) + sum(map(len, section.items)) for section in written)
    if length > MAX_TEXT_CHARS:
        raise LocalProtocolError(f"{length} characters of text; at most {MAX_TEXT_CHARS} fit a document")
    root: Any = etree.Element(_tag("ClinicalDocument"), nsmap=_NAMES)
    _identity(root, header)
    _record_target(root, header)
    _author(root, header)
    _custodian(root, header)
    _recipient(root, header)
    _relations(root, header)
    body = _add(_add(root, "component"), "structuredBody")
    for section in written:
        _section(body, section)
    encoded: bytes = etree.tostring(root, encoding="UTF-8", xml_declaration=True)
    return encoded


def _identity(root: Any, header: Header) -> None:
    """Write the header's attributes (4.2.1)."""
    _add(root, "typeId", root=TYPE_ROOT, extension=TYPE_EXTENSION)
    _add(root, "templateId", root=root_of(TEMPLATE), extension=TEMPLATE_VERSION)
    _add(root, "id", root=str(header.identifier))
    _code(root, header.kind.code)
    _add(root, "title", text=header.title or header.kind.title(header.language))
    _add(root, "effectiveTime", value=time_value(header.written_at))
    _add(root, "confidentialityCode", code=header.confidentiality.value, codeSystem=CONFIDENTIALITY)
    _add(root, "languageCode", code=LANGUAGES[header.language])


def _record_target(root: Any, header: Header) -> None:
    patient = header.patient
    role = _add(_add(root, "recordTarget"), "patientRole")
    for identifier in patient.identifiers:
        _identifier(role, identifier)
    person = _add(role, "patient")
    name = _add(person, "name")
    if patient.given:
        _add(name, "given", text=patient.given)
    _add(name, "family", text=patient.family)
    gender = _GENDERS.get(patient.sex)
    if gender is None:
        _add(person, "administrativeGenderCode", nullFlavor="UNK")
    else:
        _add(person, "administrativeGenderCode", code=gender, codeSystem=ADMINISTRATIVE_GENDER)
    if patient.born is None:
        _add(person, "birthTime", nullFlavor="UNK")
    else:
        _add(person, "birthTime", value=patient.born.strftime("%Y%m%d"))


def _author(root: Any, header: Header) -> None:
    author = _add(root, "author")
    _add(author, "time", value=time_value(header.written_at))
    assigned = _add(author, "assignedAuthor")
    _identifier(assigned, Identifier(header.author.identifier, header.author.place.facility))
    _add(_add(assigned, "assignedPerson"), "name", text=header.author.name)
    _department(_add(assigned, "representedOrganization"), header.author.place)


def _custodian(root: Any, header: Header) -> None:
    """Write who keeps the original: the author's facility."""
    place = header.author.place
    kept = _add(_add(_add(root, "custodian"), "assignedCustodian"), "representedCustodianOrganization")
    _identifier(kept, Identifier(place.facility, FACILITIES))
    _add(kept, "name", text=place.facility_name)


def _recipient(root: Any, header: Header) -> None:
    if header.recipient is not None:
        intended = _add(_add(root, "informationRecipient"), "intendedRecipient")
        _department(_add(intended, "receivedOrganization"), header.recipient)


def _relations(root: Any, header: Header) -> None:
    if header.order is not None:
        _identifier(_add(_add(root, "inFulfillmentOf"), "order"), header.order)
    if header.parent is not None:
        parent = _add(_add(root, "relatedDocument", typeCode="APND"), "parentDocument")
        if isinstance(header.parent, Identifier):
            _identifier(parent, header.parent)
        else:
            _add(parent, "id", root=str(header.parent))


def _department(organization: Any, place: Place) -> None:
    _identifier(organization, Identifier(place.mailbox, place.facility))
    _add(organization, "name", text=place.mailbox_name)
    whole = _add(_add(organization, "asOrganizationPartOf"), "wholeOrganization")
    _identifier(whole, Identifier(place.facility, FACILITIES))
    _add(whole, "name", text=place.facility_name)


def _section(body: Any, section: Section) -> None:
    """Write one section (4.3.2) and its narrative block (4.3.5)."""
    written = _add(_add(body, "component"), "section")
    if section.code is not None:
        _code(written, section.code)
    _add(written, "title", text=section.title)
    text = _add(written, "text")
    for paragraph in plain(section.text).split("\n\n"):
        lines = paragraph.strip("\n").split("\n")
        if any(line.strip() for line in lines):
            _paragraph(text, lines)
    if section.items:
        listed = _add(text, "list")
        for item in section.items:
            _add(listed, "item", text=item)


def _paragraph(text: Any, lines: list[str]) -> None:
    paragraph = _add(text, "paragraph", text=lines[0])
    for line in lines[1:]:
        _add(paragraph, "br").tail = line


def _code(parent: Any, code: Code) -> None:
    _add(parent, "code", code=code.code, codeSystem=LOINC, codeSystemName="LOINC", displayName=code.name)


def _identifier(parent: Any, identifier: Identifier) -> None:
    _add(
        parent,
        "id",
        root=root_of(identifier.authority),
        extension=plain(identifier.value),
        assigningAuthorityName=identifier.authority,
    )


def _add(parent: Any, name: str, text: str | None = None, **attributes: str) -> Any:
    element = etree.SubElement(parent, _tag(name), attributes)
    if text is not None:
        element.text = plain(text)
    return element


def _tag(name: str) -> str:
    return f"{{{NAMESPACE}}}{name}"
