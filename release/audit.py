"""Known holes in the locked packages, asked of the Python Package Index or of OSV by pip-audit.

Exit codes: 0 every package was looked at and none is known to be bad; 1 one is (each named with the
version that mends it); 3 nobody could be asked, or not about all: that is said, and is no clean bill.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from release.wheels import LOCK

SERVICES: Final = ("pypi", "osv")
EXIT_BAD: Final = 1
EXIT_UNKNOWN: Final = 3
TIMEOUT_S: Final = 300


@dataclass(frozen=True, slots=True)
class Found:
    """What a service answered: advisories as lines, and the packages that it could say nothing about."""

    holes: tuple[str, ...]
    unknown: tuple[str, ...]
    known: int


def judge(answer: Mapping[str, Any]) -> Found:
    """Read pip-audit's JSON."""
    holes, unknown, known = [], [], 0
    for package in answer["dependencies"]:
        if "skip_reason" in package:
            unknown.append(str(package["name"]))
            continue
        known += 1
        for hole in package["vulns"]:
            mended = ", ".join(hole["fix_versions"]) or "no version yet"
            holes.append(f"{package['name']} {package['version']}: {hole['id']}, mended in {mended}")
    return Found(tuple(holes), tuple(unknown), known)


def ask(service: str) -> Found | str:
    """Ask one service about the lock; returns why not if it cannot be asked."""
    program = Path(sys.executable).with_name("pip-audit")
    if not program.exists():
        return "pip-audit is not installed: `make audit` installs it"
    command = [str(program), "-r", str(LOCK), "--require-hashes", "--disable-pip", "--progress-spinner=off"]
    try:
        done = subprocess.run(
            [*command, f"--vulnerability-service={service}", "--format=json"],
            capture_output=True, text=True, check=False, timeout=TIMEOUT_S,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"no answer in {TIMEOUT_S} s"
    try:
        answer: dict[str, Any] = msgspec.json.decode(done.stdout)
        return judge(answer)
    except (msgspec.DecodeError, KeyError, TypeError):
        return (done.stderr.strip().splitlines() or ["no answer"])[-1][:200]


def main(services: Sequence[str] = SERVICES) -> int:
    """Ask until one service knows every package."""
    best: Found | None = None
    for service in services:
        found = ask(service)
        if isinstance(found, str):
            sys.stderr.write(f"{service}: not asked: {found}\n")
            continue
        if best is None or found.known > best.known:
            best = found
        if not found.unknown:
            break
    if best is None or not best.known:
        sys.stderr.write("skipped: no advisory service is reachable from here, so nothing is known\n")
        return EXIT_UNKNOWN
    sys.stdout.writelines(f"{hole}\n" for hole in best.holes)
    sys.stdout.write(f"{best.known} packages looked up, {len(best.holes)} known holes\n")
    if best.unknown:
        sys.stderr.write(f"not looked up: {', '.join(best.unknown)}\n")
    return EXIT_BAD if best.holes else EXIT_UNKNOWN if best.unknown else 0


if __name__ == "__main__":
    sys.exit(main())
