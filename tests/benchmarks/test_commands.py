"""Each benchmark runs, at a size that means nothing, and prints one object that has its table."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from benchmarks import suite, tables
from tests.test_documents import ROOT

pytestmark = pytest.mark.integration

SIZES = {**suite.QUICK, "peers": (*suite.QUICK["peers"], "--peers", "python-hl7-mllp")}
"""Brokers are started by ``make bench`` only: one of them alone takes ten seconds to start."""


def benchmark(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="a benchmark needs two processors")
@pytest.mark.parametrize("name", suite.FULL)
def test_it_runs_and_has_a_table(name: str) -> None:
    done = benchmark(name, "--json", *SIZES[name])
    assert done.returncode == 0, done.stderr
    assert tables.table(name, json.loads(done.stdout)).startswith("|")


def test_an_unknown_benchmark_is_named_with_those_that_are_known() -> None:
    done = benchmark("speed")
    assert (done.returncode, done.stdout) == (2, "")
    assert all(name in done.stderr for name in (*suite.FULL, "all"))
