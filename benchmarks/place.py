"""Where a benchmark runs: a hub's home with members, the daemon in a process of its own, and its CPU time."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from sqlalchemy import Connection

from crypto.keys import LinkPrivateKey, SealingPrivateKey, SigningPrivateKey
from hub import home as hub_home
from hub.directory import service
from hub.directory import store as directory
from hub.keys import HubKeys
from runtime import migrations
from runtime.transactions import transact

HUB_CORE, LOAD_CORE = 0, 1
READY_S = 30.0
STOP_S = 60.0


@dataclass(frozen=True, slots=True)
class Member:
    """A facility of the network: its id and its link key."""

    facility: str
    key: LinkPrivateKey


@dataclass(frozen=True, slots=True)
class Place:
    """A hub's home, ready to run."""

    home: Path
    port: int
    http: int
    name: str
    key: HubKeys
    members: tuple[Member, ...]


def free_ports(count: int) -> list[int]:
    """Return ports that nobody uses now."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def make_hub(home: Path, facilities: Sequence[str], *, database: str | None = None) -> Place:
    """Make a hub's home whose directory has these facilities, each with the mailbox ``box``."""
    port, http = free_ports(2)
    values: dict[str, dict[str, object]] = {
        "hub": {"name": "bench", "listen": f"127.0.0.1:{port}"},
        "http": {"listen": f"127.0.0.1:{http}"},
        "limits": {"handshakes_per_second": 10_000, "max_sessions": 100_000},
        "database": {"url": database},
    }
    hub_home.make_home(home, values)
    settings, keys = hub_home.load_settings(home), hub_home.load_keys(home)
    engine = hub_home.open_database(home, settings)
    migrations.upgrade(engine, "hub")
    issuer = hub_home.issuer(settings, keys)
    now_ms = time.time_ns() // 1_000_000
    members = tuple(Member(facility, LinkPrivateKey.generate()) for facility in facilities)
    signing, sealing = SigningPrivateKey.generate().public, SealingPrivateKey.generate().public

    def enrol(connection: Connection) -> None:
        for member in members:
            directory.put_facility(connection, member.facility, None, ("box",), now_ms)
            service.certify(
                connection,
                issuer,
                member.facility,
                member.key.public,
                signing,
                sealing,
                now_ms,
            )

    transact(engine, enrol)
    engine.dispose()
    return Place(home, port, http, "bench", keys, members)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which ``share`` percent of ``values`` lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share / 100))]


SPARE_FILES = 500


def open_many_files(connections: int) -> None:
    """Let this process, and what it starts, hold so many connections; ends the benchmark if it may not."""
    needed = connections + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < needed:
        if hard != resource.RLIM_INFINITY and hard < needed:
            raise SystemExit(
                f"{needed} open files are needed and {hard} allowed: ulimit -Hn {needed}, as root"
            )
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def say(facts: Mapping[str, object]) -> None:
    """Print one figure a line."""
    for name, value in facts.items():
        shown = f"{value:,}" if isinstance(value, (int, float)) else str(value)
        print(f"{name:<26} {shown:>14}")


@dataclass(frozen=True, slots=True)
class NodePlace:
    """A node's home, joined; its ports for MLLP and health."""

    facility: str
    home: Path
    mllp: int
    http: int


def make_nodes(
    folder: Path,
    facilities: Sequence[str],
    *,
    mailboxes: Sequence[str] = ("box",),
    deliver: Mapping[str, int] | None = None,
) -> tuple[Place, tuple[NodePlace, ...]]:
    """Make a hub and nodes that have joined it, by the commands that an administrator would use.

    ``deliver`` names the ports of local systems that take a facility's messages over MLLP.
    """
    place = make_hub(folder / "hub", ())
    nodes = []
    with Daemon.of_hub(place):
        for facility in facilities:
            names = [word for name in mailboxes for word in ("--mailbox", name)]
            invited = _command("-m", "hub", "invite", facility, *names, "--home", str(place.home), "--json")
            mllp, http = free_ports(2)
            home = folder / facility
            code = json.loads(invited)["code"]
            _command("-m", "nodes", "join", code, "--home", str(home), "--http", f"127.0.0.1:{http}")
            settings = home / "node.toml"
            text = f'\n[mllp]\nlisten = "127.0.0.1:{mllp}"\n'
            if deliver and facility in deliver:
                text += f'[mllp.deliver]\n"*" = "127.0.0.1:{deliver[facility]}"\n'
            settings.write_text(settings.read_text() + text)
            nodes.append(NodePlace(facility, home, mllp, http))
        for node in nodes:
            with Daemon.of_node(node):
                _wait_for_directory(node, len(facilities))
    return place, tuple(nodes)


def _wait_for_directory(node: NodePlace, entries: int) -> None:
    deadline_s = time.monotonic() + READY_S
    while time.monotonic() < deadline_s:
        known = json.loads(_command("-m", "nodes", "directory", "--home", str(node.home), "--json"))
        if len(known) >= entries:
            return
        time.sleep(0.2)
    raise SystemExit(f"{node.facility} did not get the address book")


def _command(*arguments: str) -> str:
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)}: {done.stderr}")
    return done.stdout


class Daemon:
    """One running daemon; its CPU seconds and its memory as the kernel counts them."""

    def __init__(self, arguments: Sequence[str], http: int, *, core: int | None = None) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        command = [sys.executable, *arguments]
        if core is not None:
            command = ["taskset", "--cpu-list", str(core), *command]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=self._log)
        self.pid = self._process.pid
        deadline_s = time.monotonic() + READY_S
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{http}/healthz", timeout=2):
                    return
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline_s:
                    self.kill()
                    self._log.seek(0)
                    said = self._log.read().decode(errors="replace")
                    raise SystemExit(f"{' '.join(arguments)} did not start:\n{said}") from None
                time.sleep(0.05)

    @classmethod
    @contextmanager
    def of_hub(cls, place: Place, *, core: int | None = None) -> Iterator[Self]:
        """Run the hub of ``place``."""
        daemon = cls(["-m", "hub", "run", "--home", str(place.home)], place.http, core=core)
        try:
            yield daemon
        finally:
            daemon.stop()

    @classmethod
    @contextmanager
    def of_node(cls, node: NodePlace, *, core: int | None = None) -> Iterator[Self]:
        """Run a node."""
        daemon = cls(["-m", "nodes", "run", "--home", str(node.home)], node.http, core=core)
        try:
            yield daemon
        finally:
            daemon.stop()

    @property
    def cpu_s(self) -> float:
        """Seconds of CPU that the process has used, in user and system mode."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def resident_kib(self) -> int:
        """Memory of the process that is its own and in RAM now."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])

    def stop(self) -> None:
        """Stop it as an administrator does."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()
