"""SQL over patients: one, several, a search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, insert, select

from nodes.care.patients.tables import numbers, patients

FOUND: Final = 20
"""Patients that a search returns at most, and one more that says there are others."""


@dataclass(frozen=True, slots=True)
class Number:
    """A record number and the authority within which it is unique."""

    value: str
    authority: str


@dataclass(frozen=True, slots=True)
class Patient:
    """Somebody known here: ``sex`` F, M, O or U, ``born`` an ISO date or empty, ``nin`` 18 digits or None."""

    id: bytes
    family: str
    given: str
    sex: str
    born: str
    nin: str | None
    numbers: tuple[Number, ...]

    @property
    def name(self) -> str:
        """The whole name."""
        return f"{self.family} {self.given}".strip()


def find(connection: Connection, identifier: bytes) -> Patient | None:
    """Return a patient."""
    rows = connection.execute(select(patients).where(patients.c.id == identifier)).all()
    found = _whole(connection, rows)
    return found[0] if found else None


def by_nin(connection: Connection, nin: str) -> Patient | None:
    """Return the patient with a national number."""
    found = _whole(connection, connection.execute(select(patients).where(patients.c.nin == nin)).all())
    return found[0] if found else None


def by_number(connection: Connection, number: Number) -> Patient | None:
    """Return the patient with a record number."""
    row = connection.execute(
        select(numbers.c.patient).where(
            numbers.c.authority == number.authority, numbers.c.value == number.value
        )
    ).one_or_none()
    return None if row is None else find(connection, row.patient)


def search(connection: Connection, terms: Sequence[str]) -> list[Patient]:
    """Return patients with a word (of a name, a number) that begins with each of ``terms``, by name."""
    query = select(patients)
    for term in terms:
        query = query.where(patients.c.words.contains(f" {term}", autoescape=True))
    rows = connection.execute(query.order_by(patients.c.words).limit(FOUND + 1)).all()
    return _whole(connection, rows)


def put(connection: Connection, patient: Patient, words: str, *, by: str, now_ms: int) -> None:
    """Enter a patient; IntegrityError if a number is another's."""
    connection.execute(
        insert(patients).values(
            id=patient.id, family=patient.family, given=patient.given, sex=patient.sex, born=patient.born,
            nin=patient.nin, words=words, created_ms=now_ms, created_by=by,
        )
    )  # fmt: skip
    for number in patient.numbers:
        connection.execute(
            insert(numbers).values(authority=number.authority, value=number.value, patient=patient.id)
        )


def _whole(connection: Connection, rows: Sequence[Any]) -> list[Patient]:
    known: dict[bytes, list[Number]] = {row.id: [] for row in rows}
    found = connection.execute(
        select(numbers).where(numbers.c.patient.in_(list(known))).order_by(numbers.c.authority)
    )
    for row in found:
        known[row.patient].append(Number(row.value, row.authority))
    return [
        Patient(row.id, row.family, row.given, row.sex, row.born, row.nin, tuple(known[row.id]))
        for row in rows
    ]
