"""The promises, in two thousand schedules; and that the simulation would notice if one were broken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from tests.simulation import campaign, sabotage
from tests.simulation.machines import Machines
from tests.simulation.trace import Broken
from tests.simulation.years import VALID_MS, Years

SCHEDULES = 2_000
PARTS = 100
WEEKS = 26
SABOTAGED = 60
"""A broken promise must be noticed within so many schedules."""


@pytest.fixture(scope="module")
def machines() -> Iterator[Machines]:
    """Yield machines for all schedules of this module."""
    with campaign.machines_in() as made:
        yield made


@pytest.mark.parametrize("part", range(PARTS))
def test_every_promise_is_kept_in_every_schedule(machines: Machines, part: int) -> None:
    size = SCHEDULES // PARTS
    counts = _play(machines, range(part * size, (part + 1) * size))
    assert counts["crash"] > 0
    assert counts["processed"] > 0


def _play(machines: Machines, seeds: range) -> Counter[str]:
    counts: Counter[str] = Counter()
    for seed in seeds:
        counts += campaign.play(machines, seed).counts
    return counts


def test_a_seed_gives_the_same_schedule_every_time(machines: Machines) -> None:
    assert campaign.play(machines, 4).fingerprint == campaign.play(machines, 4).fingerprint


@pytest.mark.parametrize(
    "broken",
    [
        sabotage.hub_accepts_before_commit,
        sabotage.nodes_take_before_commit,
        sabotage.nodes_forget_what_they_have,
    ],
)
def test_a_promise_broken_on_purpose_is_noticed(
    machines: Machines, broken: Callable[[Machines], AbstractContextManager[None]]
) -> None:
    with broken(machines), pytest.raises(Broken, match=r"python -m tests\.simulation --seed"):
        _play(machines, range(SABOTAGED))


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_half_a_year_of_a_dozen_nodes() -> None:
    """Weeks with outages and with new keys, on the same tables (``torture years``: ten years)."""
    with campaign.machines_in(more=[f"nord-{number}" for number in range(8)], valid_ms=VALID_MS) as made:
        counts = Years(made, 1, WEEKS).play().counts
    assert counts["week"] == WEEKS
    assert counts["processed"] > WEEKS
    assert counts["returned"] > 0
