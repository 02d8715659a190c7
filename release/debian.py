"""The Debian package: a virtual environment of locked wheels, units, manual pages, completions.

It is made with dpkg-deb alone: nothing is compiled, so there is nothing for a build system to do. The
virtual environment belongs to the Python of the machine that builds (Debian 12: 3.11, Ubuntu 24.04: 3.12),
which the package then asks for; build on the release that it is for.

The package makes the two users and their homes' directories, and starts nothing: a hub needs ``init`` and a
node ``join`` first (``docs/install.md``). An upgrade restarts what runs. Removing it stops the daemons;
homes with keys and messages stay, even when it is purged.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from release import manuals
from release.wheels import DIST, ROOT, ReleaseError, locked_with, own_wheel, run, wheelhouse
from runtime.version import VERSION

PARTS: Final = Path(__file__).parent / "debian"
SYSTEM_PYTHON: Final = "/usr/bin/python3"
LIBRARY: Final = "usr/lib/wasl"
PROGRAMS: Final = tuple(manuals.PROGRAMS)
DOCUMENTS: Final = ("README.md", "ARCHITECTURE.md")
CONTROL: Final = ("control", "postinst", "prerm", "postrm")
EXECUTABLE: Final = 0o755
PLAIN: Final = 0o644


def build(into: Path = DIST, version: str = VERSION) -> Path:
    """Build the package into ``into`` and return its path; ReleaseError says what is missing."""
    if shutil.which("dpkg-deb") is None:
        raise ReleaseError("dpkg-deb is missing: a Debian package is built on Debian or Ubuntu")
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "root"
        _environment(root / LIBRARY, Path(scratch))
        _system_files(root, version)
        _modes(root)
        _control(root, version)
        architecture = run("dpkg", "--print-architecture").strip()
        package = into / f"wasl_{version}_{architecture}.deb"
        run("dpkg-deb", "--root-owner-group", "-Zxz", "-z3", "--build", root, package)
    return package


def python_version() -> str:
    """Return the version of Debian's own Python: "3.11"."""
    return run(SYSTEM_PYTHON, "-c", "import sys; print('%d.%d' % sys.version_info[:2])").strip()


def _environment(place: Path, scratch: Path) -> None:
    """Make the virtual environment; it is told afterwards that it stands at ``/usr/lib/wasl``."""
    wheels = DIST / "wheelhouse" / python_version()
    wheelhouse(wheels, python_version())
    own = own_wheel(scratch)
    (scratch / "locked.txt").write_text(locked_with(own, VERSION), encoding="utf-8")
    run(SYSTEM_PYTHON, "-m", "venv", "--without-pip", place)
    run(
        sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input",
        "--python", place / "bin" / "python3",
        "install", "--quiet", "--no-index", "--no-compile", "--no-deps", "--require-hashes",
        "--find-links", wheels, "--find-links", scratch, "-r", scratch / "locked.txt",
    )  # fmt: skip
    for path in (place / "bin").iterdir():
        if path.name in PROGRAMS:
            text = path.read_text(encoding="utf-8")
            path.write_text(re.sub(r"\A#!.*", f"#!/{LIBRARY}/bin/python3", text), encoding="utf-8")
        elif not path.name.startswith("python"):
            path.unlink()
    configuration = place / "pyvenv.cfg"
    kept = [line for line in configuration.read_text().splitlines() if not line.startswith("command")]
    configuration.write_text("\n".join(kept) + "\n")
    site = place / f"lib/python{python_version()}/site-packages"
    for name in ("setuptools", "_distutils_hack", "pkg_resources", "distutils-precedence.pth"):
        _remove(site / name)  # it built the wheels; nothing runs on it
    for path in (*site.glob("setuptools-*.dist-info"), *site.glob("**/newsfragments")):
        _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _system_files(root: Path, version: str) -> None:
    manuals.write_all(root)
    for page in (root / "usr/share/man/man1").iterdir():
        _compress(page)
    units = root / "lib/systemd/system"
    units.mkdir(parents=True)
    for unit in (ROOT / "systemd").glob("*.service"):
        shutil.copy(unit, units)
    (root / "usr/bin").mkdir()
    for name in PROGRAMS:
        (root / "usr/bin" / name).symlink_to(f"../lib/wasl/bin/{name}")
    _copy(PARTS / "sysusers", root / "usr/lib/sysusers.d/wasl.conf")
    _copy(PARTS / "tmpfiles", root / "usr/lib/tmpfiles.d/wasl.conf")
    _copy(PARTS / "overrides", root / "usr/share/lintian/overrides/wasl")
    _copy(PARTS / "etc-readme", root / "etc/wasl/README")
    documents = root / "usr/share/doc/wasl"
    documents.mkdir(parents=True)
    for page in (*(ROOT / "docs").glob("*.md"), *(ROOT / name for name in DOCUMENTS)):
        shutil.copy(page, documents)
    shutil.copy(ROOT / "requirements.lock", documents)
    shutil.copy(ROOT / "CHANGELOG.md", documents)
    shutil.copy(PARTS / "copyright", documents)
    changes = (PARTS / "changelog").read_text(encoding="utf-8")
    (documents / "changelog").write_text(_filled(changes, {"@VERSION@": version} | _maintainer()))
    _compress(documents / "changelog")


def _filled(text: str, known: Mapping[str, str]) -> str:
    for mark, value in known.items():
        text = text.replace(mark, value)
    return text


def _maintainer() -> dict[str, str]:
    """Who answers for the package: whoever builds it, named as Debian's own tools ask for."""
    name = os.environ.get("DEBFULLNAME", "Wasl")
    return {"@MAINTAINER@": f"{name} <{os.environ.get('DEBEMAIL', 'wasl@localhost.localdomain')}>"}


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)


def _compress(path: Path) -> None:
    path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
    path.unlink()


def _modes(root: Path) -> None:
    """Give every file the mode that the package promises, whatever the builder's umask is."""
    for directory, names, files in os.walk(root):
        for name in names:
            if not (Path(directory) / name).is_symlink():
                (Path(directory) / name).chmod(EXECUTABLE)
        for name in files:
            path = Path(directory) / name
            if not path.is_symlink():
                path.chmod(EXECUTABLE if path.parent == root / LIBRARY / "bin" else PLAIN)
    root.chmod(EXECUTABLE)


def _control(root: Path, version: str) -> None:
    control = root / "DEBIAN"
    size_kib = sum(path.lstat().st_size for path in root.rglob("*") if path.is_file()) // 1024
    sums = [
        f"{hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()}  {path.relative_to(root)}"
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.is_symlink()
    ]
    control.mkdir()
    python = python_version()
    major, minor = python.split(".")
    known = {
        "@VERSION@": version,
        "@ARCHITECTURE@": run("dpkg", "--print-architecture").strip(),
        "@SIZE@": str(size_kib),
        "@PYTHON@": f"python3 (>= {python}), python3 (<< {major}.{int(minor) + 1})",
    } | _maintainer()
    for name in CONTROL:
        text = _filled((PARTS / name).read_text(encoding="utf-8"), known)
        (control / name).write_text(text, encoding="utf-8")
        (control / name).chmod(PLAIN if name == "control" else EXECUTABLE)
    (control / "conffiles").write_text("/etc/wasl/README\n")
    (control / "md5sums").write_text("\n".join(sums) + "\n", encoding="utf-8")
    control.chmod(EXECUTABLE)
    for plain in (control / "conffiles", control / "md5sums"):
        plain.chmod(PLAIN)


def main() -> int:
    """Build the package and name it."""
    parser = argparse.ArgumentParser(prog="python -m release.debian", description="Build the Debian package.")
    parser.add_argument("--version", default=VERSION, help="the package's version (default: Wasl's own)")
    parser.add_argument("--into", type=Path, default=DIST)
    asked = parser.parse_args()
    try:
        sys.stdout.write(f"{build(asked.into, asked.version)}\n")
    except (ReleaseError, subprocess.SubprocessError, OSError) as error:
        sys.stderr.write(f"no package: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
