"""Foreign programs in a comparison: servers and commands, with the CPU and the memory of all their processes.

CPU is what the kernel charges to a process and to the children that it has waited for. Memory is the highest
sum of resident memory that a :class:`MemoryWatch` has seen over whole process trees.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

READY_S = 60.0
STOP_S = 30.0
WATCH_EVERY_S = 0.05


class Skipped(Exception):  # noqa: N818 - past tense states the outcome
    """A comparison that cannot be made here; the text says what to install."""


def need(program: str, install: str) -> str:
    """Return the path of a program, looked for where administrators' programs lie as well."""
    places = os.environ.get("PATH", os.defpath) + os.pathsep + "/usr/sbin:/sbin"
    found = shutil.which(program, path=places)
    if found is None:
        raise Skipped(f"{program} is not installed: {install}")
    return found


@dataclass(frozen=True, slots=True)
class Done:
    """One command that has ended: seconds by the clock, and of CPU in all its processes."""

    seconds: float
    cpu_s: float


class Command:
    """One command that runs to its end."""

    def __init__(self, arguments: Sequence[str | Path], *, env: Mapping[str, str] | None = None) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self._arguments = [str(one) for one in arguments]
        self._began_s = time.perf_counter()
        environment = None if env is None else {**os.environ, **env}
        self._process = subprocess.Popen(
            self._arguments, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log, env=environment
        )
        self.pid = self._process.pid

    def wait(self) -> Done:
        """Wait for its end; ends the benchmark if it failed."""
        _, status, usage = os.wait4(self.pid, 0)
        seconds = time.perf_counter() - self._began_s
        self._process.returncode = os.waitstatus_to_exitcode(status)
        if self._process.returncode:
            self._log.seek(0)
            said = self._log.read().decode(errors="replace")
            raise SystemExit(f"{' '.join(self._arguments)} failed:\n{said}")
        return Done(seconds, usage.ru_utime + usage.ru_stime)


class Server:
    """A program that serves until it is stopped."""

    def __init__(
        self,
        arguments: Sequence[str | Path],
        port: int,
        *,
        env: Mapping[str, str] | None = None,
        core: int | None = None,
        folder: Path | None = None,
    ) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        command = [str(one) for one in arguments]
        if core is not None:
            command = ["taskset", "--cpu-list", str(core), *command]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            env=None if env is None else {**os.environ, **env},
            cwd=folder,
            start_new_session=True,
        )
        self.pid = self._process.pid
        self._await(port)

    @classmethod
    @contextmanager
    def running(
        cls,
        arguments: Sequence[str | Path],
        port: int,
        *,
        env: Mapping[str, str] | None = None,
        core: int | None = None,
        folder: Path | None = None,
    ) -> Iterator[Self]:
        """Run it until the end of the block."""
        server = cls(arguments, port, env=env, core=core, folder=folder)
        try:
            yield server
        finally:
            server.stop()

    def _await(self, port: int) -> None:
        deadline_s = time.monotonic() + READY_S
        while True:
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=1):
                    return
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline_s:
                    said = self.said()
                    self.stop()
                    raise SystemExit(f"{self._process.args!r} did not start:\n{said}") from None
                time.sleep(0.05)

    def said(self) -> str:
        """Return what it has printed."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace")

    @property
    def cpu_s(self) -> float:
        """Seconds of CPU of its processes: those that live, and those that were waited for."""
        return sum(_cpu_s(pid) for pid in tree(self.pid))

    @property
    def resident_kib(self) -> int:
        """Memory of its processes that is in RAM now."""
        return sum(_resident_kib(pid) for pid in tree(self.pid))

    def stop(self) -> None:
        """Stop all of its processes."""
        left = tree(self.pid)
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pid in left[1:]:
            with suppress(ProcessLookupError):
                if os.getsid(pid) == self.pid:  # still ours: its number was not given to another one
                    os.kill(pid, 9)


def tree(pid: int) -> list[int]:
    """Return a process and all that it started, as far as they live."""
    found, at = [pid], 0
    while at < len(found):
        with suppress(OSError):
            for task in Path(f"/proc/{found[at]}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
        at += 1
    return found


def _cpu_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def _resident_kib(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmRSS")), 0)


class MemoryWatch:
    """Looks again and again how much memory some process trees have; keeps the highest sum."""

    def __init__(self, pids: Sequence[int]) -> None:
        self._roots = list(pids)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.peak_kib = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def also(self, pid: int) -> None:
        """Watch one more process and what it starts."""
        self._roots.append(pid)

    def _look(self) -> None:
        while not self._over.wait(WATCH_EVERY_S):
            everyone = {pid for root in list(self._roots) for pid in tree(root)}
            self.peak_kib = max(self.peak_kib, sum(_resident_kib(pid) for pid in everyone))
