"""Starting and stopping: what stands in the way is one clear line and an exit code, and harms nothing."""

from __future__ import annotations

import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.integration.daemons import Daemon
from tests.integration.hospital import FROM, TO
from tests.integration.localsystems import Sender, field, message
from tests.integration.network import Network
from tests.integration.waiting import wait_until

EXIT_S = 90.0


@pytest.fixture(params=["hub", "chu-alger"])
def daemon(request: pytest.FixtureRequest, network: Network) -> Daemon:
    """Return the hub, then a node, not started."""
    return network.hub if request.param == "hub" else network.nodes[request.param]


def database(daemon: Daemon) -> Path:
    return daemon.home / ("hub.db" if daemon.room == "hub" else "node.db")


def ends(daemon: Daemon, code: int) -> str:
    """Start what cannot start; returns what it said."""
    daemon.start(wait=False)
    assert daemon.wait_dead(EXIT_S) == code, daemon.said().decode()
    said = daemon.said().decode()
    assert "Traceback" not in said
    return said


def test_a_locked_database(daemon: Daemon) -> None:
    """Another process holds the database: exit 1 naming the file; once it is free the daemon starts."""
    with closing(sqlite3.connect(database(daemon), isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        said = ends(daemon, 1)
        assert str(database(daemon)) in said
        assert "locked" in said
        other.execute("ROLLBACK")
    daemon.start()
    assert daemon.stop() == 0


@pytest.mark.parametrize("damage", ["no database", "one page"])
def test_a_damaged_database(daemon: Daemon, damage: str) -> None:
    """A file that is no database, or is damaged inside: exit 1 naming it; nothing is written over it."""
    path = database(daemon)
    good = path.read_bytes()
    bad = b"\0garbage" * 4_096 if damage == "no database" else good[:100] + b"\xff" * 3_996 + good[4_096:]
    path.write_bytes(bad)
    for beside in path.parent.glob(path.name + "-*"):
        beside.unlink()
    said = ends(daemon, 1)
    assert str(path) in said
    assert path.read_bytes() == bad
    path.write_bytes(good)
    daemon.start()
    assert daemon.stop() == 0


def test_wrong_settings(daemon: Daemon) -> None:
    """Every fault is named with file, key, value and what would be right, at once; exit 2."""
    path = daemon.home / ("hub.toml" if daemon.room == "hub" else "node.toml")
    good = path.read_text(encoding="utf-8")
    path.write_text(
        '[http]\nlisten = "nowhere"\n[disk]\nfloor = "much"\n[nonsense]\nx = 1\n', encoding="utf-8"
    )
    said = ends(daemon, 2)
    checked = daemon.run("check-config", "--json")
    assert checked.code == 2
    faults = {fault["key"]: fault for fault in checked.json()["faults"]}
    assert faults.keys() == {"http.listen", "disk.floor", "nonsense"}
    assert faults["http.listen"]["value"] == '"nowhere"'
    for words in ("http.listen", "nowhere", "disk.floor", "much", "nonsense", path.name):
        assert words in said
    path.write_text(good, encoding="utf-8")
    assert daemon.run("check-config").code == 0


def test_a_second_daemon_on_the_same_home(daemon: Daemon) -> None:
    """The second one exits 1 and names the first; the first is not disturbed."""
    daemon.start()
    ran = daemon.run("run")
    assert ran.code == 1
    assert "in use by process" in ran.err
    assert daemon.get("/healthz")[0] == 200
    assert daemon.stop() == 0


def test_a_port_that_is_taken(daemon: Daemon, tmp_path: Path) -> None:
    """Another program has the ports: exit 1, one line names what is taken."""
    twin = Daemon(daemon.room, tmp_path / "twin", database(daemon).name, daemon.http_port)
    shutil.copytree(daemon.home, twin.home)
    daemon.start()
    said = ends(twin, 1)
    setting = "hub.listen in hub.toml" if daemon.room == "hub" else "http.listen in node.toml"
    assert f"{setting} is 127.0.0.1:" in said
    assert "in use" in said


def test_an_open_home(daemon: Daemon) -> None:
    """A home that others can enter is refused, with the command that mends it."""
    daemon.home.chmod(0o755)
    assert "chmod 0700" in ends(daemon, 1)
    daemon.home.chmod(0o700)


def test_sigterm_is_a_clean_stop(network: Network) -> None:
    """SIGTERM: exit 0 within seconds, in good order, with traffic under way; all of it arrives."""
    alger, oran = network.nodes["chu-alger"], network.nodes["chu-oran"]
    alger.configure(acknowledge="stored")
    network.start()
    sent = [message(FROM, TO, f"term-{n}") for n in range(30)]
    with Sender(alger.mllp_port) as sender:
        for number, payload in enumerate(sent):
            assert sender.code(payload) == "AA"
            if number in (7, 14, 21):
                daemon = network.daemons()[number // 7 - 1]
                began_s = time.monotonic()
                assert daemon.stop() == 0
                assert time.monotonic() - began_s < 10
                assert b'"stopped"' in daemon.said()
                assert not (daemon.home / "poke").exists()
                daemon.start()
    wait_until("all have arrived", lambda: len(oran.arrived()) >= len(sent))
    assert [body for _, _, body in oran.arrived()] == sent


def test_a_database_locked_while_running(network: Network) -> None:
    """A foreign lock on the node's database delays an answer, or makes it AR; it never makes a false AA."""
    alger, oran = network.nodes["chu-alger"], network.nodes["chu-oran"]
    alger.configure(acknowledge="stored")
    network.start()
    payload = message(FROM, TO, "locked-1")
    with Sender(alger.mllp_port, patience_s=30) as sender:
        with closing(sqlite3.connect(database(alger), isolation_level=None, timeout=10)) as other:
            other.execute("BEGIN IMMEDIATE")
            answer = sender.once(payload)
            assert field(answer, b"MSA", 1) == "AR"
            other.execute("ROLLBACK")
        assert sender.code(payload) == "AA"
    wait_until("it has arrived", oran.arrived)
    assert [body for _, _, body in oran.arrived()] == [payload]
    assert alger.running


def test_a_clock_that_is_wrong_by_a_day(network: Network) -> None:
    """A node a day ahead still exchanges with the others, and its operator is told (needs libfaketime)."""
    found = sorted(Path("/usr").glob("lib/*/faketime/libfaketime.so.1"))
    if not found:
        pytest.skip("libfaketime is not installed: a wrong clock is tested in the simulation only")
    alger, oran = network.nodes["chu-alger"], network.nodes["chu-oran"]
    network.hub.start()
    oran.start()
    alger.start(more={"LD_PRELOAD": str(found[0]), "FAKETIME": "+1d"})
    alger.wait_connected()
    assert "clock" in [code for code, _ in alger.alarms()]
    path = alger.home.with_name("letter.hl7")
    path.write_bytes(message(FROM, TO, "clock-1"))
    assert alger.send(TO, "--hl7", path, "--wait", "delivered", "--timeout", "30s")["state"] == "delivered"
