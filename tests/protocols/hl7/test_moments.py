"""Times as HL7 writes them."""

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.hl7.moments import Moment, read_moment


@pytest.mark.parametrize(
    ("text", "parts", "offset"),
    [
        ("1967", (1967,), None),
        ("196704", (1967, 4), None),
        ("19670412", (1967, 4, 12), None),
        ("2026013109", (2026, 1, 31, 9), None),
        ("202601310930", (2026, 1, 31, 9, 30), None),
        (" 20260131093015.1234+0100 ", (2026, 1, 31, 9, 30, 15), 60),
        ("20260131093015-0530", (2026, 1, 31, 9, 30, 15), -330),
    ],
)
def test_times_are_read_as_exactly_as_they_are_told(
    text: str, parts: tuple[int, ...], offset: int | None
) -> None:
    assert read_moment(text) == Moment(parts, offset)


@pytest.mark.parametrize(
    "text",
    ["", "x", "20261301", "20260230", "2026023", "202601012460", "2026-01-31", "0001", "9999", '""',
     "20260131+9999", "20260131093015+01", "2026" * 100, "٢٠٢٦"],
)  # fmt: skip
def test_what_is_no_time_is_none(text: str) -> None:
    assert read_moment(text) is None


def test_an_instant_is_in_its_zone_or_in_the_one_given() -> None:
    assert Moment((2026, 1, 31, 0, 30), None).instant(60) == datetime(2026, 1, 30, 23, 30, tzinfo=UTC)
    assert Moment((2026, 1, 31, 0, 30), 0).instant(60) == datetime(2026, 1, 31, 0, 30, tzinfo=UTC)
    assert Moment((2026,), None).instant(0) == datetime(2026, 1, 1, tzinfo=UTC)
    assert (Moment((2026,), None).date, Moment((2026, 2, 3), None).date) == (None, date(2026, 2, 3))


@given(st.text(alphabet="0123456789+-.", max_size=30), st.integers(-1439, 1439))
def test_any_digits_are_a_time_or_none(text: str, zone_minutes: int) -> None:
    found = read_moment(text)
    if found is not None:
        assert found.instant(zone_minutes).tzinfo is UTC
