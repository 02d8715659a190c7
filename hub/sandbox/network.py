"""The sandbox's daemons: made by the commands that people type, in a directory that goes away with them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

from hub.sandbox.between import Between
from hub.sandbox.faults import Faults
from runtime.home import free_bytes

HOST: Final = "127.0.0.1"
FACILITIES: Final = ("chu-sable", "clinique-dune")
MAILBOXES: Final = ("labo", "cardio", "urgences")
MEMORY: Final = Path("/dev/shm")  # noqa: S108 - a tmpfs: what is in it is in memory, and goes with the machine
MEMORY_BYTES: Final = 512 * 1_024 * 1_024
"""With less room there, the homes go to the ordinary temporary directory."""
START_S: Final = 90.0
STOP_S: Final = 15.0
POLL_S: Final = 0.1


class SandboxError(Exception):
    """The sandbox does not work; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Of one facility; ``system`` is where the integrator's system listens, ``between`` is ours."""

    mllp: int
    api: int
    http: int
    system: int
    between: int


def ports_of(base: int) -> dict[str, Ports]:
    """Return each facility's ports: ten from ``base`` + 10 on, and ten behind them."""
    starts = (base + 10 * (n + 1) for n in range(len(FACILITIES)))
    return {name: Ports(*range(at, at + 5)) for name, at in zip(FACILITIES, starts, strict=True)}


class Network:
    """A hub and its facilities; :meth:`close` ends all of it and removes the directory."""

    def __init__(self, base: int, acknowledge: str) -> None:
        memory = MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and free_bytes(MEMORY) > MEMORY_BYTES
        self.directory = Path(mkdtemp(prefix="wasl-sandbox-", dir=MEMORY if memory else None))
        self.in_memory = memory
        self.base = base
        self.ports = ports_of(base)
        self.faults = Faults()
        self._acknowledge = acknowledge
        self._between: list[Between] = []
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def hub_home(self) -> Path:
        """The hub's home."""
        return self.directory / "hub"

    def start(self) -> None:
        """Make the homes, join, start everything; returns when both facilities are connected."""
        home = str(self.hub_home)
        listen, http = f"{HOST}:{self.base}", f"{HOST}:{self.base + 1}"
        self._run("hub", "init", "--home", home, "--name", "sandbox", "--listen", listen, "--http", http)
        with (self.hub_home / "hub.toml").open("a", encoding="utf-8") as settings:
            settings.write('\n[disk]\nfloor = "1MiB"\n\n[limits]\nhandshakes_per_second = 100\n')
        self._start_daemon("hub", "hub", self.hub_home)
        for ports in self.ports.values():
            try:
                self._between.append(Between(HOST, ports.between, ports.system, self.faults))
            except OSError as error:
                raise SandboxError(
                    f"port {ports.between}: {error.strerror}: choose another --port"
                ) from error
        self._await("hub", self.base + 1)
        for facility in FACILITIES:
            self._join(facility)
            self.start_node(facility)
        for facility in FACILITIES:
            self.await_node(facility)

    def _join(self, facility: str) -> None:
        boxes = [word for box in MAILBOXES for word in ("--mailbox", box)]
        said = self._run("hub", "invite", facility, "--home", str(self.hub_home), "--json", *boxes)
        home, ports = self.directory / facility, self.ports[facility]
        http = f"{HOST}:{ports.http}"
        self._run("nodes", "join", json.loads(said)["code"], "--home", str(home), "--http", http)
        with (home / "node.toml").open("a", encoding="utf-8") as settings:
            settings.write(
                f'\n[mllp]\nlisten = "{HOST}:{ports.mllp}"\nacknowledge = "{self._acknowledge}"\n'
                f'\n[mllp.deliver]\n"*" = "{HOST}:{ports.between}"\n'
                '\n[mllp.delivery]\nretry_first = "200ms"\nretry_cap = "1s"\n'
                f'\n[api]\nlisten = "{HOST}:{ports.api}"\n\n[disk]\nfloor = "1MiB"\n'
            )

    def start_node(self, facility: str) -> None:
        """Start a facility's node; it is not connected yet."""
        self._start_daemon(facility, "nodes", self.directory / facility)

    def await_node(self, facility: str) -> None:
        """Wait until a facility is connected."""
        self._await(facility, self.ports[facility].http)

    def stop(self, name: str) -> None:
        """End a daemon in order."""
        process = self._processes.pop(name, None)
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def close(self) -> None:
        """End everything and remove the homes."""
        for name in [*FACILITIES, "hub"]:
            self.stop(name)
        for between in self._between:
            between.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _run(self, room: str, *words: str) -> str:
        command = [sys.executable, "-m", room, *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=START_S, check=False)  # noqa: S603 - our own
        if done.returncode != 0:
            raise SandboxError(f"{room} {words[0]} failed: {done.stderr.strip()[-500:]}")
        return done.stdout

    def _log_of(self, name: str) -> Path:
        return self.directory / f"{name}.log"

    def _start_daemon(self, name: str, room: str, home: Path) -> None:
        with self._log_of(name).open("ab") as log:
            # Its own session: Ctrl-C on the terminal is ours to hear, and the daemons end in order.
            self._processes[name] = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-m", room, "run", "--home", str(home)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _await(self, name: str, port: int) -> None:
        deadline_s = time.monotonic() + START_S
        while time.monotonic() < deadline_s and self._processes[name].poll() is None:
            try:
                with urllib.request.urlopen(f"http://{HOST}:{port}/readyz", timeout=5):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(POLL_S)
        end = self._log_of(name).read_text("utf-8", "replace")[-600:]
        raise SandboxError(f"{name} did not become ready (another --port may help); its log ends: {end}")
