"""The promises, in hundreds of schedules; and that the simulation would notice if one were broken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from tests.simulation import campaign, sabotage
from tests.simulation.machines import Machines
from tests.simulation.trace import Broken

SCHEDULES = 160
PARTS = 8
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
