"""Daemons that start in a tenth of a second: forked from a process that has imported everything already.

Starting Python and importing takes longer than everything else in a round of faults, so each daemon has a
nursery: ``python -m tests.faults.nursery ROOM`` imports what the daemon of that room imports (the reactor and
its descriptors excepted), then forks a child for every line on stdin and runs ``python -m ROOM run`` in it.
The child is the same program with the same signals; whoever started the nursery reads of its end on stdout.
With a second argument, that function of :mod:`tests.faults.sabotage` breaks the code first.
"""

from __future__ import annotations

import importlib
import json
import os
import queue
import random
import runpy
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.faults import sabotage
from tests.integration.daemons import PROJECT, Daemon, environment

_IMPORTS: Final = {
    "hub": ("hub.daemon", "hub.cli.commands"),
    "nodes": ("nodes.daemon", "nodes.doors", "nodes.cli.commands", "nodes.gateways.api.local"),
}
_END_S: Final = 60.0


class Child:
    """One daemon of a nursery; looks like ``subprocess.Popen`` as far as :class:`Daemon` needs it."""

    def __init__(self, nursery: Nursery, pid: int) -> None:
        self.pid = pid
        self._nursery = nursery

    def poll(self) -> int | None:
        """Return how it ended, None while it lives."""
        return self._nursery.ended.get(self.pid)

    def wait(self, timeout_s: float | None = None) -> int:
        """Wait for the end; subprocess.TimeoutExpired after ``timeout_s``."""
        with self._nursery.news:
            if not self._nursery.news.wait_for(lambda: self.pid in self._nursery.ended, timeout_s or _END_S):
                raise subprocess.TimeoutExpired("daemon", timeout_s or _END_S)
        return self._nursery.ended[self.pid]

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)


class Nursery:
    """The process that forks; ``more`` is added to its environment, which its children inherit."""

    def __init__(self, room: str, more: Mapping[str, str], broken: str = "") -> None:
        self.ended: dict[int, int] = {}
        self.news = threading.Condition()
        self._born: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.nursery", room, broken],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment() | dict(more),
            cwd=PROJECT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def fork(self, home: Path, log: Path) -> Child:
        """Start a daemon on ``home``; its stdout and stderr are added to ``log``."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([str(home), str(log)]) + "\n")
        self._process.stdin.flush()
        return Child(self, self._born.get(timeout=_END_S))

    def close(self) -> None:
        """End the nursery; its children are ended before."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(_END_S)
        self._reader.join(_END_S)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            kind, pid, code = line.split()
            if kind == "born":
                self._born.put(int(pid))
            else:
                with self.news:
                    self.ended[int(pid)] = int(code)
                    self.news.notify_all()


class Forked(Daemon):
    """A daemon (``like`` this one) that comes out of a nursery."""

    def __init__(self, like: Daemon, nursery: Nursery) -> None:
        super().__init__(like.room, like.home, like._database, like.http_port)
        self._nursery = nursery

    def start(
        self, crash_at: str | None = None, *, wait: bool = True, more: Mapping[str, str] | None = None
    ) -> None:
        """Start it; there are no crash points and no environment of its own here."""
        assert crash_at is None
        assert more is None
        assert not self.running, f"{self.home.name} runs already"
        self._log_from = self.log.stat().st_size if self.log.exists() else 0
        self._process = self._nursery.fork(self.home, self.log)  # type: ignore[assignment]  # see Child
        if wait:
            self.wait_ready()


def _fork(room: str, home: str, log: str) -> int:
    pid = os.fork()
    if pid:
        return pid
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, descriptor in enumerate((nothing, output, output)):
        os.dup2(descriptor, number)
    os.closerange(3, 64)
    random.seed()
    sys.argv = [room, "run", "--home", home]
    runpy.run_module(room, run_name="__main__", alter_sys=True)
    raise SystemExit(0)


def main(room: str, broken: str) -> None:
    """Fork until stdin ends."""
    for name in _IMPORTS[room]:
        importlib.import_module(name)
    assert "twisted.internet.reactor" not in sys.modules, "a reactor cannot be shared by forks"
    if broken:
        getattr(sabotage, broken)()
    say = threading.Lock()

    def tell(*words: object) -> None:
        with say:
            print(*words, flush=True)

    def wait(pid: int) -> None:
        tell("ended", pid, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

    for line in sys.stdin:
        with say:  # not while another thread is writing: the child would inherit its lock and its buffer
            pid = _fork(room, *json.loads(line))
        tell("born", pid, 0)
        threading.Thread(target=wait, args=(pid,), daemon=True).start()


if __name__ == "__main__":
    main(*sys.argv[1:])
