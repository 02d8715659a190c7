"""The offline bundle: one tar for machines that reach no package index, such as those of an intranet.

    wasl-VERSION-offline-ARCHITECTURE/
        install.sh          makes /opt/wasl and puts the commands into /usr/local/bin; see ``release/offline``
        requirements.lock   every package with the hashes of its files, Wasl's own wheel among them
        wheels/             the files, for each Python that the bundle was made for
        systemd/ sysusers/  units, users
        docs/               what stands in the repository
        SHA256SUMS          of everything else

``install.sh`` takes nothing but what is in the bundle (``pip install --no-index --require-hashes``), and
refuses a bundle that was damaged on the way. Whether the bundle is the right one, only its own SHA-256 can
say: it is printed when it is made, and travels another way.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Final

from release.wheels import DIST, ROOT, ReleaseError, locked_with, own_wheel, run, sha256, wheelhouse
from runtime.version import VERSION

PARTS: Final = Path(__file__).parent / "offline"
PYTHONS: Final = ("3.11", "3.12", "3.13")
"""Debian 12, Ubuntu 24.04, Debian 13."""


def build(into: Path = DIST, pythons: tuple[str, ...] = PYTHONS) -> Path:
    """Build the bundle into ``into`` and return its path; ReleaseError if the index is out of reach."""
    into.mkdir(parents=True, exist_ok=True)
    name = f"wasl-{VERSION}-offline-{run('uname', '-m').strip()}"
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / name
        wheels = root / "wheels"
        wheels.mkdir(parents=True)
        for python in pythons:
            kept = DIST / "wheelhouse" / python
            wheelhouse(kept, python)
            for wheel in kept.iterdir():
                shutil.copy(wheel, wheels)
        own = own_wheel(wheels)
        (root / "requirements.lock").write_text(locked_with(own, VERSION), encoding="utf-8")
        shutil.copytree(ROOT / "docs", root / "docs")
        shutil.copytree(ROOT / "systemd", root / "systemd")
        for page in ("README.md", "ARCHITECTURE.md", "CHANGELOG.md"):
            shutil.copy(ROOT / page, root)
        shutil.copy(PARTS / "install.sh", root)
        (root / "install.sh").chmod(0o755)
        for kind in ("sysusers", "tmpfiles"):
            shutil.copy(PARTS.parent / "debian" / kind, root / f"wasl.{kind}.conf")
        files = sorted(path for path in root.rglob("*") if path.is_file())
        sums = [f"{sha256(path)}  {path.relative_to(root)}\n" for path in files]
        (root / "SHA256SUMS").write_text("".join(sums), encoding="utf-8")
        bundle = into / f"{name}.tar"
        with tarfile.open(bundle, "w") as tar:
            tar.add(root, name, filter=_anonymous)
    return bundle


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
    return member


def main() -> int:
    """Build the bundle; print its path and its SHA-256."""
    parser = argparse.ArgumentParser(prog="python -m release.bundle", description="Build the offline bundle.")
    parser.add_argument("--python", action="append", help="for this Python only, such as 3.11; may repeat")
    parser.add_argument("--into", type=Path, default=DIST)
    asked = parser.parse_args()
    try:
        bundle = build(asked.into, tuple(asked.python or PYTHONS))
    except (ReleaseError, OSError) as error:
        sys.stderr.write(f"no bundle: {error}\n")
        return 1
    sys.stdout.write(f"{bundle}\n{sha256(bundle)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
