"""Every N-th system call fails, N swept until none fires: ``python -m tests.torture faults``.

Each kind of fault (``tests.faults.shim.KINDS``) at hub, sending and receiving node, while they run and while
they start. Prints each fault after which something was not as promised, and the verdict of the checker.
"""

from __future__ import annotations

import argparse
import itertools
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.faults.scene import VICTIMS, Scene
from tests.faults.shim import AT_START, KINDS, build, compiler
from tests.integration.template import make_template

_MEMORY = Path("/dev/shm")


def main(options: Sequence[str]) -> int:
    """Sweep; 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture faults", description=__doc__)
    parser.add_argument("--victim", choices=VICTIMS, action="append", help="only this one; may repeat")
    parser.add_argument("--kind", choices=KINDS, action="append", help="only this kind; may repeat")
    parser.add_argument("--from", type=int, default=1, dest="first", help="the first N")
    parser.add_argument("--every", type=int, default=1, help="only every so many-th N")
    arguments = parser.parse_args(options)
    if compiler() is None:
        print("skipped: no gcc, which compiles the library of faults")
        return 0
    root = Path(tempfile.mkdtemp(prefix="wasl-faults-", dir=_MEMORY if _MEMORY.is_dir() else None))
    (root / "template").mkdir()
    (root / "network").mkdir()
    scene = Scene(root / "network", make_template(root / "template"), build(root))
    counts: Counter[str] = Counter()
    began_s = time.monotonic()
    try:
        scene.start()
        wrong = 0
        for victim, name in itertools.product(arguments.victim or VICTIMS, arguments.kind or KINDS):
            for start in (False, True) if name in AT_START else (False,):
                ats = itertools.count(arguments.first, arguments.every)
                for played in scene.sweep(victim, KINDS[name], ats, start=start):
                    counts[f"{victim}: {'ended' if played.ended else 'went on'}"] += bool(played.fired)
                    if played.wrong:
                        wrong += 1
                        print(played, flush=True)
                told = f"{counts.total()} faults so far, {time.monotonic() - began_s:.0f} s"
                print(f"{victim} {name}{' at the start' * start}: up to call {played.at}; {told}", flush=True)
        verdict = scene.judge()
    finally:
        scene.close()
    for what, count in sorted(counts.items()):
        print(f"{count:8,}  {what}")
    print(verdict)
    if wrong or verdict.faults:
        print(f"homes and logs in {root}")
        return 1
    shutil.rmtree(root)
    return 0
