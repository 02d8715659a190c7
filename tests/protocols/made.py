"""People, places and texts that clinical documents and messages of tests are made from."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any, Final
from uuid import UUID

from hypothesis import strategies as st

from protocols.cda.header import DocumentKind, Header
from protocols.hl7.composing.parts import Head
from protocols.parties import NATIONAL, NATIONAL_KIND, Author, Identifier, Patient, Place, Sex, plain

ALGIERS: Final = timezone(timedelta(hours=1))
AT: Final = datetime(2026, 11, 23, 9, 30, 15, tzinfo=ALGIERS)
EMERGENCY: Final = Place("urgences", "eph-blida", "EPH de Blida", "Urgences")
CARDIOLOGY: Final = Place("cardio", "chu-mustapha", "مستشفى مصطفى باشا الجامعي", "أمراض القلب")
AUTHOR: Final = Author("dr.benali", "Dr Yasmine Benali", EMERGENCY)
PATIENT: Final = Patient(
    (
        Identifier("109880123456789012", NATIONAL, NATIONAL_KIND),
        Identifier("2026-00417", "eph-blida"),
    ),
    "بن يوسف",
    "أمينة",
    Sex.FEMALE,
    date(1988, 2, 29),
)
REFERENCE: Final = UUID("0199f3a0-1111-7000-8000-00000000002a")
PARENT: Final = UUID("0199f3a0-2222-7000-8000-00000000002b")
TEXT: Final = (
    "Douleur thoracique depuis 2 h, irradiant au bras gauche.\nTA 15/9 | pouls 92 ^ SpO2 97 %.\n\n"
    "يرجى إبداء الرأي في أقرب وقت & شكرا \\ ~"
)

texts = st.text(min_size=1, max_size=200).filter(lambda text: bool(plain(text).strip()))
"""Whatever a person may type or paste; something of it is left for people to read."""
names = st.text(min_size=1, max_size=40).filter(lambda text: bool(plain(text).strip()))
moments = st.datetimes(
    min_value=datetime(1900, 1, 1),  # noqa: DTZ001 - the zone is drawn apart
    max_value=datetime(2200, 1, 1),  # noqa: DTZ001 - likewise
    timezones=st.sampled_from([UTC, ALGIERS, timezone(-timedelta(hours=3, minutes=30))]),
)
patients = st.builds(
    Patient,
    st.lists(
        st.builds(Identifier, names, st.sampled_from([NATIONAL, "eph-blida"])), min_size=1, max_size=3
    ).map(tuple),
    names,
    st.text(max_size=40),
    st.sampled_from(Sex),
    st.none() | st.dates(min_value=date(1880, 1, 1)),
)
authors = st.builds(Author, names, names, st.just(EMERGENCY))


def header(**changed: Any) -> Header:
    """Return a header of a document, with some of it changed."""
    made = Header(
        REFERENCE, DocumentKind.PATIENT_FILE, "Douleur thoracique", AT, "fr", PATIENT, AUTHOR, CARDIOLOGY
    )
    return replace(made, **changed)


def head(**changed: Any) -> Head:
    """Return the head of a message, with some of it changed."""
    made = Head("0K3J5M7N9PQRSTVWXYZ1", REFERENCE, AT, "fr", AUTHOR, CARDIOLOGY, PATIENT, "E")
    return replace(made, **changed)
