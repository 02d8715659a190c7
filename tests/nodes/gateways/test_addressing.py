"""Who sends and who gets a message, by its header, the settings and nothing else."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.gateways.addressing import Addresses, Misaddressed, addresses_of, matches
from protocols.hl7.header import read_header
from tests.nodes.gateways.mllp_ends import message, settings

OWN = frozenset({"labo", "urgences"})


def found(tmp_path: Path, raw: bytes, text: str = "", own: frozenset[str] | None = OWN) -> Addresses:
    return addresses_of(read_header(raw), settings(tmp_path, text), "chu-alger", own)


def fault(tmp_path: Path, raw: bytes, text: str = "", own: frozenset[str] | None = OWN) -> Misaddressed:
    with pytest.raises(Misaddressed) as caught:
        found(tmp_path, raw, text, own)
    assert f"MSH-{caught.value.field}" in caught.value.text
    return caught.value


def test_the_header_addresses_in_lower_case_by_first_components(tmp_path: Path) -> None:
    raw = message(sender="LABO^1.2^ISO|CHU-Alger^9", to="Cardio^x|CHU-ORAN^y")
    assert found(tmp_path, raw) == Addresses("labo@chu-alger", ("cardio@chu-oran",), routed=False)


def test_a_universal_id_stands_in_for_an_empty_first_component(tmp_path: Path) -> None:
    assert found(tmp_path, message(to="^1.2.840^ISO|chu-oran")).recipients == ("1.2.840@chu-oran",)


@pytest.mark.parametrize(
    ("sender", "field"), [("LABO|CHU-ORAN", 4), ("LABO|", 4), ("CARDIO|CHU-ALGER", 3), ("|CHU-ALGER", 3)]
)
def test_nobody_speaks_for_another(tmp_path: Path, sender: str, field: int) -> None:
    raised = fault(tmp_path, message(sender=sender))
    assert (raised.field, raised.foreign) == (field, True)


def test_an_unknown_directory_lets_any_mailbox_speak(tmp_path: Path) -> None:
    assert found(tmp_path, message(sender="neuf|chu-alger"), own=None).sender == "neuf@chu-alger"
    assert fault(tmp_path, message(sender="no such|chu-alger"), own=None).field == 3


def test_from_overrides_the_sender_whatever_the_header_says(tmp_path: Path) -> None:
    assert found(tmp_path, message(sender="X|Y"), 'from = "urgences"').sender == "urgences@chu-alger"


@pytest.mark.parametrize(
    ("to", "field"), [("|chu-oran", 5), ("cardio|", 6), ("a b|chu-oran", 5), ("x|y@z", 6)]
)
def test_what_is_no_address_is_named(tmp_path: Path, to: str, field: int) -> None:
    raised = fault(tmp_path, message(to=to))
    assert (raised.field, raised.foreign) == (field, False)


ROUTES = """
[[mllp.route]]
kind = "ADT^*"
application = "PAS*"
to = ["urgences@chu-oran"]
[[mllp.route]]
kind = "ORU^R01"
facility = "*LAB"
to = ["cardio@chu-oran", "garde@group", "cardio@chu-oran"]
[[mllp.route]]
kind = "*^*^ORU_R01"
to = ["labo@chu-oran"]
"""


@pytest.mark.parametrize(
    ("kind", "to", "expected"),
    [
        ("ADT^A01", "pas-1|", "urgences@chu-oran"),
        ("ADT^A01", "cardio|chu-oran", None),
        ("ORU^R01", "|Big-lab", "cardio@chu-oran garde@group"),
        ("ORU^R01^ORU_R01", "|other", "labo@chu-oran"),
        ("ORU^R01^XXX", "cardio|chu-oran", None),
    ],
)
def test_the_first_route_that_fits_wins(tmp_path: Path, kind: str, to: str, expected: str | None) -> None:
    addresses = found(tmp_path, message(kind=kind, to=to), ROUTES)
    assert addresses.recipients == tuple((expected or "cardio@chu-oran").split())
    assert addresses.routed is (expected is not None)


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("*", "", True), ("a", "A", True), ("a", "ab", False), ("a*", "Abc", True), ("*c", "abc", True),
        ("a*a", "a", False), ("a*b*a", "axbxa", True), ("a*b*a", "axxa", False), ("", "", True),
        ("a**b", "ab", True), ("*ab*ab*", "xabx", False),
    ],
)  # fmt: skip
def test_patterns(pattern: str, text: str, expected: bool) -> None:
    assert matches(pattern, text) is expected


@given(
    st.lists(st.text("ab", max_size=3), min_size=1, max_size=5),
    st.lists(st.text("ab", max_size=2), min_size=4),
)
def test_a_pattern_fits_whatever_its_stars_are_replaced_by(parts: list[str], fillings: list[str]) -> None:
    text = parts[0] + "".join(filling + part for part, filling in zip(parts[1:], fillings, strict=False))
    assert matches("*".join(parts), text)


def test_a_hostile_field_takes_no_time() -> None:
    assert not matches("*a" * 80 + "b", "a" * 1_000)
