"""``python -m tests.torture [CAMPAIGN [OPTIONS]]``: one long fault campaign, or all of them in turn."""

from __future__ import annotations

import sys
from importlib import import_module

CAMPAIGNS = ("simulation", "powerfail", "bitflips", "kills", "files", "corpus")
"""Modules beside this one, each with ``main(arguments) -> exit code``."""


def main() -> int:
    """Run what the command line names; 0 if every promise was kept."""
    name, *options = sys.argv[1:] or ["all"]
    if name != "all" and name not in CAMPAIGNS:
        print(f"usage: python -m tests.torture [{'|'.join(CAMPAIGNS)}|all] [OPTIONS]", file=sys.stderr)
        return 2
    failed = 0
    for campaign in CAMPAIGNS if name == "all" else (name,):
        print(f"── {campaign}", flush=True)
        failed |= import_module(f"tests.torture.{campaign}").main(options)
    return failed


if __name__ == "__main__":
    sys.exit(main())
