"""The HL7 v2.5.1 messages that the demo's hospital systems write, built field by field.

All are UTF-8 and say so in MSH-18; names stand in Latin and in Arabic letters (PID-5, two repetitions).
Answers mirror the request's MSH-3 to MSH-6 and repeat its MSH-10 in MSA-2. Structures follow HL7 v2.5.1:
chapter 3 (ADT), 4 (OML, ORL), 7 (ORU), 9 (MDM), 11 (REF, RRI).
"""

from base64 import b64encode
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from secrets import token_hex
from typing import Final

from demo.people import Patient
from protocols.hl7.acks import build_ack, timestamp
from protocols.hl7.build import Field, SegmentFields, build
from protocols.hl7.er7 import Message
from protocols.hl7.header import Header
from protocols.link.envelope import facility_of, mailbox_of

_RUN: Final = token_hex(3).upper()
_NUMBERS: Final = count(1)
_VERSION: Final = "2.5.1"


@dataclass(frozen=True, slots=True)
class Test:
    """A laboratory test: LOINC code and name, unit, reference range, and a result."""

    loinc: str
    name: str
    unit: str
    usual: str
    result: str


TESTS: Final = (
    Test("718-7", "Hémoglobine", "g/dL", "12.0-16.0", "13.4"),
    Test("2345-7", "Glycémie", "mg/dL", "70-100", "92"),
    Test("2823-3", "Potassium", "mmol/L", "3.5-5.1", "4.2"),
    Test("2160-0", "Créatinine", "mg/dL", "0.6-1.2", "0.9"),
)
TROPONIN: Final = Test("6598-7", "Troponine T", "ug/L", "0-0.01", "0.03")


def new_id(prefix: str = "M") -> str:
    """Return an identifier that this run has not used yet."""
    return f"{prefix}{_RUN}{next(_NUMBERS):05d}"


def now() -> str:
    """Return this moment as HL7 writes it."""
    return timestamp(datetime.now(UTC))


def header(sender: str, recipient: str, code: str, event: str) -> SegmentFields:
    """MSH of a new message between two addresses."""
    return (
        "MSH", mailbox_of(sender), facility_of(sender), mailbox_of(recipient), facility_of(recipient), now(),
        "", (code, event, f"{code}_{event}"), new_id(), "P", _VERSION, "", "", "", "", "DZA", "UNICODE UTF-8",
    )  # fmt: skip


def pid(patient: Patient) -> SegmentFields:
    """PID: record number, NIN, the name twice."""
    identifiers: Field = [
        (patient.record, "", "", "DEMO", "PI"), (patient.nin, "", "", "DZA", "NI"),
    ]  # fmt: skip
    names: Field = [
        (patient.family, patient.given, "", "", "", "", "L"),
        (patient.family_ar, patient.given_ar, "", "", "", "", "L"),
    ]
    return ("PID", "1", "", identifiers, "", names, "", patient.birth, patient.sex)


def admission(sender: str, recipient: str, patient: Patient) -> bytes:
    """ADT^A01: a patient came in."""
    return build(
        header(sender, recipient, "ADT", "A01"),
        ("EVN", "", now()),
        pid(patient),
        ("PV1", "1", "I", ("CARDIO", "204", "2"), "U", "", "", ("", "HAKIMI", "Nadia")),
        ("AL1", "1", "DA", ("", "Pénicilline / بنسلين")),
    )


def order(sender: str, recipient: str, patient: Patient, test: Test, *, urgent: bool = False) -> bytes:
    """OML^O21: a laboratory test, please; TQ1-9 says how soon."""
    placer = new_id("O")
    return build(
        header(sender, recipient, "OML", "O21"),
        pid(patient),
        ("PV1", "1", "O"),
        ("ORC", "NW", placer, "", "", "", "", "", "", now()),
        ("TQ1", "1", "", "", "", "", "", "", "", "S" if urgent else "R"),
        ("OBR", "1", placer, "", (test.loinc, test.name, "LN")),
        ("SPM", "1", "", "", ("BLD", "Sang total", "HL70487")),
    )


def order_response(request: Message) -> bytes:
    """ORL^O22: the order is taken; its filler number is ours from now on."""
    return build(
        *_answer_head(request.header, "ORL", "O22"),
        bytes_of(request, "PID"),
        ("ORC", "OK", request.raw("ORC-2"), new_id("F"), "", "IP"),
        bytes_of(request, "OBR"),
    )


def results(sender: str, recipient: str, request: Message) -> bytes:
    """ORU^R01: what was measured for an order."""
    loinc, name = request.get("OBR-4.1"), request.get("OBR-4.2")
    unknown = Test(loinc, name, "", "", "0")  # somebody tries the demo out with an order of their own
    test = next((one for one in (*TESTS, TROPONIN) if one.loinc == loinc), unknown)
    flag = "H" if test is TROPONIN else "N"
    return build(
        header(sender, recipient, "ORU", "R01"),
        bytes_of(request, "PID"),
        ("ORC", "RE", request.raw("ORC-2"), new_id("F"), "", "CM"),
        ("OBR", "1", request.raw("OBR-2"), "", (test.loinc, test.name, "LN"), *[""] * 20, "F"),
        (
            "OBX",
            "1",
            "NM",
            (test.loinc, test.name, "LN"),
            "",
            test.result,
            test.unit,
            test.usual,
            flag,
            "",
            "",
            "F",
        ),
        ("NTE", "1", "L", "Résultat validé / نتيجة مصادق عليها"),
    )


def document(
    sender: str, recipient: str, patient: Patient, document_id: str, title: str, cda: bytes
) -> bytes:
    """MDM^T02: a CDA document, base64 in OBX-5 (type ED)."""
    return build(
        header(sender, recipient, "MDM", "T02"),
        ("EVN", "", now()),
        pid(patient),
        ("PV1", "1", "O"),
        (
            "TXA",
            "1",
            "DI",
            "TX",
            now(),
            ("", "HAKIMI", "Nadia"),
            "",
            now(),
            *[""] * 4,
            document_id,
            *[""] * 4,
            "AU",
        ),
        (
            "OBX",
            "1",
            "ED",
            ("18748-4", title, "LN"),
            "",
            ("", "text", "xml", "Base64", b64encode(cda)),
            *[""] * 5,
            "F",
        ),
    )


def referral(sender: str, recipient: str, patient: Patient) -> bytes:
    """REF^I12: please see this patient."""
    return build(
        header(sender, recipient, "REF", "I12"),
        ("RF1", ("P", "Pending", "HL70283"), ("R", "Routine", "HL70280"), "", "", "", new_id("R")),
        ("PRD", ("RP", "Referring provider", "HL70286"), ("AMRANE", "Sofiane"), "", facility_of(sender)),
        ("PRD", ("RT", "Referred to provider", "HL70286"), ("HAKIMI", "Nadia"), "", facility_of(recipient)),
        pid(patient),
        ("DG1", "1", "", ("I20.9", "Angine de poitrine / ذبحة صدرية", "I10"), "", "", "W"),
    )


def referral_answer(request: Message) -> bytes:
    """RRI^I12: the referral is accepted."""
    number = request.raw("RF1-6")
    return build(
        *_answer_head(request.header, "RRI", "I12"),
        ("RF1", ("A", "Accepted", "HL70283"), ("R", "Routine", "HL70280"), "", "", "", number),
        ("PRD", ("RT", "Referred to provider", "HL70286"), ("HAKIMI", "Nadia")),
        bytes_of(request, "PID"),
    )


def acknowledgement(request: Message) -> bytes:
    """ACK with AA: taken."""
    return build_ack(request.header, "AA", now=now(), control_id=new_id("A"))


def bytes_of(message: Message, name: str) -> SegmentFields:
    """Return the first segment ``name`` of a message as it came, to be put into another."""
    segment = message.segment(name)
    return (name,) if segment is None else (name, *segment.fields[1:])


def _answer_head(request: Header, code: str, event: str) -> tuple[SegmentFields, SegmentFields]:
    head = (
        "MSH", request.raw(5), request.raw(6), request.raw(3), request.raw(4), now(), "",
        (code, event, f"{code}_{event}"), new_id("A"), "P", _VERSION, "", "", "", "", "DZA", "UNICODE UTF-8",
    )  # fmt: skip
    return head, ("MSA", "AA", request.control_id_bytes)
