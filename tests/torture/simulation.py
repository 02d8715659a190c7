"""Simulated schedules by the thousand: ``python -m tests.torture simulation --seeds 10000 --from 0``."""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Sequence

from tests.simulation import campaign
from tests.simulation.trace import Broken

TOLD_EVERY = 100


def main(options: Sequence[str]) -> int:
    """Play the schedules; tell every broken promise with its log; 1 if there was one."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10_000, help="how many schedules")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first seed")
    arguments = parser.parse_args(options)
    counts: Counter[str] = Counter()
    broken: list[int] = []
    began_s = time.monotonic()
    with campaign.machines_in() as machines:
        for number, seed in enumerate(range(arguments.first, arguments.first + arguments.seeds), 1):
            try:
                counts += campaign.play(machines, seed).counts
            except Broken as problem:
                broken.append(seed)
                print(f"seed {seed}: {problem}", flush=True)
            if number % TOLD_EVERY == 0 or number == arguments.seeds:
                rate = number / (time.monotonic() - began_s)
                print(f"{number} schedules, {rate:.1f} a second, {len(broken)} broken", flush=True)
    for name, count in sorted(counts.items()):
        print(f"{count:10,}  {name}")
    print(f"broken: {broken or 'none'}")
    return 1 if broken else 0
