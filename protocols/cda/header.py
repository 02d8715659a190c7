"""What a clinical document says of itself before its text: the header of CDA R2 (section 4.2).

Identifiers there need a root that is an OID or a UUID. A facility has an id like ``chu-mustapha`` and no OID,
so its root is made from its name: ``2.25.`` and the number of the UUID that RFC 4122 (section 4.3) derives
from Wasl's namespace and that name. Everybody can compute it, nobody has to register it, and it never
changes. ``assigningAuthorityName`` repeats the name for people.

The kinds are the documents that departments write to each other, each with the LOINC code that says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from functools import lru_cache
from typing import Final
from uuid import UUID, uuid5

from protocols.errors import LocalProtocolError
from protocols.parties import Author, Identifier, Patient, Place

NAMESPACE: Final = "urn:hl7-org:v3"
LOINC: Final = "2.16.840.1.113883.6.1"
CONFIDENTIALITY: Final = "2.16.840.1.113883.5.25"
ADMINISTRATIVE_GENDER: Final = "2.16.840.1.113883.5.1"
TYPE_ROOT: Final = "2.16.840.1.113883.1.3"
TYPE_EXTENSION: Final = "POCD_HD000040"
WASL: Final = UUID("2c2cb96f-3393-4b67-8b1e-ba0a441bd310")
"""The namespace of names that Wasl makes OIDs from."""
TEMPLATE: Final = "wasl-document"
TEMPLATE_VERSION: Final = "1"
FACILITIES: Final = "wasl-facilities"
"""Within this authority a facility's id is unique; a mailbox's within its facility."""
LANGUAGES: Final = {"ar": "ar-DZ", "fr": "fr-DZ", "en": "en-GB"}


class Confidentiality(Enum):
    """Who may see it, by the code system of the same name."""

    NORMAL = "N"
    RESTRICTED = "R"
    VERY_RESTRICTED = "V"


@dataclass(frozen=True, slots=True)
class Code:
    """A LOINC code with its name there."""

    code: str
    name: str


class DocumentKind(Enum):
    """What a document is: LOINC code, and what people call it in French, Arabic and English."""

    PATIENT_FILE = (
        Code("34133-9", "Summary of episode note"),
        "Dossier patient",
        "ملف المريض",
        "Patient file",
    )
    ADVICE = (Code("11488-4", "Consult note"), "Avis médical", "رأي طبي", "Medical advice")
    DISCHARGE = (Code("18842-5", "Discharge summary"), "Lettre de sortie", "رسالة خروج", "Discharge letter")
    REFERRAL = (
        Code("57133-1", "Referral note"),
        "Lettre d'orientation",
        "رسالة إحالة",
        "Referral letter",
    )

    @property
    def code(self) -> Code:
        """The document's LOINC code."""
        code: Code = self.value[0]
        return code

    def title(self, language: str) -> str:
        """Return what it is called in ``ar``, ``fr`` or anything else (English)."""
        return str(self.value[{"fr": 1, "ar": 2}.get(language, 3)])


@dataclass(frozen=True, slots=True)
class Header:
    """Everything around the text. ``written_at`` knows its zone; ``language`` is a key of ``LANGUAGES``.

    ``parent`` is the document that this one answers or passes on with a word of its own: CDA's addendum
    (4.2.3); a UUID, or another system's identifier. ``order`` is the order or referral that it fulfils.
    """

    identifier: UUID
    kind: DocumentKind
    title: str
    written_at: datetime
    language: str
    patient: Patient
    author: Author
    recipient: Place | None = None
    confidentiality: Confidentiality = Confidentiality.NORMAL
    parent: UUID | Identifier | None = None
    order: Identifier | None = None

    def check(self) -> None:
        """Raise :class:`LocalProtocolError` for what no document can say."""
        if self.written_at.tzinfo is None:
            raise LocalProtocolError("a document's time must know its zone")
        if self.language not in LANGUAGES:
            raise LocalProtocolError(f"{self.language!r} is not one of {', '.join(LANGUAGES)}")
        if not self.patient.identifiers or not self.patient.family:
            raise LocalProtocolError("a document is about a patient with an identifier and a family name")
        if not self.author.identifier or not self.author.name:
            raise LocalProtocolError("a document has an author with an identifier and a name")


@lru_cache(maxsize=1_024)
def root_of(authority: str) -> str:
    """Return the OID under which an authority's identifiers are unique."""
    return f"2.25.{uuid5(WASL, authority).int}"


def time_value(moment: datetime) -> str:
    """Write a moment as TS does, to the second, with its zone: ``20260131235959+0100``."""
    return moment.strftime("%Y%m%d%H%M%S%z")
