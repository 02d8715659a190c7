"""One daemon as a real process: started, armed with a crash point, killed, stopped, asked by command line.

The process is ``python -m hub run`` or ``python -m nodes run``; its stderr goes to a log file that outlives
it. :meth:`Daemon.start` returns when the daemon said ``ready``, or without waiting if asked so.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.crash import VARIABLE
from tests.integration.waiting import wait_until

PROJECT = Path(__file__).parents[2]
READY = b'"event": "ready"'
START_S = 90.0
STOP_S = 20.0


@dataclass(frozen=True, slots=True)
class Ran:
    """A finished command."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Return stdout, which must be one JSON value."""
        return json.loads(self.out)


def command(room: str, *arguments: str | Path, crash_at: str | None = None, timeout_s: float = 60.0) -> Ran:
    """Run ``wasl-hub`` (room ``hub``) or ``wasl-node`` (room ``nodes``) to its end."""
    done = subprocess.run(
        [sys.executable, "-m", room, *map(str, arguments)],
        capture_output=True,
        env=environment(crash_at),
        cwd=PROJECT,
        timeout=timeout_s,
        check=False,
    )
    return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())


def environment(crash_at: str | None = None) -> dict[str, str]:
    """Return our environment, with the crash point armed or none."""
    wanted = {name: value for name, value in os.environ.items() if name != VARIABLE}
    wanted["PYTHONPATH"] = str(PROJECT)
    if crash_at is not None:
        wanted[VARIABLE] = crash_at
    return wanted


class Daemon:
    """The daemon of one home; ``room`` is ``hub`` or ``nodes``."""

    def __init__(self, room: str, home: Path, database: str, http_port: int) -> None:
        self.room = room
        self.home = home
        self.http_port = http_port
        self.log = home.with_name(home.name + ".log")
        self.peak_rss_kib = 0
        self._database = database
        self._process: subprocess.Popen[bytes] | None = None
        self._log_from = 0

    # ── its life ───────────────────────────────────────────────────────────────────────

    def start(
        self, crash_at: str | None = None, *, wait: bool = True, more: Mapping[str, str] | None = None
    ) -> None:
        """Start it; with ``crash_at`` it kills itself there. ``more`` is added to its environment."""
        assert not self.running, f"{self.home.name} runs already"
        with self.log.open("ab") as log:
            self._log_from = log.tell()
            self._process = subprocess.Popen(
                [sys.executable, "-m", self.room, "run", "--home", str(self.home)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment(crash_at) | dict(more or {}),
                cwd=PROJECT,
            )
        if wait:
            self.wait_ready()

    def wait_ready(self) -> None:
        """Wait until it says that it is ready, or (armed) until it is dead."""
        wait_until(f"{self.home.name} is ready", lambda: READY in self.said() or not self.running, START_S)
        assert READY in self.said() or self.exit_code == -signal.SIGKILL, self.said().decode()

    def kill(self) -> None:
        """SIGKILL, now; the process is gone when this returns."""
        if self._process is not None:
            self._note_rss()
            self._process.kill()
            self._process.wait()

    def stop(self) -> int:
        """SIGTERM, and wait for the end; returns the exit code."""
        assert self._process is not None
        self._note_rss()
        self._process.terminate()
        return self._process.wait(STOP_S)

    def restart(self, crash_at: str | None = None) -> None:
        """Stop it in good order if it runs, and start it again."""
        if self.running:
            self.stop()
        self.start(crash_at)

    def wait_dead(self, timeout_s: float = 60.0) -> int:
        """Wait for its end; returns the exit code (negative: the signal)."""
        assert self._process is not None
        return self._process.wait(timeout_s)

    def send_signal(self, number: int) -> None:
        """Send a signal (SIGSTOP and SIGCONT freeze and thaw it)."""
        assert self._process is not None
        self._process.send_signal(number)

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """Return how the process ended; None while it lives."""
        return None if self._process is None else self._process.poll()

    def said(self) -> bytes:
        """Return what it logged since its last start."""
        if not self.log.exists():
            return b""
        with self.log.open("rb") as log:
            log.seek(self._log_from)
            return log.read()

    def _note_rss(self) -> None:
        assert self._process is not None
        self.peak_rss_kib = max(self.peak_rss_kib, self.rss_peak_kib())

    def rss_peak_kib(self) -> int:
        """Return the most memory that the present process ever had resident (VmHWM), 0 if it is gone."""
        assert self._process is not None
        try:
            status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
        except OSError:
            return 0
        return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")), 0)

    # ── what it knows ──────────────────────────────────────────────────────────────────

    def run(self, name: str, *arguments: str | Path, timeout_s: float = 60.0) -> Ran:
        """Run one of its commands on its home."""
        return command(self.room, name, *arguments, "--home", self.home, timeout_s=timeout_s)

    def ask(self, name: str, *arguments: str | Path) -> Any:
        """Run a command with ``--json`` that must succeed; returns what it printed."""
        ran = self.run(name, *arguments, "--json")
        assert ran.code == 0, ran
        return ran.json()

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Return the rows of a query on its SQLite database, past all of the project's own code."""
        with closing(sqlite3.connect(self.home / self._database, timeout=10)) as connection:
            connection.execute("PRAGMA query_only=1")
            return connection.execute(sql, values).fetchall()

    def change(self, sql: str, *values: object) -> int:
        """Change its SQLite database behind its back; returns how many rows. It should not be running."""
        with closing(sqlite3.connect(self.home / self._database, timeout=10)) as connection, connection:
            return connection.execute(sql, values).rowcount

    def get(self, path: str) -> tuple[int, str]:
        """GET from its http port; (0, "") if nothing answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""
