"""Kinds of message: named for people in three languages, safe to show, matched by routes."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.hl7.catalogue import (
    KNOWN,
    MAX_KIND_CHARACTERS,
    kind_of,
    matches,
    title_of,
)
from protocols.hl7.er7 import read_header
from protocols.hl7.errors import MalformedMessage

WANTED = (
    [f"ADT^A{n:02}" for n in range(1, 63) if n not in {19, 56, 57, 58, 59}]
    + [
        "ORM^O01",
        "OML^O21",
        "OML^O33",
        "OML^O35",
        "ORL^O22",
        "ORL^O34",
        "ORL^O36",
        "ORU^R01",
        "ORU^R30",
        "ORU^R40",
    ]
    + [
        "OMS^O05",
        "ORS^O06",
        "OMN^O07",
        "ORN^O08",
        "DFT^P03",
        "VXU^V04",
        "ACK",
        "QBP^Q22",
        "RSP^K22",
        "MFN^M01",
    ]
    + [f"MDM^T{n:02}" for n in range(1, 12)]
    + [f"{code}^I{n}" for code in ("REF", "RRI") for n in range(12, 16)]
    + [f"SRM^S{n:02}" for n in range(1, 12)]
    + [f"SIU^S{n}" for n in range(12, 27) if n != 25]
)


@pytest.mark.parametrize("kind", WANTED)
def test_the_kinds_that_wasl_works_with_are_known(kind: str) -> None:
    known = KNOWN[kind]
    assert known.english
    assert known.french
    assert re.search("[\u0621-\u064a]", known.arabic)
    assert re.fullmatch(r"[A-Z]{3}(_[A-Z][A-Z0-9]{2})?", known.structure)


def test_titles_are_distinct_in_each_language() -> None:
    for language in ("en", "fr", "ar"):
        titles = [known.title(language) for known in KNOWN.values()]
        assert len(titles) - len(set(titles)) == 0


def test_a_response_is_of_its_request() -> None:
    for known in KNOWN.values():
        if known.response and not known.response.startswith("ACK"):
            assert known.response not in KNOWN or not KNOWN[known.response].response


@pytest.mark.parametrize(
    ("msh_9", "kind"),
    [
        ("ORU^R01^ORU_R01", "ORU^R01"),
        ("ORU^R01", "ORU^R01"),
        ("ACK", "ACK"),
        ("oru^r01", "ORU^R01"),
        (" ORU ^ R01 ", "ORU^R01"),
        ("ORU^^ORU_R01", "ORU"),
        ("^R01", "R01"),
        ("ZDT^Z01^ZDT_Z01", "ZDT^Z01"),
        ("CUSTOM^PAT", "CUSTOM^PAT"),
        ("ORU/ACK - Unsolicited transmission of an observation", "ORU-ACK---UNSOLICITED-TRANSMISSI"),
        ("<script>^'; --", "SCRIPT"),
        ("إحالة", "UNKNOWN"),
        ("A" * 900, "A" * MAX_KIND_CHARACTERS),
    ],
)
def test_kind_of(msh_9: str, kind: str) -> None:
    assert kind_of(read_header(f"MSH|^~\\&|a|b|c|d|2026||{msh_9}|1|P|2.5".encode())) == kind


@given(st.binary(min_size=1, max_size=60))
def test_kinds_are_safe_to_show(msh_9: bytes) -> None:
    try:
        header = read_header(b"MSH|^~\\&|a|b|c|d|2026||" + msh_9 + b"|1|P|2.5")
    except MalformedMessage:
        return
    assert re.fullmatch(r"[A-Z0-9_.^-]{1,32}", kind_of(header))


@pytest.mark.parametrize(
    ("pattern", "kind", "expected"),
    [
        ("ORU^R01", "ORU^R01", True),
        ("ORU^R01", "ORU^R30", False),
        ("ORU^*", "ORU^R30", True),
        ("*^R01", "ORU^R01", True),
        ("*^R01", "ORU^R30", False),
        ("ORU^R*", "ORU^R30", True),
        ("ORU^R*", "ORU^A30", False),
        ("O*^*", "OML^O21", True),
        ("*", "OML^O21", True),
        ("*^*", "ACK", True),
        ("ORU", "ORU^R01", True),
        ("ORU^R01", "ORU", False),
        ("oru^r01", "ORU^R01", True),
        ("ORU^R0?", "ORU^R01", False),
        ("ORU^R0[1]", "ORU^R01", False),
        ("ORU^R01^ORU_R01", "ORU^R01", False),
        ("", "ORU^R01", False),
    ],
)
def test_matches(pattern: str, kind: str, expected: bool) -> None:
    assert matches(pattern, kind) is expected


def test_unknown_kinds_are_shown_as_they_are() -> None:
    assert title_of("ZDT^Z01", "fr") == "ZDT^Z01"
    assert title_of("ORU^R01", "fr-DZ") == "Résultat"
    assert title_of("ORU^R01", "ar") == "نتيجة"
