"""A hub and nodes as real daemons in one directory, made and started by the commands that people type.

:class:`Network` owns the processes: whoever starts it stops it, and ``stop`` ends every daemon that was
started, nodes before the hub, however far the start came. A daemon that ends by itself, or does not become
ready, is a :class:`DemoError` with the end of its log. All ports are free ones of 127.0.0.1; another process
can take one between its choice and its use, which then shows as such an error.
"""

import contextlib
import io
import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from random import SystemRandom
from typing import Final

import click

from hub.cli import main as hub_command

HOST: Final = "127.0.0.1"
DEPARTMENT: Final = "garde"
"""The mailbox that people read at the desks."""
PASSWORD: Final = "palmier-bleu-2026"  # noqa: S105 - a sample, in one word
"""Of every account at the demo's desks."""
START_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 15.0
COMMAND_TIMEOUT_S: Final = 60.0
_LOOK_EVERY_S: Final = 0.05
_LOG_TAIL_BYTES: Final = 1_500
_PORTS: Final = (20_000, 32_000)
"""Below the ports that the kernel gives to outgoing connections, which would take one of ours by chance."""
_random: Final = SystemRandom()
_FLOOR: Final = '\n[disk]\nfloor = "10MiB"\n'


class DemoError(Exception):
    """Something did not start or did not answer; the text says what, and where its log is."""


@dataclass(frozen=True, slots=True)
class Site:
    """A facility: its id, what people call it, and its mailboxes."""

    name: str
    title: str
    mailboxes: tuple[str, ...]
    doctor: str = ""
    """Who reads the mailbox ``DEPARTMENT`` at a desk; empty: the facility has none."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where a node listens, where (``system``) its hospital system does, and its desk."""

    http: int
    mllp: int
    api: int
    system: int
    desk: int = 0


@dataclass(frozen=True, slots=True)
class Node:
    """A facility's node: its home and its ports."""

    site: Site
    home: Path
    ports: Ports


@dataclass(slots=True)
class Network:
    """The daemons of one demo, in ``directory`` (hub, and one directory a facility)."""

    directory: Path
    sites: tuple[Site, ...]
    link_port: int = 0
    http_port: int = 0
    nodes: dict[str, Node] = field(default_factory=dict)
    _daemons: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def hub_home(self) -> Path:
        """The hub's home."""
        return self.directory / "hub"

    def start(self) -> None:
        """Make the homes, join the nodes, start all daemons; returns when every node is connected."""
        ports = iter(free_ports(2 + 5 * len(self.sites)))
        self.link_port, self.http_port = next(ports), next(ports)
        for site in self.sites:
            own = Ports(next(ports), next(ports), next(ports), next(ports), next(ports))
            self.nodes[site.name] = Node(site, self.directory / site.name, own)
        hub = str(self.hub_home)
        listen, http = f"{HOST}:{self.link_port}", f"{HOST}:{self.http_port}"
        run_hub_command("init", "--home", hub, "--listen", listen, "--http", http)
        with (self.hub_home / "hub.toml").open("a", encoding="utf-8") as settings:
            settings.write(_FLOOR + "\n[limits]\nhandshakes_per_second = 100\n")
        self.start_daemon("hub", "wasl-hub", self.hub_home)
        codes = [self._invite(site) for site in self.sites]
        self.await_ready("hub", self.http_port)
        with ThreadPoolExecutor(len(self.sites)) as several:
            list(several.map(self._join, self.nodes.values(), codes))
        for node in self.nodes.values():
            self.start_daemon(node.site.name, "wasl-node", node.home)
        for node in self.nodes.values():
            self.await_ready(node.site.name, node.ports.http)

    def _invite(self, site: Site) -> str:
        boxes = [word for mailbox in site.mailboxes for word in ("--mailbox", mailbox)]
        hub = str(self.hub_home)
        said = run_hub_command("invite", site.name, "--home", hub, "--title", site.title, "--json", *boxes)
        return str(json.loads(said)["code"])

    def _join(self, node: Node, code: str) -> None:
        home, ports = str(node.home), node.ports
        run_command("wasl-node", "join", code, "--home", home, "--http", f"{HOST}:{ports.http}")
        with (node.home / "node.toml").open("a", encoding="utf-8") as settings:
            settings.write(_gateways(ports) + (_desk(ports) if node.site.doctor else ""))

    def start_desks(self) -> None:
        """Start a desk beside each node that has a doctor, with an account for that doctor and one more.

        Returns when all of them answer.
        """
        for node in self.nodes.values():
            if not node.site.doctor:
                continue
            name = account_of(node.site)
            title = ("--title", node.site.doctor, "--department", DEPARTMENT)
            for words in ((name, "--role", "clinician", *title), ("admin", "--role", "administrator")):
                home = ("--home", str(node.home))
                run_command("wasl-desk", "adduser", *words, *home, typed=PASSWORD)
            self.start_daemon(f"{node.site.name}-desk", "wasl-desk", node.home)
        for node in self.nodes.values():
            if node.site.doctor:
                self.await_ready(f"{node.site.name}-desk", node.ports.desk, "/sign-in")

    def start_daemon(self, name: str, command: str, home: Path) -> None:
        """Start ``command run`` on ``home``, its log beside the home; it may not be ready yet."""
        with self.log_of(name).open("ab") as log:
            # Its own session: Ctrl-C on the terminal is ours to hear, and the daemons end in order.
            self._daemons[name] = subprocess.Popen(  # noqa: S603 - our own command, found beside this Python
                [command_path(command), "run", "--home", str(home)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def log_of(self, name: str) -> Path:
        """Path of a daemon's log; ``name`` is a facility, or ``hub``."""
        return self.directory / f"{name}.log"

    def await_ready(self, name: str, port: int, path: str = "/readyz") -> None:
        """Wait until a daemon's ``path`` says so: ``/readyz`` of a node, that its link to the hub stands."""
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                with urllib.request.urlopen(f"http://{HOST}:{port}{path}", timeout=5):
                    return
            except (urllib.error.URLError, OSError):
                self._look_alive(name, deadline_s)

    def _look_alive(self, name: str, deadline_s: float) -> None:
        ended = self._daemons[name].poll()
        if ended is not None:
            raise DemoError(f"{name} ended with code {ended}:\n{self._log_tail(name)}")
        if time.monotonic() > deadline_s:
            raise DemoError(f"{name} is not ready after {START_TIMEOUT_S:.0f} s:\n{self._log_tail(name)}")
        time.sleep(_LOOK_EVERY_S)

    def _log_tail(self, name: str) -> str:
        return self.log_of(name).read_bytes()[-_LOG_TAIL_BYTES:].decode("utf-8", "replace")

    def fallen(self) -> list[str]:
        """Return the names of the daemons that have ended although nobody stopped them."""
        return [name for name, daemon in self._daemons.items() if daemon.poll() is not None]

    def stop(self) -> list[str]:
        """End all daemons, nodes first; returns the names of those that did not end cleanly."""
        unclean = stop_all([self._daemons[name] for name in self._daemons if name != "hub"])
        unclean |= stop_all([self._daemons[name] for name in self._daemons if name == "hub"])
        names = [name for name, daemon in self._daemons.items() if daemon.pid in unclean]
        self._daemons.clear()
        return names


def stop_all(daemons: Sequence[subprocess.Popen[bytes]]) -> set[int]:
    """Terminate together, kill what does not end; returns the pids that ended with another code than 0."""
    for daemon in daemons:
        daemon.terminate()
    deadline_s = time.monotonic() + STOP_TIMEOUT_S
    for daemon in daemons:
        try:
            daemon.wait(max(0.1, deadline_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()
    return {daemon.pid for daemon in daemons if daemon.returncode != 0}


def command_path(name: str) -> str:
    """Return the path of one of Wasl's commands: beside this Python, or on the PATH."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise DemoError(f"{name} is not installed for {sys.executable}: run `make demo`, which installs it")
    return found


def account_of(site: Site) -> str:
    """Return under which name a site's doctor signs in."""
    return site.doctor.split()[1].lower()


def run_command(name: str, *arguments: str, typed: str = "") -> str:
    """Run one of Wasl's commands to its end; returns its stdout. DemoError with its stderr if it fails."""
    done = subprocess.run(  # noqa: S603 - our own command, found beside this Python
        [command_path(name), *arguments],
        input=typed, capture_output=True, text=True, check=False, timeout=COMMAND_TIMEOUT_S,
    )  # fmt: skip
    if done.returncode != 0:
        raise DemoError(f"{name} {arguments[0]} failed ({done.returncode}): {done.stderr.strip()}")
    return done.stdout


def run_hub_command(*arguments: str) -> str:
    """Run ``wasl-hub`` in this process, which saves the second that a new one takes; as :func:`run_command`.

    One at a time: it catches what the whole process prints.
    """
    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            hub_command.main(list(arguments), prog_name="wasl-hub", standalone_mode=False)
    except click.ClickException as fault:
        raise DemoError(f"wasl-hub {arguments[0]} failed: {fault.format_message()}") from fault
    except SystemExit as ended:
        if ended.code:
            raise DemoError(f"wasl-hub {arguments[0]} failed: {err.getvalue().strip()}") from None
    return out.getvalue()


def free_ports(count: int) -> list[int]:
    """Return ``count`` different TCP ports of 127.0.0.1 that nobody listened on a moment ago."""
    found: list[int] = []
    while len(found) < count:
        port = _random.randrange(*_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found


def _desk(ports: Ports) -> str:
    return f'\n[desk]\nlisten = "{HOST}:{ports.desk}"\nmailboxes = ["{DEPARTMENT}"]\n'


def _gateways(ports: Ports) -> str:
    return (
        f'\n[mllp]\nlisten = "{HOST}:{ports.mllp}"\nacknowledge = "processed"\n'
        f'\n[mllp.deliver]\n"*" = "{HOST}:{ports.system}"\n'
        f'\n[mllp.delivery]\nretry_first = "200ms"\n'
        f'\n[api]\nlisten = "{HOST}:{ports.api}"\n' + _FLOOR
    )
