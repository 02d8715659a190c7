"""Coverage-guided fuzzing of every parser of foreign bytes: ``python -m tests.torture fuzz --seconds 60``."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from tests.fuzz import targets
from tests.fuzz.bad import BAD, GOOD, ODD
from tests.integration.daemons import PROJECT, environment

_MAX_BYTES = 65_536
_INPUT_S = 10
_MEMORY_MIB = 2_048
_DONE = re.compile(r"Done (\d+) runs")
_COVERAGE = re.compile(r"cov: (\d+)")
_TAIL_CHARS = 3_000


def main(options: Sequence[str]) -> int:
    """Fuzz each target for so long; 1 if one let something else out than an error of ours."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--target", choices=targets.TARGETS, action="append", help="only this; may repeat")
    parser.add_argument("--corpus", type=Path, help="where what was found is kept from run to run")
    arguments = parser.parse_args(options)
    if find_spec("atheris") is None:
        print("skipped: atheris is not installed (pip install atheris; it has packages for few systems)")
        return 0
    corpus = arguments.corpus or Path(tempfile.mkdtemp(prefix="wasl-fuzz-"))
    failed = 0
    for name in arguments.target or targets.TARGETS:
        failed |= fuzz(name, corpus / name, arguments.seconds)
    return failed


def fuzz(name: str, corpus: Path, seconds: int) -> int:
    """Fuzz one target from its named inputs and what ``corpus`` holds; returns 1 for a finding."""
    seeds, found = corpus / "seeds", corpus / "found"
    for place in (seeds, found):
        place.mkdir(parents=True, exist_ok=True)
    named = [GOOD.get(name, b""), *BAD.get(name, {}).values(), *ODD.get(name, {}).values()]
    for number, data in enumerate(named):
        if len(data) <= _MAX_BYTES:
            (seeds / f"{number:04}").write_bytes(data)
    done = subprocess.run(
        [
            sys.executable, "-m", "tests.fuzz.fuzzer", name, str(found), str(seeds),
            f"-max_total_time={seconds}", f"-timeout={_INPUT_S}", f"-rss_limit_mb={_MEMORY_MIB}",
            f"-max_len={_MAX_BYTES}", f"-artifact_prefix={corpus}/", "-print_final_stats=1",
        ],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment(), cwd=PROJECT, text=True,
        errors="replace", check=False,
    )  # fmt: skip
    runs, coverage = _DONE.findall(done.stdout), _COVERAGE.findall(done.stdout)
    reached = f"{coverage[-1] if coverage else '?'} branches reached"
    print(f"{name:20} {runs[-1] if runs else '?':>10} runs, {reached}", flush=True)
    if done.returncode:
        print(f"FOUND, input in {corpus}:\n{done.stdout[-_TAIL_CHARS:]}", flush=True)
    return int(done.returncode != 0)
