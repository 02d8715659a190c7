"""Rules of patients: what can be one, who is one already, finding one, and being sure who it is.

Two people with the same name and birth date are told apart by their numbers; the same number is the same
person. *Being sure*: whoever picks a patient for a message says a second identifier (:func:`confirms`): the
birth date, or a number that the first search did not hold.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final

from sqlalchemy import Connection

from nodes.care.patients import store
from nodes.care.patients.store import Number, Patient
from nodes.desk import audit
from nodes.desk.errors import DeskRefused, NotThere
from nodes.desk.folding import fold, terms
from nodes.link.ids import id_text, new_id
from protocols import parties
from protocols.parties import Identifier, Sex

NAME_CHARS: Final = 80
NUMBER_CHARS: Final = 40
NIN_DIGITS: Final = 18
OLDEST_YEARS: Final = 130
_NUMBER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9./\-]*")
_NIN_GAPS: Final = str.maketrans("", "", " .-\u00a0\u202f")


@dataclass(frozen=True, slots=True)
class NewPatient:
    """What is said of somebody new, as typed."""

    family: str
    given: str
    sex: str
    born: str
    nin: str
    number: str
    authority: str


def check_nin(text: str) -> str | None:
    """Return a national number as it is kept, None if none was given. Raises DeskRefused (bad-nin).

    It has 18 digits; spaces, points and dashes between them are left out. Its check digits are not looked
    at: the rule for them is not published.
    """
    digits = text.translate(_NIN_GAPS)
    if not digits:
        return None
    if len(digits) != NIN_DIGITS or not digits.isascii() or not digits.isdigit() or len(set(digits)) == 1:
        raise DeskRefused("bad-nin", f"a national number has {NIN_DIGITS} digits")
    return digits


def check_born(text: str, now_ms: int) -> str:
    """Return a birth date, empty if none was given. Raises DeskRefused (bad-born)."""
    if not text.strip():
        return ""
    today = datetime.fromtimestamp(now_ms / 1000, UTC).date()
    try:
        born = date.fromisoformat(text.strip())
    except ValueError:
        raise DeskRefused("bad-born", "a birth date is like 1978-04-12") from None
    if not today.year - OLDEST_YEARS <= born.year or born > today:
        raise DeskRefused("bad-born", "a birth date is not in the future, nor too long ago")
    return born.isoformat()


def create(connection: Connection, new: NewPatient, *, by: str, now_ms: int) -> Patient:
    """Enter a patient. Raises DeskRefused: bad-family, bad-given, bad-sex, bad-born, bad-nin, bad-number,
    no-number (neither a NIN nor a record number), known-nin, known-number.
    """  # noqa: D205 - one sentence
    family, given = _name(new.family, "bad-family", least=1), _name(new.given, "bad-given", least=0)
    if new.sex not in {str(one) for one in Sex}:
        raise DeskRefused("bad-sex", "the sex is F, M, O or U")
    nin, number = check_nin(new.nin), _number(new)
    if nin is None and number is None:
        raise DeskRefused("no-number", "a patient needs a national number or a record number")
    if nin is not None and store.by_nin(connection, nin) is not None:
        raise DeskRefused("known-nin", "a patient with this national number is known already")
    if number is not None and store.by_number(connection, number) is not None:
        raise DeskRefused("known-number", "a patient with this record number is known already")
    born = check_born(new.born, now_ms)
    held = (number,) if number is not None else ()
    patient = Patient(new_id(now_ms), family, given, new.sex, born, nin, held)
    # A blank before each word: a search is for beginnings of words.
    words = f" {fold(patient.name)} {nin or ''} {fold(number.value) if number is not None else ''}"
    store.put(connection, patient, words, by=by, now_ms=now_ms)
    audit.record(connection, f"user:{by}", "patient.created", id_text(patient.id), {}, now_ms)
    return patient


def _name(text: str, code: str, *, least: int) -> str:
    name = " ".join(text.split())
    if not least <= len(name) <= NAME_CHARS or not name.isprintable():
        raise DeskRefused(code, f"a name has {least} to {NAME_CHARS} printable characters")
    return name


def _number(new: NewPatient) -> Number | None:
    value, authority = new.number.strip(), new.authority.strip()
    if not value:
        return None
    fits = _NUMBER.fullmatch(value) and len(value) <= NUMBER_CHARS
    if not fits or not _NUMBER.fullmatch(authority) or len(authority) > NUMBER_CHARS:
        raise DeskRefused("bad-number", "a record number has letters, digits and . / -, at most 40")
    return Number(value, authority)


def search(connection: Connection, text: str) -> list[Patient]:
    """Return patients by any word of a name, or the beginning of any number; none for an empty question."""
    wanted = terms(text)
    digits = text.translate(_NIN_GAPS)
    if digits.isdigit() and len(digits) > 1:
        wanted = [digits]
    return store.search(connection, wanted) if wanted else []


def find(connection: Connection, identifier: bytes) -> Patient:
    """Return a patient. Raises NotThere."""
    found = store.find(connection, identifier)
    if found is None:
        raise NotThere("no-such-patient", "there is no such patient")
    return found


def confirms(patient: Patient, said: str, *, searched: str = "") -> bool:
    """Return whether ``said`` is a second identifier: birth date (also 12/04/1978), NIN or record number.

    A number whose beginning the search held (``searched``) is no second one: whoever has 17 digits of it
    needs no more than ten tries for the last.
    """
    said = said.strip()
    if not said:
        return False
    if patient.born and said in _dates(patient.born):
        return True
    digits = said.translate(_NIN_GAPS)
    held = {_plain(one) for one in (*fold(searched).split(), searched)} - {""}
    numbers = [one.value for one in patient.numbers] + ([patient.nin] if patient.nin else [])
    fits = [one for one in numbers if fold(one) in {fold(said), digits}]
    return any(not any(_plain(one).startswith(each) for each in held) for one in fits)


def _plain(number: str) -> str:
    return fold(number).translate(_NIN_GAPS)


def _dates(born: str) -> set[str]:
    year, month, day = born.split("-")
    return {born, f"{day}/{month}/{year}", f"{day}.{month}.{year}", f"{day}-{month}-{year}"}


def party(patient: Patient) -> parties.Patient:
    """Return the patient as documents and messages name one; raises ValueError for nobody of that kind."""
    named = [Identifier(one.value, one.authority) for one in patient.numbers]
    if patient.nin:
        named.append(Identifier(patient.nin, parties.NATIONAL, parties.NATIONAL_KIND))
    born = date.fromisoformat(patient.born) if patient.born else None
    return parties.Patient(tuple(named), patient.family, patient.given, Sex(patient.sex), born)
