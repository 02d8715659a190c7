"""Whether two identities are one person; where a value stands in a drawing; parts of a file."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.desk.viewing.people import Identifier, Identity, contradiction, same_person
from nodes.desk.viewing.plot import Value, plot
from nodes.desk.viewing.sending import Span, Unsatisfiable, span_of
from protocols.hl7.moments import Moment

BORN = Moment((1967, 4, 12), None)
OURS = Identifier("4711", "CHU-ORAN", "PI")
NIN = Identifier("109876543210987654", "DZA", "NI")


def person(
    name: str = "Amine Benali", birth: Moment | str = BORN, sex: str = "M", *numbers: Identifier
) -> Identity:
    return Identity((name,) if name else (), birth, sex, numbers or (OURS,))


@pytest.mark.parametrize(
    ("other", "code"),
    [
        (person(), ""),
        (person("BENALI Amine"), ""),
        (person("Benali, A."), ""),
        (person("Somebody Else"), ""),
        (person("Somebody Else", BORN, "M", NIN), "name"),
        (person("", BORN, "M", NIN), ""),
        (person(birth=Moment((1967, 4, 13), None)), "birth"),
        (person(birth=Moment((1967,), None)), ""),
        (person(birth=Moment((1968,), None)), "birth"),
        (person(birth=""), ""),
        (person(sex="F"), "sex"),
        (person(sex="U"), ""),
    ],
)
def test_what_speaks_against_one_person(other: Identity, code: str) -> None:
    assert contradiction(person(), other) == code
    assert contradiction(other, person()) == code


def test_marks_on_letters_do_not_make_another_name() -> None:
    assert contradiction(person("Zoé Améziane"), person("AMEZIANE ZOE", BORN, "M", NIN)) == ""


@pytest.mark.parametrize(
    ("one", "other", "same_sender", "same"),
    [
        (OURS, OURS, False, True),
        (OURS, Identifier("4711", "EPH-X", "PI"), True, False),
        (Identifier("4711", "", ""), Identifier("4711", "", ""), False, False),
        (Identifier("4711", "", ""), Identifier("4711", "", ""), True, True),
        (Identifier("1", "", "NI"), Identifier("1", "", "NI"), False, True),
    ],
)
def test_a_number_counts_within_its_authority(
    one: Identifier, other: Identifier, *, same_sender: bool, same: bool
) -> None:
    first, second = person("A", BORN, "M", one), person("A", BORN, "M", other)
    assert same_person(first, second, same_sender=same_sender) is same


def test_a_number_does_not_outweigh_another_birth() -> None:
    assert not same_person(person(), person(birth=Moment((1980, 1, 1), None)), same_sender=True)


def value(at_ms: int, number: float, low: float | None = None, high: float | None = None) -> Value:
    return Value(at_ms, number, f"{number:g}", (), low, high, here=False)


def test_a_drawing_goes_from_left_to_right_and_keeps_its_band() -> None:
    drawn = plot([value(2_000, 9, 4, 8), value(1_000, 5, 4, 8), value(3_000, 6)])
    assert drawn is not None
    assert [point.value.at_ms for point in drawn.points] == [1_000, 2_000, 3_000]
    assert [point.x for point in drawn.points] == [4.0, 50.0, 96.0]
    assert drawn.points[1].y < drawn.points[2].y < drawn.points[0].y
    assert drawn.band is not None
    above, height = drawn.band
    assert drawn.points[1].y < above < drawn.points[2].y < above + height
    assert (drawn.most, drawn.least) == ("9", "5")


@pytest.mark.parametrize("values", [[], [value(1, 2)], [value(1, 2), value(1, 3)]])
def test_one_moment_is_no_curve(values: list[Value]) -> None:
    assert plot(values) is None


@given(
    st.lists(
        st.builds(
            value, st.integers(-(10**13), 10**13), st.floats(-1e15, 1e15),
            st.none() | st.floats(-1e15, 1e15), st.none() | st.floats(-1e15, 1e15),
        ),
        max_size=80,
    )
)  # fmt: skip
def test_every_point_is_within_the_drawing(values: list[Value]) -> None:
    drawn = plot(values)
    if drawn is not None:
        assert len(drawn.points) <= 60
        for point in drawn.points:
            assert 4 <= point.x <= 96
            assert 12 <= point.y <= 84
        if drawn.band is not None:
            assert drawn.band[1] > 0


@pytest.mark.parametrize(
    ("asked", "span"),
    [
        (None, None), ("", None), ("bytes=0-", Span(0, 100)), ("bytes=10-19", Span(10, 20)),
        ("bytes=90-999", Span(90, 100)), ("bytes=-10", Span(90, 100)), ("bytes=-999", Span(0, 100)),
        ("bytes=5-4", None), ("bytes=-", None), ("bytes=0-1,4-5", None), ("items=0-1", None),
        ("bytes=a-b", None),
        ("bytes = 1 - 2", Span(1, 3)), ("bytes=" + "9" * 30 + "-", None),
    ],
)  # fmt: skip
def test_ranges_as_browsers_ask(asked: str | None, span: Span | None) -> None:
    assert span_of(asked, 100) == span


@pytest.mark.parametrize(
    ("asked", "size"), [("bytes=100-", 100), ("bytes=-0", 100), ("bytes=-1", 0), ("bytes=0-", 0)]
)
def test_ranges_behind_the_end(asked: str, size: int) -> None:
    with pytest.raises(Unsatisfiable):
        span_of(asked, size)
