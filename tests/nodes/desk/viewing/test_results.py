"""Results as a laboratory means them: values, units, judgement, state, notes; nothing made up."""

from __future__ import annotations

from typing import Any

import pytest
from markupsafe import Markup

from nodes.desk.viewing import codes
from nodes.desk.viewing.blocks import Facts, Panel, Result
from nodes.desk.viewing.message import view
from nodes.desk.viewing.results import number_in, range_in
from protocols.hl7.build import Field, SegmentFields, build
from protocols.hl7.moments import Moment
from tests.nodes.desk.viewing.messages import PID, ed, msh, obr, obx, results


def panels(raw: bytes) -> list[Panel]:
    [part] = view(raw).parts
    return [block for block in part.blocks if isinstance(block, Panel)]


def one(*fields: Any) -> Result:
    [panel] = panels(results(("OBX", "1", *fields)))
    [found] = panel.results
    return found


def test_a_numeric_result_is_read_whole() -> None:
    [panel] = panels(results(obx(1, "1.42", flag="H"), ("NTE", "1", "L", "Contrôlé\nà jeun")))
    assert panel.title == "Bilan"
    [found] = panel.results
    assert (found.name, found.value, found.number, found.unit) == ("Glycémie", "1.42", 1.42, "g/L")
    assert (found.reference, found.low, found.high) == ("0.70-1.10", 0.70, 1.10)
    assert (found.flags, found.status, found.code) == (("H",), "F", "2345-7^LN")
    assert found.at == Moment((2026, 1, 31, 9, 0), None)
    assert found.notes == (Markup("Contrôlé<br>à jeun"),)


def test_facts_of_a_panel() -> None:
    [panel] = panels(results(obx(1, "1")))
    said = [str(fact.value) for fact in panel.facts if not isinstance(fact.value, Moment)]
    assert "Dr Nadia Hakimi" in said
    assert {"O-1", "F-1"} <= set(said)


@pytest.mark.parametrize(
    ("kind", "value", "shown", "number"),
    [
        ("NM", "12", "12", 12.0),
        ("NM", "-0.5e3", "-0.5e3", -500.0),
        ("NM", "1,5", "1,5", 1.5),
        ("NM", "1,234", "1,234", None),
        ("NM", "hémolysé", "hémolysé", None),
        ("NM", "1e999", "1e999", None),
        ("NM", "NaN", "NaN", None),
        ("SN", ("", "12"), "12", 12.0),
        ("SN", ("<", "5"), "< 5", None),
        ("SN", ("", "1", ":", "128"), "1:128", None),
        ("SN", (">=", "10", "-", "20"), ">= 10-20", None),
        ("CE", ("A", "Escherichia coli", "L"), "Escherichia coli", None),
        ("CWE", ("260385009",), "260385009", None),
        ("ST", "Négatif", "Négatif", None),
        ("TX", ["a", "b"], "a<br>b", None),
        ("FT", b"a\\.br\\\\H\\b\\N\\", "a<br><b>b</b>", None),
        ("DT", "20260131", "2026-01-31", None),
        ("TS", "202601310930", "2026-01-31 09:30", None),
        ("TM", "0930", "0930", None),
        ("XCN", ("77", "Hakimi", "Nadia"), "77 Hakimi Nadia", None),
        ("RP", ("http://127.0.0.1/x", "PACS"), "http://127.0.0.1/x PACS", None),
        ("", "a", "a", None),
        ("??", "a", "a", None),
        ("NM", "", "", None),
        ("ST", '""', "", None),
    ],
)  # fmt: skip
def test_values_by_their_type(kind: str, value: Any, shown: str, number: float | None) -> None:
    found = one(kind, ("X", "Y"), "", value)
    assert (str(found.value), found.number) == (shown, number)


@pytest.mark.parametrize(
    ("text", "bounds"),
    [
        ("3.5-5.1", (3.5, 5.1)), ("3,5 - 5,1", (3.5, 5.1)), ("-2 - 2", (-2, 2)), ("1 – 2", (1, 2)),
        ("<5", (None, 5)),
        ("> 60", (60, None)), (">=60", (60, None)), ("négatif", (None, None)), ("", (None, None)),
        ("1-2-3", (None, None)), ("H 1-2", (None, None)),
    ],
)  # fmt: skip
def test_ranges_as_people_write_them(text: str, bounds: tuple[float | None, float | None]) -> None:
    assert range_in(text) == bounds


def test_a_number_is_one_or_is_not() -> None:
    assert (number_in("٣"), number_in("1_000"), number_in("0x10"), number_in("inf")) == (
        3.0,
        None,
        None,
        None,
    )


def test_nothing_is_judged_that_the_laboratory_did_not_judge() -> None:
    assert one("NM", ("X", "Y"), "", "99", "g/L", "0-1").flags == ()


def test_flags_repeat_and_unknown_ones_are_shown() -> None:
    assert one("NM", ("X", "Y"), "", "9", "", "", [("H", ""), "u", "ZZ", "H"]).flags == ("H", "U", "ZZ")
    assert "ZZ" not in codes.FLAGS


def test_a_result_without_a_time_was_observed_when_its_panel_was() -> None:
    assert one("NM", ("X", "Y"), "", "9").at == Moment((2026, 1, 31, 8, 30), None)


def test_results_without_a_request_are_shown() -> None:
    [panel] = panels(build(msh("ORU^R01"), PID, obx(1, "1")))
    assert (panel.title, len(panel.results)) == ("", 1)


def test_comments_stand_where_they_belong() -> None:
    raw = build(
        msh("ORU^R01"), PID, ("NTE", "1", "", "du patient"), obr("A"), ("NTE", "1", "", "du bilan"),
        obx(1, "1"), ("NTE", "1", "", "du résultat"), obr("B"), obx(1, "2"),
    )  # fmt: skip
    first, second = panels(raw)
    assert (first.notes, first.results[0].notes) == (("du bilan",), ("du résultat",))
    assert (second.notes, second.results[0].notes) == ((), ())


def test_a_file_among_results_is_named_by_its_number() -> None:
    first, second = panels(results(obx(1, "1"), ed(b"a"), ed(b"b")))[0].results[1:]
    assert (first.embedded, second.embedded) == ((0,), (1,))
    assert [file.data for file in view(results(ed(b"a"), ed(b"b"))).files] == [b"a", b"b"]


def test_two_patients_are_two_parts_and_the_reader_is_told() -> None:
    other: SegmentFields = ("PID", "2", "", [("99", "", "", "CHU-ORAN")], "", ("Saadi", "Lila"))
    seen = view(build(msh("ORU^R01"), PID, obr(), obx(1, "1"), other, obr(), obx(1, "2")))
    assert [part.identity.names[0] for part in seen.parts if part.identity] == [
        "M. Amine Benali",
        "Lila Saadi",
    ]
    values = [
        block.results[0].value for part in seen.parts for block in part.blocks if isinstance(block, Panel)
    ]
    assert values == ["1", "2"]
    assert [notice.kind for notice in seen.notices] == ["warn"]


def pointer(name: str, *, code: str = "attachment", system: str = "99WSL") -> SegmentFields:
    value = (name, "wasl", "AP", "octet-stream")
    return ("OBX", "2", "RP", (code, "Attachment", system), "1", value, *[""] * 5, "F")


def test_a_pointer_to_a_file_that_stands_below_is_no_result() -> None:
    raw = results(obx(1, "1"), pointer("scan  thorax.bin"))
    [part] = view(raw, ["scan  thorax.bin"]).parts
    assert [one.name for block in part.blocks if isinstance(block, Panel) for one in block.results] == [
        "Glycémie"
    ]


@pytest.mark.parametrize(
    "segments",
    [
        (pointer("elsewhere.bin"),),
        (pointer("a.bin", system="LN"),),
        (pointer("a.bin", code="thorax"),),
        (pointer("a.bin"), ("NTE", "1", "L", "À gauche")),
    ],
)
def test_a_pointer_that_says_more_is_shown(segments: tuple[SegmentFields, ...]) -> None:
    """A file that did not come, what a hospital calls a file, what somebody notes on one."""
    [part] = view(results(obx(1, "1"), *segments), ["a.bin"]).parts
    [panel] = [block for block in part.blocks if isinstance(block, Panel)]
    assert [one.name for one in panel.results] == ["Glycémie", "Attachment"]
    assert panel.results[0].notes == ()


@pytest.mark.parametrize(
    ("visit", "cards"),
    [
        (("U", ("labo", "", "", "chu-oran")), 0),
        (("", ("labo", "", "", "chu-oran")), 0),
        (("E", ("labo", "", "", "chu-oran")), 1),
        (("U", ("Réanimation", "3", "", "chu-oran")), 1),
        (("U", ("labo", "3", "", "chu-oran")), 1),
        (("U", ("labo", "", "", "chu-oran"), *[""] * 3, ("77", "Hakimi")), 1),
    ],
)
@pytest.mark.parametrize("kind", ["MDM^T02", "REF^I12"])
def test_a_stay_of_which_nothing_is_said_has_no_card(kind: str, visit: tuple[Field, ...], cards: int) -> None:
    """PV1 must be there; a desk writes its own address into it. What else anybody says is shown."""
    [part] = view(build(msh(kind), PID, ("PV1", "1", *visit))).parts
    assert [str(block.title) for block in part.blocks if isinstance(block, Facts)] == ["Stay"] * cards


def test_a_movement_tells_where_somebody_is_whatever_its_class() -> None:
    [part] = view(build(msh("ADT^A01"), PID, ("PV1", "1", "U", ("labo", "", "", "chu-oran")))).parts
    assert "Stay" in [str(block.title) for block in part.blocks if isinstance(block, Facts)]
