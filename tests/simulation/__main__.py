"""``python -m tests.simulation --seed N``: play one schedule again and show its log."""

from __future__ import annotations

import argparse
import sys

from tests.simulation import campaign
from tests.simulation.trace import Broken
from tests.simulation.world import World


def main() -> int:
    """Play one schedule; 1 if a promise was not kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--quiet", action="store_true", help="show the end and not the log")
    arguments = parser.parse_args()
    with campaign.machines_in() as machines:
        world = World(machines, arguments.seed)
        try:
            played = world.play()
        except Broken as broken:
            print(str(broken) if arguments.quiet else f"{world.trace.tail(100_000)}\n\n{world.broken}")
            return 1
    if not arguments.quiet:
        print(world.trace.tail(100_000))
    print(f"kept: {played.steps} steps, {played.simulated_s:.0f} s simulated, log {played.fingerprint}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
