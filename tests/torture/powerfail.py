"""Power failures by the thousand: ``python -m tests.torture powerfail --runs 100000 --from 0``."""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Sequence
from typing import Final

from tests.powerfail import campaign
from tests.powerfail.campaign import CRASHES, SHARES

ROUND: Final = sum(SHARES.values())


def main(options: Sequence[str]) -> int:
    """Do the runs; tell every broken promise as it is found; 1 if there was one."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture powerfail", description=__doc__)
    parser.add_argument("--runs", type=int, default=100_000, help="how many power failures")
    parser.add_argument("--from", type=int, default=0, dest="first", help=f"the first round of {ROUND} runs")
    arguments = parser.parse_args(options)
    counts: Counter[str] = Counter()
    broken = 0
    began_s = time.monotonic()
    rounds = range(arguments.first, arguments.first + -(-arguments.runs // ROUND))
    for number in rounds:
        for kind, share in SHARES.items():
            with campaign.place() as root:
                for run in campaign.runs(kind, number * -(-share // CRASHES), share, root):
                    counts[kind] += 1
                    if run.faults:
                        broken += 1
                        print(run, flush=True)
        done = counts.total()
        print(
            f"{done} power failures, {done / (time.monotonic() - began_s):.0f} a second, {broken} broken",
            flush=True,
        )
    for kind, count in counts.items():
        print(f"{count:10,}  {kind}")
    return 1 if broken else 0
