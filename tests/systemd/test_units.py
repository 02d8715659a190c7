"""The units keep what they promise: little exposure, and the daemons' real command lines."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

import hub.cli
import nodes.cli
import nodes.desk.cli
from hub import home as hub_home
from nodes.link import keyfiles

PROJECT = Path(__file__).parents[2]
UNITS = sorted((PROJECT / "systemd").glob("*.service"))
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
    """The command in ExecStart is one of ours, found where the package and an installation by hand put it."""
    text = unit.read_text(encoding="utf-8")
    started = re.search(r"^ExecStart=(wasl-\w+) (\w+) --home /var/lib/(wasl-\w+)$", text, re.MULTILINE)
    assert started is not None
    program, command, home = started.groups()
    assert f"{program}=" in (PROJECT / "setup.py").read_text(encoding="utf-8")
    rooms = {"wasl-hub": hub.cli, "wasl-node": nodes.cli, "wasl-desk": nodes.desk.cli}
    assert command in rooms[program].COMMANDS
    assert home == {"wasl-desk": "wasl-node"}.get(program, program)
    for line in (f"User={home}", f"Group={home}", f"StateDirectory={home}", "StateDirectoryMode=0700"):
        assert f"\n{line}\n" in text


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_the_unit_keeps_what_the_daemon_says(unit: Path) -> None:
    """It is started by READY=1, given up without WATCHDOG=1, tried again for ever, and given its keys."""
    lines = unit.read_text(encoding="utf-8").splitlines()
    for line in ("Type=notify", "Restart=always", "StartLimitIntervalSec=0"):
        assert line in lines
    assert any(re.fullmatch(r"WatchdogSec=\d+", line) for line in lines)
    given = [line for line in lines if line.startswith("LoadCredential")]
    credentials = {"wasl-hub": hub_home.CREDENTIAL, "wasl-node": keyfiles.CREDENTIAL}
    told = [f"LoadCredentialEncrypted={credentials[unit.stem]}"] if unit.stem in credentials else []
    assert given == told


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_the_step_in_the_unit_is_the_documents(unit: Path) -> None:
    """Line by line, so that what was tried is what is told."""
    steps = re.findall(r"^#   (.+)$", unit.read_text(encoding="utf-8"), re.MULTILINE)
    told = (PROJECT / "docs" / "install.md").read_text(encoding="utf-8")
    assert steps
    assert [step for step in steps if step not in told] == []
