"""Ten simulated years of a network of 50 nodes with outages: ``python -m tests.torture years``."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

from tests.simulation import campaign
from tests.simulation.machines import FACILITIES
from tests.simulation.trace import Broken
from tests.simulation.years import VALID_MS, WEEKS_PER_YEAR, Years


def main(options: Sequence[str]) -> int:
    """Play them; 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture years", description=__doc__)
    parser.add_argument("--years", type=float, default=10.0)
    parser.add_argument("--nodes", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(options)
    more = [f"nord-{number}" for number in range(arguments.nodes - len(FACILITIES))]
    began_s = time.monotonic()
    with campaign.machines_in(more=more, valid_ms=VALID_MS) as machines:
        try:
            played = Years(machines, arguments.seed, round(arguments.years * WEEKS_PER_YEAR)).play()
        except Broken as problem:
            print(problem)
            return 1
    for name, count in sorted(played.counts.items()):
        print(f"{count:10,}  {name}")
    print(f"{arguments.years:g} years of {arguments.nodes} nodes in {time.monotonic() - began_s:.0f} s: kept")
    return 0
