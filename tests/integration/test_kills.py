"""The short form of the kill campaign (``python -m tests.torture kills``: the long one), its checker."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.torture.kills import Campaign, compare

SEED = 20_260_101


@pytest.mark.slow
def test_random_kills_under_traffic_lose_double_and_disorder_nothing(template: Path, tmp_path: Path) -> None:
    """A dozen SIGKILLs of hub and nodes under traffic: 0 lost, 0 doubled, order kept, states right."""
    outcome = Campaign(tmp_path, template, SEED).run(kills=12)
    print(outcome)
    assert outcome.faults == []
    assert outcome.messages > 100


def test_the_checker_finds_what_it_is_there_for() -> None:
    """Lost, doubled, disordered and invented messages are each told by name."""
    one, two, three = (f"MSH|^~\\&|a|b|c|d|||ADT^A01|{n}\r".encode() for n in "123")
    assert compare("lane", [one, two, three], [one, two, three]) == []
    assert compare("lane", [one, two, three], [one, three]) == ["lost: lane: 2"]
    assert compare("lane", [one, two], [one, two, one]) == ["doubled: lane: 1"]
    assert compare("lane", [one, two], [two, one]) == ["disordered: lane"]
    assert "wrong: lane: 3 was never acknowledged" in compare("lane", [one], [one, three])
