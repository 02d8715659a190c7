"""The fuzzer of one target: ``python -m tests.fuzz.fuzzer TARGET CORPUS [LIBFUZZER OPTIONS]``.

Atheris looks which lines of the project an input reaches and keeps what reaches new ones. It ends with an
error, and leaves the input, when anything but our own errors comes out, or an input takes too long.
"""

from __future__ import annotations

import importlib
import sys

ROOMS = ["protocols", "crypto", "config", "hub", "nodes"]

atheris = importlib.import_module("atheris")  # it has no types, and is not on every machine

with atheris.instrument_imports(include=ROOMS):
    from tests.fuzz import targets


def main() -> None:
    """Fuzz until libFuzzer has enough."""
    program, name, *options = sys.argv
    target = targets.TARGETS[name]
    atheris.Setup([program, *options], lambda data: int(targets.taken(target, data)) * 0)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
