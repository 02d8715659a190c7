"""Back-off: the bound doubles up to the cap, the draw is even below it, reset starts over."""

from random import Random

import pytest

from runtime.backoff import Backoff


class Highest(Random):
    """Chance that always draws the upper bound."""

    def uniform(self, a: float, b: float) -> float:
        assert a == 0
        return b


def test_the_bound_doubles_up_to_the_cap() -> None:
    backoff = Backoff(base_s=1, cap_s=10, random=Highest())
    assert [backoff.next_s() for _ in range(6)] == [1, 2, 4, 8, 10, 10]
    assert backoff.failures == 6


def test_reset_starts_over() -> None:
    backoff = Backoff(base_s=0.5, cap_s=60, random=Highest())
    for _ in range(5):
        backoff.next_s()
    backoff.reset()
    assert backoff.failures == 0
    assert backoff.next_s() == 0.5


def test_draws_from_the_whole_range_and_repeats_with_the_seed() -> None:
    def draws(seed: int) -> list[float]:
        backoff = Backoff(base_s=8, cap_s=8, random=Random(seed))
        return [backoff.next_s() for _ in range(400)]

    assert draws(7) == draws(7)
    assert draws(7) != draws(8)
    assert min(draws(7)) < 0.4
    assert max(draws(7)) > 7.6
    assert all(0 <= wait <= 8 for wait in draws(7))


def test_failing_for_years_neither_overflows_nor_exceeds_the_cap() -> None:
    backoff = Backoff(base_s=0.1, cap_s=300, random=Highest())
    assert {backoff.next_s() for _ in range(5000)} >= {0.1, 300}
    assert backoff.next_s() == 300


@pytest.mark.parametrize(("base_s", "cap_s"), [(0, 1), (-1, 1), (2, 1)])
def test_refuses_bounds_that_mean_nothing(base_s: float, cap_s: float) -> None:
    with pytest.raises(ValueError, match="0 < base_s <= cap_s"):
        Backoff(base_s=base_s, cap_s=cap_s, random=Random(1))
