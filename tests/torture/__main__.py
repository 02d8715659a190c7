"""``python -m tests.torture [CAMPAIGN [OPTIONS]]``: fault campaigns, one by itself, or in rounds for an hour.

Without a name, all campaigns run in turn, each for some minutes, and again with other seeds, offsets and call
numbers until the time is up (``--minutes``): an hour that looks into every corner. A campaign by its name
runs in full, ``all`` runs all of them in full, which takes days.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Final

SCHEDULES: Final = 150
POWER_FAILURES: Final = 1_000
DAMAGES: Final = 15
_Options = Callable[[int], tuple[str, ...]]

CAMPAIGNS: Final[dict[str, _Options]] = {
    "fuzz": lambda _number: ("--seconds", "4"),
    "simulation": lambda number: ("--seeds", str(SCHEDULES), "--from", str(number * SCHEDULES)),
    "years": lambda number: ("--years", "0.2", "--nodes", "12", "--seed", str(number)),
    "powerfail": lambda number: ("--runs", str(POWER_FAILURES), "--from", str(number)),
    "bitflips": lambda number: ("--each", str(DAMAGES), "--from", str(number)),
    "faults": lambda number: ("--every", "80", "--from", str(1 + number % 80)),
    "lines": lambda number: ("--every", "400", "--from", str(number % 400)),
    "floods": lambda _number: ("--seconds", "5"),
    "kills": lambda _number: ("--kills", "50"),
    "files": lambda _number: ("--size", "256MiB"),
    "corpus": lambda _number: ("--every", "5"),
}
"""Modules beside this one, each with ``main(options) -> exit code``, and their options in a round."""


def main() -> int:
    """Run what the command line names; 0 if every promise was kept."""
    name, *options = sys.argv[1:] or ["--minutes", "60"]
    if name.startswith("-"):
        return _rounds([name, *options])
    if name != "all" and name not in CAMPAIGNS:
        print(
            f"usage: python -m tests.torture [--minutes N | {'|'.join(CAMPAIGNS)}|all [OPTIONS]]",
            file=sys.stderr,
        )
        return 2
    failed = 0
    for campaign in CAMPAIGNS if name == "all" else (name,):
        failed |= _run(campaign, options)
    return failed


def _run(campaign: str, options: Sequence[str]) -> int:
    print(f"── {campaign} {' '.join(options)}".rstrip(), flush=True)
    result: int = import_module(f"tests.torture.{campaign}").main(options)
    return result


def _rounds(arguments: Sequence[str]) -> int:
    """Run rounds until the time is up; the campaign that is running then still ends."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="how long")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first round")
    options = parser.parse_args(arguments)
    until_s = time.monotonic() + options.minutes * 60
    failed: list[str] = []
    number = options.first
    while True:
        for campaign, of_round in CAMPAIGNS.items():
            if _run(campaign, of_round(number)):
                failed.append(f"{campaign} in round {number}")
            if time.monotonic() >= until_s:
                print(f"── {'broken: ' + ', '.join(failed) if failed else 'every promise was kept'}")
                return 1 if failed else 0
        number += 1


if __name__ == "__main__":
    sys.exit(main())
