"""The wheels that an installation is made of: Wasl's own, and the locked ones, each checked by its hash."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
DIST: Final = ROOT / "dist"
LOCK: Final = ROOT / "requirements.lock"
ROOMS: Final = ("hub", "nodes", "runtime", "protocols", "crypto", "config")
SOURCES: Final = (*ROOMS, "setup.py", "pyproject.toml", "README.md")
PLATFORMS: Final = ("manylinux2014", "manylinux_2_17", "manylinux_2_28", "manylinux_2_34")
"""What Debian 12 and Ubuntu 24.04 can run."""


class ReleaseError(Exception):
    """Something cannot be built; the text says what is missing."""


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """Run a command to its end and return its stdout; ReleaseError with what it said if it fails."""
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, cwd=cwd
    )
    if done.returncode:
        raise ReleaseError(
            f"{Path(command[0]).name} {' '.join(map(str, command[1:4]))}: {done.stderr[-2000:]}"
        )
    return done.stdout


def own_wheel(into: Path) -> Path:
    """Build Wasl's wheel from the files as they are now; from a copy, so that no old build leaks in."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "wasl"
        copy.mkdir()
        for name in SOURCES:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, copy / name)
        pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input")
        run(*pip, "wheel", "--quiet", "--no-build-isolation", "--no-deps", "-w", into, copy)
    return next(into.glob("wasl-*.whl"))


def wheelhouse(into: Path, python_version: str) -> None:
    """Fetch the locked wheels for one Python ("3.11") on this architecture; those that are there stay.

    ReleaseError if the index cannot be reached, or gives anything else than what was locked.
    """
    into.mkdir(parents=True, exist_ok=True)
    architecture = run("uname", "-m").strip()
    platforms = [f"--platform={name}_{architecture}" for name in PLATFORMS]
    run(
        sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "download", "--quiet",
        "--require-hashes", "--no-deps", "--only-binary=:all:", f"--python-version={python_version}",
        *platforms, f"--dest={into}", "-r", LOCK,
    )  # fmt: skip


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def locked_with(own: Path, version: str) -> str:
    """Return the lock with Wasl's own wheel in it: what ``pip install --require-hashes`` takes."""
    return f"{LOCK.read_text(encoding='utf-8')}wasl=={version} --hash=sha256:{sha256(own)}\n"
