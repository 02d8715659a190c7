"""Crash points: nothing unless armed; SIGKILL at the named place, at the N-th time."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PROGRAM = """
from runtime import crash
for visit in range(1, 6):
    crash.reached("other")
    crash.reached("before-commit")
    print(visit, flush=True)
"""


def run(armed: str | None) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "WASL_CRASH_AT"}
    if armed is not None:
        environment["WASL_CRASH_AT"] = armed
    return subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("armed", [None, "", "elsewhere", "before-commit:6"])
def test_runs_through_unless_the_place_is_armed(armed: str | None) -> None:
    ended = run(armed)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.split() == ["1", "2", "3", "4", "5"]


@pytest.mark.parametrize(
    ("armed", "survived"), [("before-commit", []), ("before-commit:1", []), ("before-commit:3", ["1", "2"])]
)
def test_kills_at_the_place_at_the_given_time(armed: str, survived: list[str]) -> None:
    ended = run(armed)
    assert ended.returncode == -signal.SIGKILL
    assert ended.stdout.split() == survived


@pytest.mark.parametrize("armed", ["before-commit:", "before-commit:0", "before-commit:x", ":3", "a:b:1"])
def test_says_what_it_wants_when_the_variable_is_malformed(armed: str) -> None:
    ended = run(armed)
    assert ended.returncode == 1
    assert f'WASL_CRASH_AT="{armed}" should be "name" or "name:N"' in ended.stderr


def test_costs_nothing_when_not_armed() -> None:
    code = "from runtime import crash; assert crash.reached is crash._disarmed"
    environment = {name: value for name, value in os.environ.items() if name != "WASL_CRASH_AT"}
    subprocess.run([sys.executable, "-c", code], env=environment, cwd=ROOT, check=True)
