"""``doctor``: what is wrong with a home and what to do, one line a check, the daemon running or not.

A check returns a :class:`Finding`: ``ok``, ``warn`` (something will go wrong, or is not as it should be) or
``fail`` (the daemon does not start, or does not do its work). Whatever is not ok says what to do. A check
that raises is a finding itself, so one broken thing never hides the others. Nothing is changed by looking.

What both daemons have is here; ``hub.doctor`` and ``nodes.doctor`` add what is theirs.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

from sqlalchemy import Engine

from config.fields import HostPort, size_text
from runtime import migrations, transactions
from runtime.backup.making import read_report
from runtime.backup.source import STAGING
from runtime.cli import facts, plain
from runtime.home import LOCK_NAME, OTHERS_MASK, free_bytes

CONNECT_S: Final = 3.0
ANSWER_S: Final = 6.0
DAY_S: Final = 86_400.0
BACKUP_AGE_S: Final = 26 * 3_600.0
"""A nightly backup, and a bit."""
OLDEST_S: Final = DAY_S
LEFTOVER_S: Final = 3_600.0
EXPIRY_S: Final = 30 * DAY_S
LISTED: Final = 5
EXIT_WRONG: Final = 1


class Word(StrEnum):
    """How a check went."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found; ``remedy`` is empty if there is nothing to do."""

    check: str
    word: Word
    text: str
    remedy: str = ""


def ok(check: str, text: str) -> Finding:
    """Return that all is well."""
    return Finding(check, Word.OK, text)


def warn(check: str, text: str, remedy: str) -> Finding:
    """Return that something is not as it should be."""
    return Finding(check, Word.WARN, text, remedy)


def fail(check: str, text: str, remedy: str) -> Finding:
    """Return that something does not work."""
    return Finding(check, Word.FAIL, text, remedy)


def examine(checks: Iterable[tuple[str, Callable[[], Finding]]]) -> list[Finding]:
    """Run checks in order; one that raises is a failure with the error's own words."""
    findings = []
    for name, check in checks:
        try:
            findings.append(check())
        except Exception as error:  # noqa: BLE001 - a fault in one check is its finding, and hides no other
            findings.append(fail(name, str(error) or type(error).__name__, "mend this first"))
    return findings


def show(findings: list[Finding], *, as_json: bool) -> int:
    """Print findings; returns the exit code: 1 if anything failed."""
    worst = any(one.word is Word.FAIL for one in findings)
    value = {
        "ok": not worst,
        "checks": [
            {"check": one.check, "result": str(one.word), "text": one.text, "remedy": one.remedy}
            for one in findings
        ],
    }
    facts(value, as_json=as_json, text=lambda: _lines(findings))
    return EXIT_WRONG if worst else 0


def _lines(findings: list[Finding]) -> str:
    lines = []
    for one in findings:
        lines.append(f"{one.word.upper():<4}  {one.check:<12}  {plain(one.text)}")
        if one.remedy:
            lines.append(f"{'':<20}→ {plain(one.remedy)}")
    return "\n".join(lines)


# ── the home ───────────────────────────────────────────────────────────────────────────────


def running(home: Path) -> int | None:
    """Return the process id of the daemon on this home, 0 if it has not said it, None if there is none."""
    try:
        descriptor = os.open(home / LOCK_NAME, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        digits = os.pread(descriptor, 32, 0).strip()
        return int(digits) if digits.isdigit() else 0
    finally:
        os.close(descriptor)
    return None


def modes(home: Path) -> Finding:
    """Look whose the files are, and that nobody else may read them."""
    wrong = []
    for path in (home, *home.iterdir()):
        try:
            found = path.lstat()
        except FileNotFoundError:
            continue
        if found.st_uid != os.geteuid():
            wrong.append(f"{path.name} belongs to user {found.st_uid}")
        elif found.st_mode & OTHERS_MASK and not stat.S_ISLNK(found.st_mode):
            # Inside a home that nobody else can enter a file's own mode is a second door only.
            wrong.append(f"{path.name} has mode {stat.S_IMODE(found.st_mode):04o}")
    if wrong:
        remedy = f"chown -R {os.geteuid()} '{home}'; chmod -R go= '{home}'"
        return warn("files", ", ".join(wrong[:LISTED]), remedy)
    return ok("files", f"{home} and what is in it belong to this user alone")


def leftovers(home: Path, *places: Path) -> Finding:
    """Look for what crashes left behind."""
    before_s = time.time() - LEFTOVER_S
    found = []
    for place in {home, *places}:
        for pattern in (".*.tmp", f"{STAGING}*", ".*.part"):
            for path in place.glob(pattern):
                try:
                    if path.lstat().st_mtime < before_s:
                        found.append(str(path))
                except FileNotFoundError:
                    continue
    found += [str(path) for path in home.absolute().parent.glob(f".{home.name}.restoring-*")]
    found += [str(path) for path in home.absolute().parent.glob(".drill-*")]
    if found:
        return warn("leftovers", ", ".join(sorted(found)[:LISTED]), "left by a crash: remove them")
    return ok("leftovers", "none")


def backup_age(home: Path) -> Finding:
    """Look when the last good backup was made."""
    report = read_report(home)
    how = "backup create --key RECOVERY.pub --to FILE, every night (docs/backup.md)"
    if report is None:
        return warn("backup", "there was never one", how)
    age_s = time.time() - datetime.fromisoformat(report.finished).timestamp()
    text = f"{report.file}, {report.bytes} bytes, {lasting(age_s)} ago"
    return ok("backup", text) if age_s < BACKUP_AGE_S else warn("backup", text, how)


def disk_floor(floor_bytes: int, *places: Path) -> Finding:
    """Look whether there is room above the floor."""
    free, place = min((free_bytes(place), place) for place in places)
    text = f"{size_text(free)} free at {place}, the floor is {size_text(floor_bytes)}"
    if free < floor_bytes:
        return fail("disk", text, "new messages are refused: make room, or lower disk.floor")
    if free < 2 * floor_bytes:
        return warn("disk", text, "make room before the floor is reached")
    return ok("disk", text)


# ── the database ───────────────────────────────────────────────────────────────────────────


def schema(engine: Engine, package: str) -> Finding:
    """Look whether the schema is that of this program."""
    found, head = migrations.current(engine), migrations.head(package)
    if found == head:
        return ok("schema", f"{found}, as this program wants it")
    migrations.require_known(engine, package, found)
    return warn("schema", f"{found}, this program has {head}", "db upgrade --dry-run, then start the daemon")


def database(engine: Engine) -> Finding:
    """Look whether the database is whole (SQLite), and can be read."""
    if engine.dialect.name != "sqlite":
        transactions.read(engine, lambda c: c.exec_driver_sql("SELECT 1").scalar_one())
        return ok("database", f"{engine.url.render_as_string()} answers")
    word = transactions.read(engine, lambda c: c.exec_driver_sql("PRAGMA quick_check(1)").scalar_one())
    if word != "ok":
        return fail(
            "database", str(word), "stop, keep a copy of the file with its -wal, and restore a backup"
        )
    return ok("database", f"{engine.url.database} is whole")


# ── the network ────────────────────────────────────────────────────────────────────────────


def port(setting: str, address: HostPort, *, daemon: bool) -> Finding:
    """Look whether a port is free for the daemon, or answered by it if it runs."""
    if daemon:
        if _answers(address):
            return ok(setting, f"{address} is answered")
        return fail(
            setting, f"the daemon runs, and nobody answers at {address}", "look into its log; restart it"
        )
    try:
        with socket.socket(_family(address), socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address.host, address.port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            remedy = f"find who has it (ss -ltnp 'sport = :{address.port}'), or set another {setting}"
            return fail(setting, f"{address} is another process's, and our daemon does not run", remedy)
        return fail(setting, f"{address}: {error.strerror}", f"set {setting} to an address of this machine")
    return ok(setting, f"{address} is free; the daemon does not run")


def readiness(address: HostPort, *, daemon: bool) -> Finding:
    """Ask the running daemon whether it is ready."""
    if not daemon:
        return warn("daemon", "it does not run", "start it: run --home DIR, or systemctl start")
    host = "[::1]" if address.host == "::" else "127.0.0.1" if address.host == "0.0.0.0" else address.host  # noqa: S104 - compared, not bound
    try:
        with urllib.request.urlopen(f"http://{host}:{address.port}/readyz?verbose", timeout=ANSWER_S):
            return ok("daemon", "it runs, and is ready")
    except urllib.error.HTTPError as error:
        with error:
            said = " ".join(error.read(4_096).decode("utf-8", "replace").split())
        return fail("daemon", f"it runs, and is not ready: {said}", "mend what it names")
    except OSError as error:
        return fail(
            "daemon", f"it runs, and does not answer over http: {error}", "look into its log; restart it"
        )


def _answers(address: HostPort) -> bool:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host)  # noqa: S104 - compared, not bound
    try:
        with socket.create_connection((host, address.port), CONNECT_S):
            return True
    except OSError:
        return False


def _family(address: HostPort) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address.host else socket.AF_INET


# ── time ───────────────────────────────────────────────────────────────────────────────────


def expiry(check: str, what: str, not_after_ms: int, remedy: str) -> Finding:
    """Look how long a credential is still good."""
    left_s = not_after_ms / 1000 - time.time()
    if left_s <= 0:
        return fail(check, f"{what} expired {lasting(-left_s)} ago", remedy)
    text = f"{what} is good for {lasting(left_s)}"
    return ok(check, text) if left_s > EXPIRY_S else warn(check, text, remedy)


def lasting(seconds: float) -> str:
    """Return a length of time for people, rounded down: ``3 days``, ``5 hours``, ``40 s``."""
    for unit, unit_s in (("days", DAY_S), ("hours", 3_600.0), ("minutes", 60.0)):
        if seconds >= 2 * unit_s:
            return f"{int(seconds // unit_s)} {unit}"
    return f"{max(0, int(seconds))} s"


def oldest(check: str, text: str, age_s: float, remedy: str) -> Finding:
    """Look how long the oldest of a queue has waited."""
    return ok(check, text) if age_s < OLDEST_S else warn(check, text, remedy)
