"""``python -m benchmarks NAME [OPTIONS]``: one benchmark; see ``--help`` of each."""

from __future__ import annotations

import sys
from importlib import import_module

BENCHMARKS = {
    name: name for name in ("hub", "path", "mllp", "parts", "idle", "files", "growth", "peers", "desk")
}
"""What can be typed, and the modules beside this one, each with ``main(arguments) -> exit code``."""
BENCHMARKS["all"] = "suite"


def main() -> int:
    """Run what the command line names."""
    name, *options = sys.argv[1:] or [""]
    if name not in BENCHMARKS:
        print(f"usage: python -m benchmarks {{{'|'.join(BENCHMARKS)}}} [OPTIONS]", file=sys.stderr)
        return 2
    return int(import_module(f"benchmarks.{BENCHMARKS[name]}").main(options))


if __name__ == "__main__":
    sys.exit(main())
