"""Messages that a desk receives, made here."""

from __future__ import annotations

from base64 import b64encode
from typing import Final

from protocols.hl7.build import Field, SegmentFields, build
from tests.protocols.cda.documents import EVERYTHING

NIN: Final = "109876543210987654"
PID: Final[SegmentFields] = (
    "PID", "1", "", [("4711", "", "", "CHU-ORAN", "PI"), (NIN, "", "", "DZA", "NI")], "",
    [("Benali", "Amine", "", "", "M."), ("بن علي", "أمين")], "", "19670412", "M", "", "",
    ("12 rue Didouche", "", "Alger", "", "16000"), "", ("0555010203",),
)  # fmt: skip
GLUCOSE: Final = ("2345-7", "Glycémie", "LN")


def msh(kind: str, charset: str = "UNICODE UTF-8") -> SegmentFields:
    """Return a header."""
    code, _, event = kind.partition("^")
    head: tuple[Field, ...] = (
        "MSH",
        "labo",
        "chu-oran",
        "cardio",
        "chu-alger",
        "20260131101500+0100",
        "",
        (code, event),
        "7",
    )
    return (*head, "P", "2.5.1", *[""] * 5, charset)


def obx(
    number: int,
    value: str,
    *,
    flag: str = "",
    status: str = "F",
    at: str = "202601310900",
    unit: str = "g/L",
) -> SegmentFields:
    """Return a numeric result of glucose."""
    return (
        "OBX",
        str(number),
        "NM",
        GLUCOSE,
        "",
        value,
        unit,
        "0.70-1.10",
        flag,
        "",
        "",
        status,
        *["", ""],
        at,
    )


def obr(title: str = "Bilan") -> SegmentFields:
    """Return what was asked."""
    asked: tuple[Field, ...] = (
        "OBR",
        "1",
        "O-1",
        "F-1",
        ("24323-8", title, "LN"),
        "",
        "",
        "202601310830",
        *[""] * 8,
    )
    return (*asked, ("77", "Hakimi", "Nadia", "", "", "Dr"), *[""] * 5, "202601310930", "", "", "F")


def results(*observations: SegmentFields, person: SegmentFields = PID) -> bytes:
    """Return ORU^R01."""
    return build(msh("ORU^R01"), person, obr(), *observations)


def ed(*files: bytes, kind: str = "text", encoding: str = "Base64") -> SegmentFields:
    """Return an observation that is a file, or several."""
    held = [one.hex() if encoding == "Hex" else b64encode(one).decode("ascii") for one in files]
    return (
        "OBX",
        "1",
        "ED",
        ("34133-9", "Dossier", "LN"),
        "",
        [("", kind, "xml", encoding, one) for one in held],
        *[""] * 5,
        "F",
    )


def document(data: bytes = EVERYTHING) -> bytes:
    """Return MDM^T02 with a document."""
    txa: tuple[Field, ...] = (
        "TXA",
        "1",
        "DS",
        "TX",
        "20260131",
        *[""] * 4,
        ("77", "Hakimi", "Nadia", "", "", "Dr"),
    )
    return build(msh("MDM^T02"), PID, (*txa, "", "", "DOC-7", *[""] * 4, "LA", "", "AV"), ed(data))


def order() -> bytes:
    """Return OML^O21, urgent."""
    return build(
        msh("OML^O21"),
        PID,
        ("ORC", "NW", "O-5", "", "", "IP", *[""] * 3, "202601310800", "", "", ("77", "Hakimi", "Nadia")),
        ("TQ1", "1", *[""] * 7, "S"),
        ("OBR", "1", "O-5", "", ("2345-7", "Glycémie", "LN"), *[""] * 8, "Diabète connu"),
        ("NTE", "1", "", "À jeun"),
        ("SPM", "1", "", "", ("BLD", "Sang total")),
        ("ORC", "NW", "O-6"),
        ("OBR", "2", "O-6", "", ("718-7", "Hémoglobine", "LN")),
    )


def referral() -> bytes:
    """Return REF^I12."""
    return build(
        msh("REF^I12"),
        (
            "RF1",
            "P",
            "S",
            "",
            ("CARD", "Avis cardiologique"),
            "",
            "REF-3",
            "20260131",
            "",
            "",
            ("", "Dyspnée"),
        ),
        ("PRD", "RP", ("Hakimi", "Nadia", "", "", "Dr")),
        ("PRD", "RT", ("Cherif", "Sara", "", "", "Pr")),
        PID,
        ("DG1", "1", "", ("I50", "Insuffisance cardiaque", "I10")),
        ("AL1", "1", "DA", ("", "Pénicilline"), "SV", "Urticaire"),
        ("PV1", "1", "I", ("CARDIO", "204", "2")),
        ("NTE", "1", "", "Merci de votre avis"),
    )
