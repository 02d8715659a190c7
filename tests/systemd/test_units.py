"""The units keep what they promise: little exposure, and the daemons' real command lines."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = sorted((Path(__file__).parents[2] / "systemd").glob("*.service"))
EXPOSURE_MAX = 1.2


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_exposure_is_low(unit: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    done = subprocess.run(
        [analyze, "security", "--offline=true", "--no-pager", str(unit)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    if found is None:
        pytest.skip(f"systemd-analyze cannot judge a unit offline here: {done.stderr.strip()[:100]}")
    assert float(found.group(1)) <= EXPOSURE_MAX


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_the_unit_starts_what_exists(unit: Path) -> None:
    """The command in ExecStart is one of ours, with options that it has."""
    text = unit.read_text(encoding="utf-8")
    started = re.search(
        r"^ExecStart=/opt/wasl/bin/(wasl-\w+) run --home /var/lib/(wasl-\w+)$", text, re.MULTILINE
    )
    assert started is not None
    assert started.group(1) == started.group(2) == unit.stem
    assert f"StateDirectory={unit.stem}" in text


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_the_procedure_in_the_unit_is_the_readme_s(unit: Path) -> None:
    """Line by line, so that what was tried is what is told; and it makes the home before it uses it."""
    steps = re.findall(r"^#   (.+)$", unit.read_text(encoding="utf-8"), re.MULTILINE)
    told = (UNITS[0].parents[1] / "README.md").read_text(encoding="utf-8")
    assert [step for step in steps if step not in told] == []
    order = [next(number for number, step in enumerate(steps) if word in step) for word in
             ("useradd", "install -d -m 0700", "runuser", "systemctl")]  # fmt: skip
    assert order == sorted(order)
