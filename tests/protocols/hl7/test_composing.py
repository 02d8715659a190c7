"""Composed messages: segments in the order of their structure, values that come back, whatever is typed."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import hl7  # type: ignore[import-untyped]  # it has no annotations
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import LocalProtocolError
from protocols.hl7 import catalogue, priority
from protocols.hl7.composing.document import REPORT_TYPES, Document, build_document
from protocols.hl7.composing.order import MAX_EXAMINATIONS, Order, build_order
from protocols.hl7.composing.parts import MAX_TEXT_CHARS, PATIENT_CLASSES, Attachment, Coded, Head
from protocols.hl7.composing.references import references_of
from protocols.hl7.composing.referral import Referral, build_referral
from protocols.hl7.composing.result import FLAGS, MAX_VALUES, Result, Value, build_result
from protocols.hl7.datatypes import SEGMENTS
from protocols.hl7.er7 import Message
from protocols.hl7.xml import from_xml, to_xml
from protocols.parties import LOCAL_KIND, NATIONAL_KIND, Patient, Sex, plain
from tests.protocols.made import (
    AUTHOR,
    CARDIOLOGY,
    PARENT,
    PATIENT,
    REFERENCE,
    TEXT,
    authors,
    head,
    moments,
    names,
    texts,
)
from tests.protocols.made import patients as any_patient

TABLES = Path(__file__).parents[4] / "shared" / "corpus" / "tables"
LETTER = Document(b"<ClinicalDocument/>", Coded("Consult note", "11488-4", "LN"), "Avis")
FILES = (Attachment("scan|1.dcm", "application/dicom"), Attachment("صورة.jpg", "image/jpeg"))
ORDER = Order((Coded("Glucose", "2345-7", "LN"), Coded("Groupage ABO")), TEXT)
RESULT = Result(
    Coded("Bilan", "24323-8", "LN"),
    (
        Value(Coded("Potassium", "2823-3", "LN"), "5.9", "mmol/L", "3.5-5.1", "H"),
        Value(Coded("Aspect"), "clair"),
    ),
    TEXT,
    f"{PARENT}.1",
)
TQ1 = range(14)
"""TQ1 has 14 fields (4.5.4); v2.xml of ours does not name them."""
STRUCTURES = {
    "MDM^T02": r"MSH EVN PID PV1 TXA( OBX)+",
    "REF^I12": r"MSH RF1( PRD)+ PID OBR( OBX)+ PV1( NTE)*",
    "OML^O21": r"MSH PID PV1( ORC TQ1 OBR( NTE)*( OBX)*)+",
    "ORU^R01": r"MSH PID PV1 ORC OBR( NTE)*( OBX)*",
}


def every(head: Head) -> dict[str, bytes]:
    return {
        "MDM^T02": build_document(head, LETTER, FILES),
        "REF^I12": build_referral(head, Referral(LETTER, "Douleur", TEXT), FILES),
        "OML^O21": build_order(head, ORDER, FILES),
        "ORU^R01": build_result(head, RESULT, FILES),
    }


@pytest.mark.parametrize("kind", STRUCTURES)
def test_each_message_is_built_as_its_structure_says(kind: str) -> None:
    raw = every(head(answers=str(PARENT)))[kind]
    message = Message(raw)
    assert catalogue.kind_of(message.header) == kind
    assert message.get("MSH-9.3") == catalogue.KNOWN[kind].structure
    assert re.fullmatch(STRUCTURES[kind], " ".join(one.name for one in message.segments))
    for segment in message.segments:
        assert len(segment.fields) - 1 <= len(SEGMENTS.get(segment.name, TQ1)), segment.name
    assert [message.get(f"MSH-{n}") for n in (3, 4, 5, 6)] == [
        "urgences",
        "eph-blida",
        "cardio",
        "chu-mustapha",
    ]
    assert message.get("MSH-7") == "20261123093015+0100"
    assert [message.get(f"MSH-{n}") for n in (10, 11, 12, 17)] == [
        "0K3J5M7N9PQRSTVWXYZ1",
        "P",
        "2.5.1",
        "DZA",
    ]
    assert message.header.character_sets == ("UNICODE UTF-8",)
    assert message.get("MSH-19") == "fr"
    assert message.charset.certain
    assert (message.get("PID-5.1"), message.get("PID-5.2"), message.get("PID-8")) == ("بن يوسف", "أمينة", "F")
    assert message.get("PID-3[2].4") == "eph-blida"
    assert message.get("PID-3.5") == "NI"
    assert from_xml(to_xml(message)) == raw


@pytest.mark.parametrize("kind", STRUCTURES)
def test_another_library_reads_the_same(kind: str) -> None:
    raw = every(head())[kind]
    read = hl7.parse(raw.decode("utf-8"))
    assert str(read).encode("utf-8").rstrip(b"\r") == raw.rstrip(b"\r")
    assert read.unescape(str(read.segment("PID")[5][0][0])) == "بن يوسف"
    assert [str(one[0]) for one in read] == [one.name for one in Message(raw).segments]


@pytest.mark.parametrize("kind", STRUCTURES)
def test_an_answer_carries_both_references(kind: str) -> None:
    own = references_of(Message(every(head())[kind]))
    assert own.own == str(REFERENCE)
    answer = references_of(Message(every(head(answers=str(PARENT)))[kind]))
    assert (answer.own, answer.answers) == (str(REFERENCE), str(PARENT))


def test_a_result_gives_back_the_number_of_the_order() -> None:
    order = references_of(Message(build_order(head(reference=PARENT), ORDER)))
    assert order.order == f"{PARENT}.1"
    raw = build_result(head(answers=str(PARENT)), Result(RESULT.examination, RESULT.values, "", order.order))
    message = Message(raw)
    assert [message.get(path) for path in ("ORC-1", "ORC-2", "OBR-2", "ORC-4")] == [
        "RE", order.order, order.order, str(PARENT),
    ]  # fmt: skip
    assert message.get("ORC-2.2") == "chu-mustapha"


def test_other_systems_references_are_read_or_empty() -> None:
    said = b"MSH|^~\\&|A|B|C|D|2026||MDM^T02|1|P|2.5\rTXA|1|||||||||||DOC-7|DOC-6\r"
    assert references_of(Message(said)).answers == "DOC-6"
    assert references_of(Message(said.replace(b"MDM", b"ADT"))).own == ""
    assert len(references_of(Message(said.replace(b"DOC-7", b"7" * 5_000))).own) == 199


def test_the_document_travels_whole_and_attachments_by_name() -> None:
    message = Message(every(head())["MDM^T02"])
    assert message.get("OBX-2") == "ED"
    assert [message.get(f"OBX-5.{n}") for n in (2, 3, 4)] == ["TEXT", "XML", "Base64"]
    assert base64.b64decode(message.get("OBX-5.5")) == LETTER.content
    assert message.values("OBX-5")[1:] == ["scan|1.dcm", "صورة.jpg"]
    assert [message.get(f"OBX[3]-{path}") for path in ("2", "3", "5.3", "5.4")] == [
        "RP", "attachment", "IM", "jpeg",
    ]  # fmt: skip


def test_urgent_is_said_where_the_kind_has_a_place_for_it() -> None:
    for urgent in (True, False):
        messages = every(head(urgent=urgent))
        order = Message(messages["OML^O21"])
        assert priority.is_stat(order.header, bytes(order)) is urgent
        assert Message(messages["REF^I12"]).get("RF1-2") == ("S" if urgent else "R")


def test_each_examination_has_a_number_of_its_own() -> None:
    message = Message(build_order(head(), ORDER))
    assert message.values("ORC-2") == [f"{REFERENCE}.1", f"{REFERENCE}.2"]
    assert message.values("OBR-2") == message.values("ORC-2")
    assert message.values("ORC-4") == [str(REFERENCE)] * 2
    assert message.values("OBR-4.2") == ["Glucose", "Groupage ABO"]
    assert message.values("OBR-4.3") == ["LN", "99WSL"]


def test_values_are_numbers_or_texts_with_unit_range_and_flag() -> None:
    message = Message(build_result(head(), RESULT))
    assert message.values("OBX-2") == ["NM", "ST"]
    assert [message.get(f"OBX-{n}") for n in (3, 5, 6, 7, 8, 11)] == [
        "2823-3",
        "5.9",
        "mmol/L",
        "3.5-5.1",
        "H",
        "F",
    ]


anything = st.builds(
    Head, st.just("1"), st.uuids(), moments, st.sampled_from(["ar", "fr", "en"]), authors,
    st.just(CARDIOLOGY), any_patient, st.sampled_from(sorted(PATIENT_CLASSES)), st.booleans(),
    st.just("") | names,
)  # fmt: skip


@given(anything, texts, names)
def test_whatever_is_typed_comes_back_and_breaks_nothing(head: Head, text: str, name: str) -> None:
    files = (Attachment(name, "image/png"),)
    for kind, raw in {
        "MDM^T02": build_document(head, LETTER, files),
        "REF^I12": build_referral(head, Referral(LETTER, text, text), files),
        "OML^O21": build_order(head, Order((Coded(name),), text), files),
        "ORU^R01": build_result(
            head, Result(Coded(name), (Value(Coded(name), name, name, name),), text), files
        ),
    }.items():
        message = Message(raw)
        assert re.fullmatch(STRUCTURES[kind], " ".join(one.name for one in message.segments))
        assert b"\n" not in raw
        assert references_of(message).answers in {"", plain(head.answers).strip()}
        assert message.get("PID-5") == plain(head.patient.family)
        assert message.get("PID-3") == plain(head.patient.identifiers[0].value)
        assert name in message.values("OBX-5") or plain(name) in message.values("OBX-5")
        if kind == "REF^I12":
            assert message.get("RF1-10.2") == plain(text)
        if kind != "MDM^T02":
            noted = "".join(message.values("NTE-3")) if kind != "MDM^T02" else ""
            assert re.sub(r"\s", "", noted) == re.sub(r"\s", "", plain(text))


@pytest.mark.parametrize(
    "wrong",
    [
        {"control_id": ""},
        {"control_id": "x" * 21},
        {"control_id": "a|b"},
        {"written_at": datetime(2026, 1, 1)},  # noqa: DTZ001 - that is what is wrong
        {"language": "de"},
        {"patient_class": "X"},
        {"patient": Patient((), "X")},
        {"patient": Patient(PATIENT.identifiers, "")},
    ],
)
def test_what_no_message_can_say_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(LocalProtocolError):
        build_order(head(**wrong), ORDER)


def test_what_no_order_or_result_can_be_is_refused() -> None:
    value = Value(Coded("x"), "1")
    makers: list[Callable[[], bytes]] = [
        lambda: build_order(head(), Order(())),
        lambda: build_order(head(), Order((Coded("x"),) * (MAX_EXAMINATIONS + 1))),
        lambda: build_order(head(), Order((Coded("x"),), "x" * (MAX_TEXT_CHARS + 1))),
        lambda: build_result(head(), Result(Coded("x"), ())),
        lambda: build_result(head(), Result(Coded("x"), (value,) * (MAX_VALUES + 1))),
        lambda: build_result(head(), Result(Coded("x"), (Value(Coded("x"), " "),))),
        lambda: build_result(head(), Result(Coded("x"), (Value(Coded("x"), "1", flag="?"),))),
    ]
    for make in makers:
        with pytest.raises(LocalProtocolError):
            make()


@pytest.mark.corpus
@pytest.mark.skipif(not TABLES.is_dir(), reason="../shared/corpus is absent")
def test_codes_are_in_hl7s_tables() -> None:
    used = {
        "0001": {sex.value for sex in Sex},
        "0004": PATIENT_CLASSES,
        "0038": {"CM"},
        "0078": set(FLAGS) - {""},
        "0085": {"F"},
        "0119": {"NW", "RE"},
        "0123": {"F"},
        "0191": {"IM", "AU", "AP", "TEXT"},
        "0203": {LOCAL_KIND, NATIONAL_KIND},
        "0270": {*REPORT_TYPES.values(), "PN"},
        "0271": {"DO"},
        "0272": {"U", "R", "V"},
        "0273": {"AV"},
        "0281": {"Med"},
        "0283": {"P"},
        "0284": {"E", "I", "O"},
        "0485": {"S", "R"},
    }
    for table, codes in used.items():
        system = json.loads((TABLES / f"CodeSystem-v2-{table}.json").read_bytes())
        assert codes <= {one["code"] for one in system["concept"]}, table


def test_authors_are_persons_with_a_facility() -> None:
    message = Message(every(head())["MDM^T02"])
    assert [message.get(f"TXA-9.{n}") for n in (1, 2, 9)] == [AUTHOR.identifier, AUTHOR.name, "eph-blida"]
