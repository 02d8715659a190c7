"""Two facilities with desks, joined by a real hub: every process as in a hospital, and people who sign in."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.integration.daemons import PROJECT, environment
from tests.integration.network import Network, Node
from tests.integration.ports import free_port
from tests.integration.template import make_template
from tests.integration.waiting import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext

PASSWORD: Final = "correct horse battery"
START_S: Final = 120.0
STOP_S: Final = 30.0


@dataclass
class DeskProcess:
    """``wasl-desk run`` beside a node; the port stays over restarts."""

    node: Node
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Where browsers find it."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        """What it said."""
        return self.node.home.with_name(f"{self.node.facility}-desk.log")

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = [sys.executable, "-m", "nodes.desk", "run", "--home", str(self.node.home)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--listen", f"127.0.0.1:{self.port}"],
                cwd=PROJECT, env=environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        wait_until("the desk answers", self._answers, START_S)

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text(encoding="utf-8")
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", "/sign-in")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def add_user(self, name: str, role: str, *departments: str) -> None:
        """Add a user with ``PASSWORD``."""
        options = [option for one in departments for option in ("--department", one)]
        subprocess.run(
            [sys.executable, "-m", "nodes.desk", "adduser", name, "--home", str(self.node.home),
             "--role", role, "--title", f"Dr {name.title()}", *options],
            cwd=PROJECT, env=environment(), input=PASSWORD.encode(), check=True, timeout=START_S,
        )  # fmt: skip

    def kill(self) -> None:
        """SIGKILL."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def stop(self) -> int:
        """SIGTERM, and wait for the end; returns the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_S)


@dataclass(frozen=True)
class Country:
    """A hub, two nodes that are connected, and a desk beside each."""

    network: Network
    here: DeskProcess
    there: DeskProcess


@contextmanager
def country(root: Path) -> Iterator[Country]:
    """Yield ``chu-alger`` and ``chu-oran``; ``amel`` and ``omar`` are clinicians in cardio there."""
    template = make_template(root / "template")
    (root / "network").mkdir()
    with Network(root / "network", template) as network:
        network.start()
        alger, oran = (DeskProcess(node) for node in network.nodes.values())
        try:
            for desk, name in ((alger, "amel"), (oran, "omar")):
                desk.add_user(name, "clinician", "cardio")
                desk.start()
            yield Country(network, alger, oran)
            for desk in (alger, oran):
                assert "page-failed" not in desk.log.read_text(encoding="utf-8")
        finally:
            for desk in (alger, oran):
                desk.kill()


def signed_in(
    browser: Browser, desk: DeskProcess, name: str, language: str, *, script: bool = True
) -> BrowserContext:
    """Return a browser's context in which ``name`` has signed in, through the form."""
    context = browser.new_context(java_script_enabled=script)
    page = context.new_page()
    page.goto(f"{desk.address}/sign-in?lang={language}")
    page.fill("#name", name)
    page.fill("#password", PASSWORD)
    page.click("main button")
    page.wait_for_url(lambda url: "/sign-in" not in url)
    page.close()
    return context
