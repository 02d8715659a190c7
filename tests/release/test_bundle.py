"""The offline bundle installs from itself alone, and refuses to when it was damaged."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from release import bundle, manuals, wheels
from release.wheels import ReleaseError

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a bundle for this Python, unpacked."""
    place = tmp_path_factory.mktemp("bundle")
    try:
        tar = bundle.build(place, (PYTHON,))
    except ReleaseError as error:
        pytest.skip(f"the locked wheels cannot be fetched here: {str(error)[-150:]}")
    with tarfile.open(tar) as opened:
        opened.extractall(place, filter="data")
    return place / tar.stem


def install(unpacked: Path, prefix: Path) -> subprocess.CompletedProcess[str]:
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_CONFIG_FILE": os.devnull, "PYTHONPATH": ""}
    return subprocess.run(
        [unpacked / "install.sh", "--prefix", prefix],
        env=os.environ | nowhere | {"PYTHON": sys.executable},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_it_installs_from_itself_alone(unpacked: Path, tmp_path: Path) -> None:
    done = install(unpacked, tmp_path / "wasl")
    assert done.returncode == 0, done.stderr
    nowhere = os.environ | {"PYTHONPATH": ""}
    for program in manuals.PROGRAMS:
        ran = subprocess.run(
            [tmp_path / "wasl/bin" / program, "--version"],
            capture_output=True, text=True, check=True, env=nowhere, cwd=tmp_path,
        )  # fmt: skip
        assert ran.stdout.startswith(program)
    made = subprocess.run(
        [tmp_path / "wasl/bin/wasl-hub", "init", "--home", tmp_path / "hub"],
        capture_output=True, text=True, check=False, env=nowhere, cwd=tmp_path,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr


@pytest.mark.parametrize("place", ["release/offline/install.sh", "docs/install.md"])
def test_every_program_is_put_where_its_unit_looks_for_it(place: str) -> None:
    linked = [
        line for line in (wheels.ROOT / place).read_text().splitlines() if line.strip().startswith("ln ")
    ]
    assert len(linked) == 1
    assert sorted(re.findall(r"/bin/(wasl-\w+)", linked[0])) == sorted(manuals.PROGRAMS)


def test_a_damaged_bundle_is_refused(unpacked: Path, tmp_path: Path) -> None:
    wheel = next((unpacked / "wheels").glob("click-*.whl"))
    whole = wheel.read_bytes()
    wheel.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    try:
        done = install(unpacked, tmp_path / "wasl")
    finally:
        wheel.write_bytes(whole)
    assert done.returncode == 1
    assert "damaged" in done.stderr
    assert not (tmp_path / "wasl").exists()


def test_it_can_be_checked_by_sums(unpacked: Path) -> None:
    named = {line.split("  ")[1] for line in (unpacked / "SHA256SUMS").read_text().splitlines()}
    files = {str(path.relative_to(unpacked)) for path in unpacked.rglob("*") if path.is_file()}
    assert named == files - {"SHA256SUMS"}
