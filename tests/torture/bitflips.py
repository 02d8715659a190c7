"""Stored files spoiled by the thousand: ``python -m tests.torture bitflips --each 50 --from 0``."""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Final

from tests.bitflips import homes
from tests.bitflips.campaign import damages, judge, kind_of, unexcused

_MEMORY: Final = Path("/dev/shm")


def main(options: Sequence[str]) -> int:
    """Spoil every stored file so often; tell everything that was not found; 1 if it is no known gap."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture bitflips", description=__doc__)
    parser.add_argument(
        "--each", type=int, default=50, help="damages of each file; ten times that of databases"
    )
    parser.add_argument("--from", type=int, default=0, dest="seed", help="the seed")
    arguments = parser.parse_args(options)
    root = Path(tempfile.mkdtemp(prefix="wasl-bitflips-", dir=_MEMORY if _MEMORY.is_dir() else None))
    (root / "rested").mkdir()
    rested = homes.make(root / "rested")
    counts: Counter[tuple[str, str]] = Counter()
    broken = 0
    began_s = time.monotonic()
    for file in rested.files():
        kind = kind_of(file)
        each = arguments.each * (10 if kind == "database" else 1)
        for damage in damages(rested, file, each, Random(f"{arguments.seed} {file.parent}")):
            verdict = judge(rested, damage, root / "damaged")
            wrong = unexcused(verdict)
            broken += bool(wrong)
            outcome = "told" if verdict.said else "harmless"
            if wrong or verdict.silent or verdict.tracebacks:
                outcome = "WRONG" if wrong else "known gap"
                print(f"{outcome}: {verdict}"[:600], flush=True)
            counts[kind, outcome] += 1
        print(f"{file}: {counts.total()} damages so far, {time.monotonic() - began_s:.0f} s", flush=True)
    for (kind, outcome), count in sorted(counts.items()):
        print(f"{count:8,}  {kind:12}  {outcome}")
    shutil.rmtree(root)
    return 1 if broken else 0
