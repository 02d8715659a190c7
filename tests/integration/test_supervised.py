"""What systemd gives a daemon and hears from it: keys from a credential, a watchdog fed by commits only."""

from __future__ import annotations

import contextlib
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.integration.daemons import PROJECT, Daemon, command, environment
from tests.integration.network import Network
from tests.integration.waiting import wait_until

WATCHDOG_USEC = 2_000_000
SILENCE_S = 3.0


@pytest.fixture(params=["hub", "chu-alger"])
def daemon(request: pytest.FixtureRequest, network: Network) -> Daemon:
    """Return the hub, then a node, not started."""
    return network.hub if request.param == "hub" else network.nodes[request.param]


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    """Listen where systemd would."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "notify"))
        heard.settimeout(0)
        yield heard


def fed(systemd: socket.socket) -> int:
    """Count how often the watchdog was fed since it was last asked."""
    count = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            count += systemd.recv(100) == b"WATCHDOG=1"
    return count


def test_a_database_that_cannot_be_written_stops_the_feeding(
    daemon: Daemon, systemd: socket.socket, tmp_path: Path
) -> None:
    """Promise: the watchdog is fed after a commit to the real database, and only then."""
    name = "hub.db" if daemon.room == "hub" else "node.db"
    daemon.start(more={"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": str(WATCHDOG_USEC)})
    wait_until("the watchdog was fed", lambda: fed(systemd) > 0, 10)
    with closing(sqlite3.connect(daemon.home / name, isolation_level=None, timeout=10)) as other:
        other.execute("BEGIN IMMEDIATE")  # from now on nobody else can write
        fed(systemd)
        time.sleep(SILENCE_S)
        assert fed(systemd) == 0
        other.execute("ROLLBACK")
    wait_until("the watchdog is fed again", lambda: fed(systemd) > 0, 15)
    assert daemon.stop() == 0


def test_the_console_is_fed_by_its_threads_and_the_database(
    network: Network, systemd: socket.socket, tmp_path: Path
) -> None:
    """Likewise for the console, which does all its work in threads."""
    notify = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": str(WATCHDOG_USEC)}
    asked = [
        sys.executable,
        "-m",
        "hub",
        "console",
        "--home",
        str(network.hub.home),
        "--listen",
        "127.0.0.1:0",
    ]
    with (tmp_path / "console.log").open("wb") as log:
        console = subprocess.Popen(asked, env=environment() | notify, stdout=log, stderr=log, cwd=PROJECT)
    try:
        wait_until("the watchdog was fed", lambda: fed(systemd) > 0, 60)
        with closing(sqlite3.connect(network.hub.home / "hub.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            fed(systemd)
            time.sleep(SILENCE_S)
            assert fed(systemd) == 0
            other.execute("ROLLBACK")
        wait_until("the watchdog is fed again", lambda: fed(systemd) > 0, 15)
        console.terminate()
        assert console.wait(20) == 0
    finally:
        console.kill()
        console.wait()


def test_keys_from_a_credential(daemon: Daemon, network: Network, tmp_path: Path) -> None:
    """The daemon is ready with keys that are nowhere in its home; without them it says what is missing."""
    handed = tmp_path / "credentials"
    handed.mkdir()
    (daemon.home / "keys").rename(handed / f"wasl-{daemon.room.removesuffix('s')}.keys")
    if daemon is not network.hub:
        network.hub.start()  # no node is ready without it
    daemon.start(more={"CREDENTIALS_DIRECTORY": str(handed)})
    wait_until("it is ready", lambda: daemon.get("/readyz")[0] == 200, 20)
    assert daemon.stop() == 0
    daemon.start(wait=False)
    assert daemon.wait_dead() == 1
    assert f"{daemon.home / 'keys'} is missing" in daemon.said().decode()
    ran = command(daemon.room, "run", "--home", daemon.home)
    assert "docs/install.md" in ran.err
