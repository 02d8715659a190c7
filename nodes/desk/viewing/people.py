"""Who a message, a document or an image is about, and whether two of them mean the same person.

The identity bar of a page is made from :class:`Identity`. Attachments carry identities of their own;
:func:`contradiction` says what speaks against their being of the same person, so that a page can warn:
a scan in the wrong file is the error that hurts most.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Final

from nodes.desk.viewing.written import Line
from protocols.cda.document import Patient
from protocols.hl7.moments import Moment, read_moment

NATIONAL: Final = frozenset({"NI", "NNDZA", "NN", "NNDZ"})
"""Types of identifier (table 0203) that stand for the national number (NIN)."""
IDENTIFIERS: Final = 20
_SEXES: Final = frozenset({"F", "M"})


@dataclass(frozen=True, slots=True)
class Identifier:
    """A number of a person: what assigned it, and its type by table 0203; empty where it is not said."""

    number: str
    authority: str
    type: str


@dataclass(frozen=True, slots=True)
class Identity:
    """A person: all names, a code of sex, numbers; ``birth`` is text if it is no time."""

    names: tuple[str, ...]
    birth: Moment | str
    sex: str
    identifiers: tuple[Identifier, ...]
    address: str = ""
    telephone: str = ""

    @property
    def national(self) -> str:
        """The national number, if one is marked as such."""
        return next((one.number for one in self.identifiers if one.type in NATIONAL), "")

    @property
    def others(self) -> tuple[Identifier, ...]:
        """The other numbers."""
        return tuple(one for one in self.identifiers if one.type not in NATIONAL)


def from_pid(pid: Line) -> Identity:
    """Return who a PID segment is about."""
    identifiers = []
    for value in pid.raw(3)[:IDENTIFIERS]:
        parts = [*pid.parts(value), *[""] * 5]
        if parts[0]:
            identifiers.append(Identifier(parts[0], parts[3], parts[4].upper()))
    names = [pid.person_name(value) for value in pid.raw(5)[:IDENTIFIERS]]
    telephones = [pid.telephone(value) for value in (*pid.raw(13), *pid.raw(14))[:3]]
    return Identity(
        names=tuple(dict.fromkeys(filter(None, names))),
        birth=pid.moment(7),
        sex=pid.code(8),
        identifiers=tuple(identifiers),
        address=pid.address(pid.first(11)),
        telephone=", ".join(filter(None, telephones)),
    )


def from_document(patient: Patient) -> Identity:
    """Return who a CDA document is about."""
    numbers = tuple(
        Identifier(one.extension, one.authority or one.root, "")
        for one in patient.identifiers
        if one.extension
    )
    telephone = ", ".join(one.removeprefix("tel:") for one in patient.telecoms[:3])
    birth = read_moment(patient.birth) or patient.birth
    names = (patient.name,) if patient.name else ()
    return Identity(names, birth, patient.sex.upper(), numbers, patient.address, telephone)


def contradiction(one: Identity, other: Identity) -> str:
    """Return what speaks against ``one`` and ``other`` being the same person: birth, sex, name; else empty.

    A number in common settles it, whoever assigned it, unless birth dates differ. Without one, names must
    share a word.
    """
    if _differ(_day(one), _day(other)):
        return "birth"
    if {one.sex, other.sex} == _SEXES:
        return "sex"
    mine, theirs = ({each.number for each in person.identifiers} for person in (one, other))
    if mine & theirs:
        return ""
    if one.names and other.names and not _words(one) & _words(other):
        return "name"
    return ""


def same_person(one: Identity, other: Identity, *, same_sender: bool) -> bool:
    """Whether two identities are surely one person: a number of the same authority, and nothing against it.

    A number whose authority is not said counts only between messages of one sender.
    """

    def known(person: Identity) -> set[tuple[str, str, str]]:
        return {
            (each.number, each.authority, each.type)
            for each in person.identifiers
            if each.authority or each.type in NATIONAL or same_sender
        }

    return bool(known(one) & known(other)) and not contradiction(one, other)


def _day(person: Identity) -> tuple[int, ...]:
    return person.birth.parts[:3] if isinstance(person.birth, Moment) else ()


def _differ(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether two dates differ in what both of them say."""
    shared = min(len(one), len(other))
    return one[:shared] != other[:shared]


def _words(person: Identity) -> set[str]:
    """Return the words of all names, without marks and case."""
    flat = unicodedata.normalize("NFKD", " ".join(person.names)).casefold()
    letters = "".join(sign if sign.isalnum() else " " for sign in flat if not unicodedata.combining(sign))
    return set(letters.split())
