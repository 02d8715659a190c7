"""HAProxy in front of several hubs, as ``docs/scaling.md`` sets it up."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.integration.ports import free_port
from tests.integration.waiting import wait_until

CONFIGURATION: Final = """
global
    maxconn 4096
defaults
    mode tcp
    timeout connect 2s
    timeout client 1h
    timeout server 1h
    option redispatch
frontend link
    bind 127.0.0.1:{port}
    default_backend hubs
backend hubs
    balance leastconn
    option httpchk GET /readyz
"""
SERVER: Final = "    server {name} 127.0.0.1:{link} check port {http} inter 500ms fall 2 rise 1\n"


def missing() -> str:
    """Return why there can be no balancer here, empty if there can."""
    return "" if program() else "HAProxy is not installed (Debian: apt-get install haproxy)"


def program() -> str | None:
    """Return HAProxy's path."""
    return shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin")


class Balancer:
    """HAProxy on :attr:`port`; ``hubs`` are name, link port and http port."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, hubs: Mapping[str, tuple[int, int]]) -> None:
        """Start it in front of these hubs; returns when it listens."""
        text = CONFIGURATION.format(port=self.port)
        text += "".join(
            SERVER.format(name=name, link=ports[0], http=ports[1]) for name, ports in hubs.items()
        )
        configuration = self._directory / "haproxy.cfg"
        configuration.write_text(text, encoding="ascii")
        found = program()
        assert found is not None
        with (self._directory / "haproxy.log").open("ab") as log:
            self._process = subprocess.Popen([found, "-db", "-f", configuration], stdout=log, stderr=log)
        wait_until("HAProxy listens", self._listens)

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._directory / "haproxy.log").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def close(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
