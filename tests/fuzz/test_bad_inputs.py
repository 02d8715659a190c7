"""Each parser of foreign bytes under each of the named bad inputs: our own error, and soon."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.fuzz import targets
from tests.fuzz.bad import BAD, GOOD, ODD

BOUND_S = 3.0
"""For one input, on a busy machine; what takes longer can be sent a thousand times."""


@pytest.fixture(autouse=True, scope="module")
def closed() -> Iterator[None]:
    yield
    targets.close()


def cases(tables: dict[str, dict[str, bytes]]) -> list[Any]:
    return [
        pytest.param(name, data, id=f"{name}: {what}")
        for name, table in tables.items()
        for what, data in table.items()
    ]


def timed(name: str, data: bytes) -> bool:
    began_s = time.monotonic()
    taken = targets.taken(targets.TARGETS[name], data)
    assert time.monotonic() - began_s < BOUND_S
    return taken


@pytest.mark.parametrize(("name", "data"), cases(BAD))
def test_what_is_wrong_is_refused_with_an_error_of_ours(name: str, data: bytes) -> None:
    assert not timed(name, data)


@pytest.mark.parametrize(("name", "data"), cases(ODD))
def test_what_is_strange_breaks_nothing(name: str, data: bytes) -> None:
    timed(name, data)


@pytest.mark.parametrize("name", targets.TARGETS)
def test_what_is_good_is_taken(name: str) -> None:
    """Else a target might refuse everything before its parser ever sees it."""
    if name in GOOD:
        assert timed(name, GOOD[name])
    else:
        assert name in {"hello", "record"}, f"{name} has no good input"


def test_there_are_enough_of_them() -> None:
    inputs = {
        (name, data) for table in (BAD, ODD) for name, found in table.items() for data in found.values()
    }
    assert len(inputs) >= 300
    assert BAD.keys() | ODD.keys() == targets.TARGETS.keys(), "every target has bad inputs"
