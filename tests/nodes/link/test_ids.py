"""Message ids: ordered by time, one text form, hostile text refused."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.link.ids import id_text, new_id, parse_id

MOMENTS = st.integers(0, (1 << 48) - 1)


@given(MOMENTS)
def test_an_id_is_a_version_7_uuid_that_begins_with_its_time(now_ms: int) -> None:
    raw = new_id(now_ms)
    found = uuid.UUID(bytes=raw)
    assert (found.version, found.variant) == (7, uuid.RFC_4122)
    assert int.from_bytes(raw[:6], "big") == now_ms


@given(MOMENTS, MOMENTS)
def test_a_later_id_sorts_behind_an_earlier_one(one_ms: int, other_ms: int) -> None:
    early, late = sorted((one_ms, other_ms))
    if early < late:
        assert new_id(early) < new_id(late)


def test_two_ids_of_one_millisecond_differ() -> None:
    assert len({new_id(1_790_000_000_000) for _ in range(1_000)}) == 1_000


@given(st.binary(min_size=16, max_size=16))
def test_text_and_back(raw: bytes) -> None:
    assert parse_id(id_text(raw)) == raw
    assert parse_id(f"  {id_text(raw).upper()}\n") == raw


@pytest.mark.parametrize("text", ["", "no", "019a", "g" * 32, "0" * 31, "0" * 33, "٠" * 31, "\0" * 32])
def test_what_is_no_id_is_none(text: str) -> None:
    assert parse_id(text) is None


@given(st.text(max_size=60))
def test_no_text_raises(text: str) -> None:
    raw = parse_id(text)
    assert raw is None or len(raw) == 16
