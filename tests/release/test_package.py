"""What the Debian package carries, without the wheels; ``make trial`` installs it under a real systemd."""

from __future__ import annotations

import gzip
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from release import debian, machines, manuals, trial, wheels

ROOT = Path(__file__).parents[2]
PROGRAMS = sorted(manuals.PROGRAMS)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the package's tree, all but its virtual environment."""
    if shutil.which("dpkg") is None:
        pytest.skip("dpkg is not installed: a Debian package is built on Debian or Ubuntu")
    root = tmp_path_factory.mktemp("package") / "root"
    debian._system_files(root, "0.1.0")
    debian._modes(root)
    debian._control(root, "0.1.0")
    return root


@pytest.mark.parametrize("name", PROGRAMS)
def test_each_program_has_unit_manual_and_completions(root: Path, name: str) -> None:
    assert (root / f"lib/systemd/system/{name}.service").read_text() == (
        ROOT / f"systemd/{name}.service"
    ).read_text()
    assert str((root / f"usr/bin/{name}").readlink()) == f"../lib/wasl/bin/{name}"
    assert gzip.decompress((root / f"usr/share/man/man1/{name}.1.gz").read_bytes()).startswith(b".TH")
    for place in manuals.COMPLETIONS.values():
        assert f"_{name.replace('-', '_').upper()}_COMPLETE" in (root / place.format(name)).read_text()


def test_the_package_says_what_it_is(root: Path) -> None:
    control = (root / "DEBIAN/control").read_text()
    assert "@" not in re.sub(r"<[^>]+>", "", control), "every mark is filled in"
    assert "\nVersion: 0.1.0\n" in control
    assert re.search(r"\nDepends: python3 \(>= 3\.\d+\), python3 \(<< 3\.\d+\), libc6", control)
    told = {line.split("  ")[1] for line in (root / "DEBIAN/md5sums").read_text().splitlines()}
    files = {
        str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and not path.is_symlink()
    }
    assert told == {name for name in files if not name.startswith("DEBIAN/")}


@pytest.mark.parametrize("script", ["postinst", "prerm", "postrm"])
def test_the_maintainer_s_scripts_are_sh(root: Path, script: str) -> None:
    path = root / "DEBIAN" / script
    assert path.stat().st_mode & 0o777 == 0o755
    assert subprocess.run(["sh", "-n", path], check=False).returncode == 0
    text = path.read_text()
    assert text.startswith("#!/bin/sh\nset -e\n")
    assert not re.search(r"rm -rf? /var/lib", text), "no package deletes keys or messages"


def test_users_and_homes_are_the_units(root: Path) -> None:
    users = (root / "usr/lib/sysusers.d/wasl.conf").read_text()
    homes = (root / "usr/lib/tmpfiles.d/wasl.conf").read_text()
    for unit in (ROOT / "systemd").glob("wasl-*.service"):
        user = re.findall(r"^User=(.+)$", unit.read_text(), re.MULTILINE)[0]
        assert re.search(rf"^u {user} +-", users, re.MULTILINE), unit.name
        assert re.search(rf"^d /var/lib/{user} +0700 {user} ", homes, re.MULTILINE), unit.name


def _every_command(group: click.Group, context: click.Context) -> list[str]:
    found: list[str] = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        inner = click.Context(command, info_name=name, parent=context)
        inside = isinstance(command, click.Group)
        found += _every_command(command, inner) if isinstance(command, click.Group) else []
        found += [] if inside else [inner.command_path]
    return found


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_manual_tells_every_command_and_reads_clean(name: str, tmp_path: Path) -> None:
    program = manuals.PROGRAMS[name]
    page = manuals.manual(name, program)
    for path in _every_command(program, click.Context(program, info_name=name)):
        assert f".SS {path}".replace("-", "\\-") in page
    if shutil.which("groff") is None:
        pytest.skip("groff is not installed: the page is not set")
    (tmp_path / "page").write_text(page, encoding="utf-8")
    done = subprocess.run(
        ["groff", "-k", "-man", "-ww", "-Tutf8", "-z", tmp_path / "page"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_reads_clean(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    script = tmp_path / "completion"
    script.write_text(manuals.completion("wasl-hub", manuals.PROGRAMS["wasl-hub"], shell))
    assert subprocess.run([shell, "-n", script], check=False).returncode == 0


def test_the_program_answers_its_completion() -> None:
    asked = {"_WASL_HUB_COMPLETE": "bash_complete", "COMP_WORDS": "wasl-hub inv", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-c", "from hub.cli import main; main(prog_name='wasl-hub')"],
        env=os.environ | asked,
        capture_output=True, text=True, check=True, cwd=ROOT,
    )  # fmt: skip
    assert done.stdout.split() == ["plain,invite"]


def test_wasl_s_own_wheel_holds_every_file_of_the_rooms(tmp_path: Path) -> None:
    """A template, a translation or a stylesheet that setup.py does not name is missing on servers only."""
    names = subprocess.run(
        ["git", "ls-files", *wheels.ROOMS], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    if not names:
        pytest.skip("this is no git repository: nothing says which files belong to the rooms")
    wheel = wheels.own_wheel(tmp_path)
    held = subprocess.run(
        [sys.executable, "-m", "zipfile", "-l", wheel], capture_output=True, text=True, check=True
    ).stdout
    listed = {line.split()[0] for line in held.splitlines()[1:]}
    assert sorted(name for name in names if name not in listed and (ROOT / name).exists()) == []


def test_the_pages_for_administrators_have_commands_for_every_machine() -> None:
    """``make trial`` runs these as they stand, wherever the package lies."""
    told = trial.blocks()
    later = trial.blocks(ROOT / trial.UPGRADE)
    assert {machine for machine, line in later if "apt-get install" in line} == set(machines.MACHINES)
    assert [line for _, line in (*told, *later) if "/root" in line] == []
    for unit in (ROOT / "systemd").glob("wasl-*.service"):
        assert any(f"enable --now {unit.stem}" in line for _, line in told), unit.name
    assert {machine for machine, _ in told} == set(machines.MACHINES)
    assert sum(" join CODE " in line for _, line in told) == 2


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_page_for_administrators_is_true() -> None:
    if not os.environ.get("WASL_TRIAL"):
        pytest.skip("it takes some minutes and root: WASL_TRIAL=1, or `make trial`")
    reason = machines.missing()
    if reason:
        pytest.skip(reason)
    assert subprocess.run([sys.executable, "-m", "release.trial"], cwd=ROOT, check=False).returncode == 0
