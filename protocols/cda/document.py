"""The header of a CDA R2 document as plain values, and what is embedded in the document.

:func:`read` takes bytes from strangers and returns a :class:`Document`, or raises
:class:`~protocols.cda.xml.MalformedXml` or :class:`MalformedDocument`. It asks for little: a root element
``ClinicalDocument`` of ``urn:hl7-org:v3``. Whatever else the standard demands may be missing; then the value
is empty. A document that breaks a rule is still one that a doctor was sent.

Texts have their white space collapsed and are cut at ``TEXT_CHARS``, lists at ``MOST``. Times stay as they
are written (``YYYYMMDD[HHMM[SS]][+ZZZZ]``). Codes of sex and confidentiality stay codes; others give their
display name. After CDA R2 (ANSI/HL7 CDA R2-2005), section 4.2 for the header, 4.3 for the body.
"""

import binascii
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from protocols.cda.xml import Bounds, parse
from protocols.errors import RemoteProtocolError

NAMESPACE: Final = "urn:hl7-org:v3"
NAMES: Final = {"c": NAMESPACE}
BOUNDS: Final = Bounds(tags=200_000, attributes=400_000)
"""Ten times what the largest documents have; at this size one is shown within seconds."""
TEXT_CHARS: Final = 500
MOST: Final = 50
_NAME_PARTS: Final = ("prefix", "given", "family", "suffix")


class MalformedDocument(RemoteProtocolError):  # noqa: N818 (reads as what it is)
    """XML that is no CDA document."""

    wire_code = "malformed-cda"


@dataclass(frozen=True, slots=True)
class Identifier:
    """An instance identifier; ``authority`` is the name of whoever assigned it, if said."""

    root: str
    extension: str
    authority: str

    @property
    def text(self) -> str:
        """The part that people use."""
        return self.extension or self.root


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with a part in the document; ``at`` is when, as written."""

    name: str
    organization: str
    role: str
    at: str


@dataclass(frozen=True, slots=True)
class Patient:
    """Whom the document is about. ``sex`` is a code (M, F, UN), ``birth`` a time as written."""

    name: str
    birth: str
    sex: str
    identifiers: tuple[Identifier, ...]
    address: str
    telecoms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Encounter:
    """A stay or visit that the document is about."""

    kind: str
    identifiers: tuple[Identifier, ...]
    begins: str
    ends: str
    place: str
    responsible: str


@dataclass(frozen=True, slots=True)
class Related:
    """A document that this one replaces (RPLC), adds to (APND) or was made from (XFRM)."""

    kind: str
    identifiers: tuple[Identifier, ...]


@dataclass(frozen=True, slots=True)
class Header:
    """What stands before the body."""

    title: str
    kind: str
    kind_code: str
    identifiers: tuple[Identifier, ...]
    version: str
    at: str
    language: str
    confidentiality: str
    patients: tuple[Patient, ...]
    authors: tuple[Person, ...]
    custodian: str
    signers: tuple[Person, ...]
    recipients: tuple[Person, ...]
    encounters: tuple[Encounter, ...]
    services: tuple[Encounter, ...]
    orders: tuple[Identifier, ...]
    related: tuple[Related, ...]


@dataclass(frozen=True, slots=True)
class Embedded:
    """A file in the document, or the address of one elsewhere (never fetched).

    ``media_type`` is what its author claims. ``data`` is None if the bytes are elsewhere (``reference``) or
    are not what they claim to be (``fault`` says what). ``compression`` is a code; nothing is unpacked here.
    """

    media_type: str
    data: bytes | None = field(repr=False)
    reference: str
    compression: str
    fault: str


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """A document as it was read: its header, its tree, its pictures by number, and a body that is no XML."""

    header: Header
    root: Any = field(repr=False)
    pictures: tuple[Embedded, ...]
    attachment: Embedded | None


def read(data: bytes) -> Document:
    """Read a document from foreign bytes."""
    root = parse(data, BOUNDS)
    if root.tag != f"{{{NAMESPACE}}}ClinicalDocument":
        raise MalformedDocument(
            f"line {root.sourceline}: the root element is {str(root.tag)[:80]!r}, "
            f"not ClinicalDocument of {NAMESPACE}"
        )
    body = root.find("c:component/c:nonXMLBody/c:text", NAMES)
    return Document(
        header=_header(root),
        root=root,
        pictures=tuple(_embedded(value) for value in picture_values(root)),
        attachment=None if body is None else _embedded(body),
    )


def picture_values(root: Any) -> list[Any]:
    """Return the value of each observationMedia in document order: pictures are numbered by it, from 0."""
    return [
        media.find("c:value", NAMES)
        for media in root.iter(f"{{{NAMESPACE}}}observationMedia")
        if media.find("c:value", NAMES) is not None
    ]


def _header(root: Any) -> Header:
    return Header(
        title=_text(root, "c:title"),
        kind=_display(root, "c:code"),
        kind_code=_value(root, "c:code", "code"),
        identifiers=_identifiers(root, "c:id"),
        version=_value(root, "c:versionNumber", "value"),
        at=_value(root, "c:effectiveTime", "value"),
        language=_value(root, "c:languageCode", "code"),
        confidentiality=_value(root, "c:confidentialityCode", "code"),
        patients=tuple(map(_patient, _all(root, "c:recordTarget/c:patientRole"))),
        authors=tuple(map(_author, _all(root, "c:author"))),
        custodian=_text(root, "c:custodian/c:assignedCustodian/c:representedCustodianOrganization/c:name"),
        signers=tuple(
            _participant(one, "c:assignedEntity", "c:assignedPerson", "c:representedOrganization")
            for path in ("c:legalAuthenticator", "c:authenticator")
            for one in _all(root, path)
        ),
        recipients=tuple(
            _participant(one, "c:intendedRecipient", "c:informationRecipient", "c:receivedOrganization")
            for one in _all(root, "c:informationRecipient")
        ),
        encounters=tuple(map(_encounter, _all(root, "c:componentOf/c:encompassingEncounter"))),
        services=tuple(map(_service, _all(root, "c:documentationOf/c:serviceEvent"))),
        orders=tuple(
            one
            for order in _all(root, "c:inFulfillmentOf/c:order")
            for one in _identifiers(order, "c:id")
        ),
        related=tuple(
            Related(_cut(one.get("typeCode", "")), _identifiers(one, "c:parentDocument/c:id"))
            for one in _all(root, "c:relatedDocument")
        ),
    )  # fmt: skip


def _patient(role: Any) -> Patient:
    address = role.find("c:addr", NAMES)
    return Patient(
        name=_name(role.find("c:patient", NAMES)),
        birth=_value(role, "c:patient/c:birthTime", "value"),
        sex=_value(role, "c:patient/c:administrativeGenderCode", "code"),
        identifiers=_identifiers(role, "c:id"),
        address="" if address is None else _cut(" ".join(_words(part) for part in address)),
        telecoms=tuple(filter(None, (_cut(one.get("value", "")) for one in _all(role, "c:telecom")))),
    )


def _author(author: Any) -> Person:
    found = _participant(author, "c:assignedAuthor", "c:assignedPerson", "c:representedOrganization")
    if found.name:
        return found
    device = "c:assignedAuthor/c:assignedAuthoringDevice/c:softwareName"
    return Person(_text(author, device), found.organization, found.role, found.at)


def _participant(node: Any, entity: str, person: str, organization: str) -> Person:
    return Person(
        name=_name(node.find(f"{entity}/{person}", NAMES)),
        organization=_text(node, f"{entity}/{organization}/c:name"),
        role=_display(node, f"{entity}/c:code"),
        at=_value(node, "c:time", "value"),
    )


def _encounter(node: Any) -> Encounter:
    begins, ends = _interval(node)
    place = "c:location/c:healthCareFacility"
    return Encounter(
        kind=_display(node, "c:code"),
        identifiers=_identifiers(node, "c:id"),
        begins=begins,
        ends=ends,
        place=_text(node, f"{place}/c:location/c:name")
        or _text(node, f"{place}/c:serviceProviderOrganization/c:name"),
        responsible=_name(node.find("c:responsibleParty/c:assignedEntity/c:assignedPerson", NAMES)),
    )


def _service(node: Any) -> Encounter:
    begins, ends = _interval(node)
    performer = "c:performer/c:assignedEntity"
    return Encounter(
        kind=_display(node, "c:code"),
        identifiers=_identifiers(node, "c:id"),
        begins=begins,
        ends=ends,
        place=_text(node, f"{performer}/c:representedOrganization/c:name"),
        responsible=_name(node.find(f"{performer}/c:assignedPerson", NAMES)),
    )


def _interval(node: Any) -> tuple[str, str]:
    begins = _value(node, "c:effectiveTime", "value") or _value(node, "c:effectiveTime/c:low", "value")
    return begins, _value(node, "c:effectiveTime/c:high", "value")


def _name(node: Any) -> str:
    """Return the first name of a person that says anything: prefix, given, family, suffix in this order."""
    for name in [] if node is None else _all(node, "c:name"):
        parts = [_words(part) for kind in _NAME_PARTS for part in _all(name, f"c:{kind}")]
        text = " ".join(filter(None, parts)) or _words(name)
        if text:
            return _cut(text)
    return ""


def _identifiers(node: Any, path: str) -> tuple[Identifier, ...]:
    return tuple(
        Identifier(*(_cut(one.get(name, "")) for name in ("root", "extension", "assigningAuthorityName")))
        for one in _all(node, path)
        if one.get("root") or one.get("extension")
    )


def _all(node: Any, path: str) -> list[Any]:
    return list(node.findall(path, NAMES)[:MOST])


def _words(node: Any) -> str:
    return " ".join("".join(node.itertext()).split())


def _text(node: Any, path: str) -> str:
    found = node.find(path, NAMES)
    return "" if found is None else _cut(_words(found))


def _value(node: Any, path: str, attribute: str) -> str:
    found = node.find(path, NAMES)
    return "" if found is None else _cut(found.get(attribute, ""))


def _display(node: Any, path: str) -> str:
    """Return what a coded value is called: its display name, else its original text, else the code."""
    found = node.find(path, NAMES)
    if found is None:
        return ""
    return _cut(found.get("displayName", "")) or _text(found, "c:originalText") or _cut(found.get("code", ""))


def _cut(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= TEXT_CHARS else text[: TEXT_CHARS - 1] + "…"


def _embedded(value: Any) -> Embedded:
    reference = _value(value, "c:reference", "value")
    media_type = _cut(value.get("mediaType", "")) or "text/plain"
    compression = _cut(value.get("compression", ""))
    text = "".join(_own_text(value))
    data: bytes | None = None
    fault = ""
    if value.get("representation", "TXT").upper() == "B64":
        try:
            data = b64decode("".join(text.split()), validate=True)
        except (binascii.Error, ValueError) as problem:
            fault = f"not base64: {problem}"[:TEXT_CHARS]
    elif text.strip():
        data = text.encode("utf-8")
    elif not reference:
        fault = "empty"
    return Embedded(media_type, data, reference, compression, fault)


def _own_text(value: Any) -> Iterator[str]:
    """Yield the text of a value without that of its reference and thumbnail."""
    yield value.text or ""
    for child in value:
        yield child.tail or ""
