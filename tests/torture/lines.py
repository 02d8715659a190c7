"""A reset at every byte offset of a session, both directions: ``python -m tests.torture lines --every 1``."""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.integration.template import make_template
from tests.lines.scene import DOWN, UP, LineScene

_MEMORY = Path("/dev/shm")
_LONGEST_BYTES = 1 << 20
_TOLD_EVERY = 100


def main(options: Sequence[str]) -> int:
    """Sweep the lines of both nodes at once; 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture lines", description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="only every so many-th offset")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first offset")
    arguments = parser.parse_args(options)
    root = Path(tempfile.mkdtemp(prefix="wasl-lines-", dir=_MEMORY if _MEMORY.is_dir() else None))
    (root / "template").mkdir()
    (root / "network").mkdir()
    scene = LineScene(root / "network", make_template(root / "template"))
    wrong = count = 0
    began_s = time.monotonic()
    try:
        scene.start()
        for direction in (UP, DOWN):
            offsets = range(arguments.first, _LONGEST_BYTES, arguments.every)
            for played in scene.sweep_resets(direction, offsets):
                count += 1
                wrong += bool(played.wrong)
                if played.wrong:
                    print(played, flush=True)
                if count % _TOLD_EVERY == 0:
                    print(f"{count} resets, {time.monotonic() - began_s:.0f} s, {wrong} wrong", flush=True)
            print(f"{direction}: up to offset {played.offset}", flush=True)
        verdict = scene.judge()
    finally:
        scene.close()
    print(f"{count} resets of two sessions at once in {time.monotonic() - began_s:.0f} s, {wrong} wrong")
    print(verdict)
    if wrong or verdict.faults:
        print(f"homes and logs in {root}")
        return 1
    shutil.rmtree(root)
    return 0
