"""The short form of the kill campaign (``python -m tests.torture kills``: the long one)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.torture.kills import Campaign

SEED = 20_260_101


@pytest.mark.slow
def test_random_kills_under_traffic_lose_double_and_disorder_nothing(template: Path, tmp_path: Path) -> None:
    """A dozen SIGKILLs of hub and nodes under traffic: nothing lost or doubled, order kept, states right."""
    outcome = Campaign(tmp_path, template, SEED).run(kills=12)
    print(outcome)
    assert outcome.faults == []
    assert outcome.messages > 100
