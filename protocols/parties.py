"""Who and where: the people and places that both a clinical document and an HL7 message name.

One value is written twice, as XML in a CDA header and as ER7 in PID, TXA or ORC, so what a patient or an
author is stands here, beneath both. Nothing here knows a form, a table or a clock.

An *authority* says within what an identifier is unique: a facility's id for its own numbers, or
``NATIONAL`` for the national identification number.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Final

NATIONAL: Final = "dz-nin"
"""The authority of the national identification number (NIN)."""
NATIONAL_KIND: Final = "NI"
"""HL7 table 0203: national unique individual identifier."""
LOCAL_KIND: Final = "MR"
"""HL7 table 0203: medical record number."""

_FORBIDDEN: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Sex(StrEnum):
    """Administrative sex by HL7 table 0001, as far as it is used here."""

    FEMALE = "F"
    MALE = "M"
    OTHER = "O"
    UNKNOWN = "U"


@dataclass(frozen=True, slots=True)
class Identifier:
    """``value`` is unique within ``authority``; ``kind`` is of HL7 table 0203."""

    value: str
    authority: str
    kind: str = LOCAL_KIND


@dataclass(frozen=True, slots=True)
class Patient:
    """Who a document is about: at least one identifier and a family name, or no builder takes it."""

    identifiers: tuple[Identifier, ...]
    family: str
    given: str = ""
    sex: Sex = Sex.UNKNOWN
    born: date | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """A mailbox of a facility: what addresses it, and what people call both."""

    mailbox: str
    facility: str
    facility_title: str = ""
    mailbox_title: str = ""

    @property
    def address(self) -> str:
        """``mailbox@facility``."""
        return f"{self.mailbox}@{self.facility}"

    @property
    def facility_name(self) -> str:
        """What people call the facility; its id if nothing else is known."""
        return self.facility_title or self.facility

    @property
    def mailbox_name(self) -> str:
        """What people call the department; its id if nothing else is known."""
        return self.mailbox_title or self.mailbox


@dataclass(frozen=True, slots=True)
class Author:
    """Who wrote it: ``identifier`` is unique within the facility of ``place``."""

    identifier: str
    name: str
    place: Place


def plain(text: str) -> str:
    """Return ``text`` in Unicode's composed form (NFC), without the signs that XML 1.0 cannot carry (2.2)."""
    return unicodedata.normalize("NFC", _FORBIDDEN.sub("", text)).replace("\r\n", "\n").replace("\r", "\n")
