"""``backup drill``: the whole way to a running daemon and back, while the real one works.

With a recovery key drawn for the occasion and forgotten after it: what is proved is that backups of this home
can be made, opened, restored and started, not that the real key is still to be had (``backup verify`` does).
The copy hears on loopback only, on ports of its own, and speaks with nobody.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

from crypto.keys import SealingPrivateKey
from runtime.backup.archive import BackupError, Manifest
from runtime.backup.making import create
from runtime.backup.opening import opened_backup, restore, verify
from runtime.backup.source import REPORT, Kept

START_S: Final = 120.0
STOP_S: Final = 20.0
POLL_S: Final = 0.2
LOOPBACK: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Step:
    """One step that was done."""

    name: str
    seconds: float


def drill(
    kept: Kept,
    *,
    floor_bytes: int,
    begin_again: Callable[[Path, Manifest], None],
    settings: Callable[[Path, int], None],
    room: str,
    asks: str,
) -> list[Step]:
    """Do it all; returns the steps with their times.

    ``settings`` writes those of the copy for a http port; ``room`` is the module to run; ``asks`` the path
    that answers 200 when the copy is well. Raises BackupError, StorageError, OSError naming the step's fault.
    """
    steps: list[Step] = []
    began_s = time.monotonic()

    def done(name: str) -> None:
        nonlocal began_s
        now_s = time.monotonic()
        steps.append(Step(name, now_s - began_s))
        began_s = now_s

    report = kept.home / REPORT
    earlier = report.read_bytes() if report.exists() else None
    place = Path(mkdtemp(prefix=".drill-", dir=kept.home.absolute().parent))
    try:
        key, file = SealingPrivateKey.generate(), place / "drill.wasl-backup"
        now_ms = time.time_ns() // 1_000_000
        try:
            create(kept, file, key.public, now_ms=now_ms, floor_bytes=floor_bytes)
        finally:
            _put_back(report, earlier)
        done("create")
        with opened_backup(file, key, made_by=kept.link.public.fingerprint()) as opened:
            verify(opened, place)
        done("verify")
        with opened_backup(file, key) as opened:
            restore(opened, kept.what, place / "home", begin_again)
        done("restore")
        _start(place / "home", settings, room, asks)
        done("start")
    finally:
        shutil.rmtree(place, ignore_errors=True)
    done("remove")
    return steps


def _put_back(report: Path, earlier: bytes | None) -> None:
    """Undo the report: a drill's backup is removed, it must not pass for the last good one."""
    if earlier is None:
        report.unlink(missing_ok=True)
    else:
        report.write_bytes(earlier)


def free_port() -> int:
    """Return a port that nobody listens at, now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _start(home: Path, settings: Callable[[Path, int], None], room: str, asks: str) -> None:
    port = free_port()
    settings(home, port)
    log = home / "drill.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-m", room, "run", "--home", str(home)],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            env={name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"},
        )
    try:
        _wait_well(process, f"http://{LOOPBACK}:{port}{asks}", log)
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_well(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline_s = time.monotonic() + START_S
    while time.monotonic() < deadline_s and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - http on loopback
                if answer.status == 200:  # noqa: PLR2004 - OK
                    return
        except (urllib.error.URLError, OSError):
            pass
        time.sleep(POLL_S)
    end = log.read_text("utf-8", "replace")[-800:]
    raise BackupError(f"the restored copy did not become ready within {START_S:.0f} s; its log ends: {end}")
