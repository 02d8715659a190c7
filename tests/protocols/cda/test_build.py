"""Documents: the same bytes from the same values, valid by HL7's schema and our rules, whatever is typed."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from protocols.cda.build import MAX_TEXT_CHARS, Section, build
from protocols.cda.header import LANGUAGES, Code, Confidentiality, DocumentKind, Header, root_of
from protocols.cda.validate import validate
from protocols.errors import LocalProtocolError
from protocols.parties import Identifier, Patient, Sex, plain
from tests.protocols.made import (
    AUTHOR,
    CARDIOLOGY,
    PARENT,
    PATIENT,
    REFERENCE,
    TEXT,
    authors,
    header,
    moments,
    names,
    patients,
    texts,
)

SCHEMA = Path(__file__).parents[4] / "shared" / "corpus" / "cda" / "schema" / "infrastructure" / "cda"
V3 = {"v": "urn:hl7-org:v3"}
REASON = Code("42349-1", "Reason for referral")

documents = st.builds(
    Header,
    st.uuids(),
    st.sampled_from(DocumentKind),
    st.text(max_size=80),
    moments,
    st.sampled_from(sorted(LANGUAGES)),
    patients,
    authors,
    st.sampled_from([None, CARDIOLOGY]),
    st.sampled_from(Confidentiality),
    st.none() | st.uuids() | st.builds(Identifier, names, st.just("chu-oran")),
    st.none() | st.builds(Identifier, names, st.just("eph-blida")),
)
sections = st.lists(
    st.builds(Section, names, texts, st.sampled_from([None, REASON]), st.lists(names, max_size=3).map(tuple)),
    min_size=1,
    max_size=4,
).map(tuple)


def parsed(document: bytes) -> Any:
    return etree.fromstring(document)


def at(root: Any, path: str) -> Any:
    (found,) = root.xpath(path, namespaces=V3)
    return found


def test_a_document_says_who_wrote_what_about_whom() -> None:
    root = parsed(build(header(parent=PARENT), (Section("Motif", TEXT, REASON, ("scan.dcm (12 MiB)",)),)))
    assert validate(root) == ()
    assert at(root, "v:id/@root") == str(REFERENCE)
    assert at(root, "v:code/@code") == "34133-9"
    assert at(root, "v:effectiveTime/@value") == "20261123093015+0100"
    assert at(root, "v:languageCode/@code") == "fr-DZ"
    assert at(root, "v:recordTarget//v:family/text()") == "بن يوسف"
    assert at(root, "v:recordTarget//v:birthTime/@value") == "19880229"
    assert root.xpath("v:recordTarget/v:patientRole/v:id/@extension", namespaces=V3) == [
        "109880123456789012",
        "2026-00417",
    ]
    assert at(root, "v:author/v:assignedAuthor/v:assignedPerson/v:name/text()") == AUTHOR.name
    assert at(root, "v:custodian//v:name/text()") == "EPH de Blida"
    assert at(root, "v:informationRecipient//v:receivedOrganization/v:name/text()") == "أمراض القلب"
    assert at(root, "v:relatedDocument/v:parentDocument/v:id/@root") == str(PARENT)
    first, second = root.xpath("//v:section/v:text/v:paragraph", namespaces=V3)
    assert [first.text, first[0].tail] == TEXT.split("\n\n")[0].split("\n")
    assert second.text == TEXT.split("\n\n")[1]
    assert at(root, "//v:list/v:item/text()") == "scan.dcm (12 MiB)"


def test_a_title_left_out_is_the_kinds_in_the_documents_language() -> None:
    root = parsed(build(header(title="", language="ar"), (Section("", "نص"),)))
    assert at(root, "v:title/text()") == "ملف المريض"


def test_roots_are_made_from_names_and_differ() -> None:
    roots = {root_of(name) for name in ("eph-blida", "eph-blide", "chu-mustapha")}
    assert len(roots) == 3
    assert all(UUID(int=int(root.removeprefix("2.25."))).version == 5 for root in roots)


@given(documents, sections)
def test_the_same_values_make_the_same_sound_document(header: Header, sections: tuple[Section, ...]) -> None:
    document = build(header, sections)
    assert document == build(header, sections)
    root = parsed(document)
    assert validate(root) == ()
    assert at(root, "v:recordTarget//v:family").text == plain(header.patient.family)
    shown = "".join("".join(text.itertext()) for text in root.iter("{urn:hl7-org:v3}text"))
    for section in sections:
        for line in plain(section.text).split("\n"):
            assert line in shown or not line.strip()


@pytest.mark.corpus
@pytest.mark.skipif(not SCHEMA.is_dir(), reason="../shared/corpus is absent")
@given(documents, sections)
def test_hl7s_own_schema_accepts_it(header: Header, sections: tuple[Section, ...]) -> None:
    schema = _schema()
    assert schema.validate(parsed(build(header, sections))), schema.error_log


_SCHEMAS: list[etree.XMLSchema] = []


def _schema() -> etree.XMLSchema:
    if not _SCHEMAS:
        _SCHEMAS.append(etree.XMLSchema(etree.parse(SCHEMA / "CDA_SDTC.xsd")))
    return _SCHEMAS[0]


@pytest.mark.parametrize(
    "wrong",
    [
        {"written_at": datetime(2026, 1, 1)},  # noqa: DTZ001 - that is what is wrong
        {"language": "de"},
        {"patient": Patient((), "X")},
        {"patient": Patient(PATIENT.identifiers, "")},
    ],
)
def test_what_no_document_can_say_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(LocalProtocolError):
        build(header(**wrong), (Section("Motif", "x"),))


@pytest.mark.parametrize("text", ["", " \n", "x" * (MAX_TEXT_CHARS + 1)])
def test_no_text_or_too_much_is_refused(text: str) -> None:
    with pytest.raises(LocalProtocolError):
        build(header(), (Section("Motif", text),))


@pytest.mark.parametrize(
    ("sex", "written"), [(Sex.FEMALE, "F"), (Sex.MALE, "M"), (Sex.OTHER, "UN"), (Sex.UNKNOWN, None)]
)
def test_each_sex_is_said_by_its_code(sex: Sex, written: str | None) -> None:
    patient = Patient(PATIENT.identifiers, "X", "", sex, date(2000, 1, 1))
    root = parsed(build(header(patient=patient), (Section("Motif", "x"),)))
    assert at(root, "//v:administrativeGenderCode").get("code") == written
