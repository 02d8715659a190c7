"""A real Prometheus scrapes a real hub and node: what goes wrong raises its alert, mending clears it."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from runtime.backup.gauges import MARK
from runtime.home import poke
from tests.faults import shim
from tests.integration.daemons import Daemon
from tests.integration.localsystems import Sender, message
from tests.integration.network import Network
from tests.monitoring.watching import Prometheus

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

ALGER, ORAN = "chu-alger", "chu-oran"
DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def watched(
    running: Network, prometheus: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    directory = tmp_path_factory.mktemp("prometheus")
    ports = running.hub.http_port, running.nodes[ALGER].http_port
    with Prometheus(prometheus, directory, *ports) as started:
        yield started


def change(hub: Daemon, sql: str, *values: object) -> None:
    """Change the hub's tables behind its back and have it look."""
    with closing(sqlite3.connect(hub.home / "hub.db", timeout=20)) as connection, connection:
        assert connection.execute(sql, values).rowcount
    poke(hub.home / "poke")


def test_a_silent_node_and_a_growing_queue(running: Network, watched: Prometheus) -> None:
    hub, oran = running.hub, running.nodes[ORAN]
    oran.stop()
    change(hub, "UPDATE presence SET seen_ms = seen_ms - ? WHERE facility = ?", DAY_MS // 24, ORAN)
    assert ORAN in watched.raises("WaslNodeSilent")["summary"]
    with Sender(running.nodes[ALGER].mllp_port) as sender:
        for number in range(60):
            sender.send(message(f"labo@{ALGER}", f"cardio@{ORAN}", f"Q{number}-{time.time_ns()}"))
    for _ in range(40):
        poke(hub.home / "poke")
        time.sleep(0.25)
        if "WaslQueueGrowing" in watched.firing():
            break
    assert ORAN in watched.raises("WaslQueueGrowing")["summary"]
    oran.start()
    oran.wait_connected()
    for name in ("WaslNodeSilent", "WaslQueueGrowing"):
        watched.clears(name)


def test_an_expiring_key(running: Network, watched: Prometheus) -> None:
    sql = "UPDATE credentials SET not_after_ms = ? WHERE facility = ?"
    for days, alert in ((20, "WaslKeyExpiring"), (3, "WaslKeyExpiringSoon")):
        change(running.hub, sql, time.time_ns() // 1_000_000 + days * DAY_MS, ORAN)
        assert ORAN in watched.raises(alert)["summary"]
    change(running.hub, sql, time.time_ns() // 1_000_000 + 300 * DAY_MS, ORAN)
    for alert in ("WaslKeyExpiring", "WaslKeyExpiringSoon"):
        watched.clears(alert)


def test_a_broken_audit_chain(running: Network, watched: Prometheus) -> None:
    hub = running.hub
    hub.ask("invite", "epsp-tipaza")
    hub.stop()
    ((sequence, actor),) = hub.rows("SELECT number, actor FROM audit ORDER BY number LIMIT 1")
    _forge(hub, sequence, "cli:somebody-else")
    hub.start()
    watched.raises("WaslAuditChainBroken")
    hub.stop()
    _forge(hub, sequence, actor)
    hub.start()
    watched.clears("WaslAuditChainBroken")


def _forge(hub: Daemon, sequence: int, actor: str) -> None:
    """Change an entry as somebody with the file in hand would: what forbids it there is taken away."""
    with closing(sqlite3.connect(hub.home / "hub.db", timeout=20)) as connection, connection:
        guards = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in guards:
            connection.execute(f"DROP TRIGGER {name}")
        changed = connection.execute(
            "UPDATE audit SET actor = ? WHERE number = ?", (actor, sequence)
        ).rowcount
        for _, sql in guards:
            connection.execute(sql)
    assert changed == 1


def test_a_backup_that_is_missing(running: Network, watched: Prometheus) -> None:
    watched.raises("WaslBackupOld")
    backup = {"finished": datetime.now(UTC).isoformat(), "verified": True}
    marks = [daemon.home / MARK for daemon in running.daemons()]
    for mark in marks:
        mark.write_text(json.dumps(backup), encoding="utf-8")
    watched.clears("WaslBackupOld")
    for mark in marks:
        mark.unlink()


def test_a_killed_disk(running: Network, watched: Prometheus, tmp_path: Path) -> None:
    """Full: the hub says so and goes on when there is room. Broken: it ends, and that is seen."""
    if shim.compiler() is None:
        pytest.skip("gcc is not installed: the library that lets system calls fail cannot be built")
    hub = running.hub
    orders = shim.Orders(shim.build(tmp_path), hub.home)
    with closing(orders):
        _kill(hub, orders, watched)


def _kill(hub: Daemon, orders: shim.Orders, watched: Prometheus) -> None:
    hub.stop()
    hub.start(more=orders.environment)
    watched.clears("WaslHubDown")
    orders.arm(replace(shim.KINDS["write-enospc"], stuck=True), 1)
    watched.raises("WaslDatabaseNotWritable")
    assert "[failed] database" in hub.get("/readyz?verbose")[1]
    orders.disarm()
    watched.clears("WaslDatabaseNotWritable")
    orders.arm(shim.KINDS["sync-eio-stuck"], 1)
    watched.raises("WaslHubDown")
    assert hub.wait_dead() == 1
    orders.disarm()
    hub.start()
    watched.clears("WaslHubDown")
