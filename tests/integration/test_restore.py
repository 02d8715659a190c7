"""Backups of real daemons: made while they work, restored, and what their network then settles by itself."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from hub.sweeper import ROUND_S
from tests.integration.daemons import Ran, command
from tests.integration.hospital import FROM, TO
from tests.integration.localsystems import message
from tests.integration.network import Network
from tests.integration.waiting import wait_until


@pytest.fixture
def keys(tmp_path: Path) -> tuple[str, Path]:
    """Return a public recovery key and the file of its private half."""
    private = tmp_path / "recovery.key"
    ran = command("hub", "backup", "keygen", "--out", private)
    assert ran.code == 0, ran
    assert private.stat().st_mode & 0o777 == 0o600
    return ran.out.strip(), private


def letter(tmp_path: Path, name: str) -> Path:
    path = tmp_path / f"{name}.hl7"
    path.write_bytes(message(FROM, TO, name))
    return path


def backup(room: str, *arguments: str | Path) -> Ran:
    return command(room, "backup", *arguments, timeout_s=120)


def test_a_hub_restored_from_yesterday_loses_and_doubles_nothing(
    network: Network, tmp_path: Path, keys: tuple[str, Path]
) -> None:
    """Delivered, waiting, processed, unheard: whatever the backup does not know is settled by the nodes."""
    public, private = keys
    network.start()
    alger, oran, hub = network.nodes["chu-alger"], network.nodes["chu-oran"], network.hub
    scan = tmp_path / "scan.bin"
    scan.write_bytes(os.urandom(200_000))

    def send(name: str, *more: str | Path) -> str:
        return str(alger.send(TO, "--hl7", letter(tmp_path, name), "--subject", name, *more)["id"])

    before = send("before")
    alger.wait_state(before, "delivered")
    oran.kill()
    waits = send("waits", "--file", scan)
    alger.wait_state(waits, "accepted")

    file = tmp_path / "hub.wasl-backup"
    made = backup("hub", "create", "--home", hub.home, "--key", public, "--to", file, "--json")
    assert made.code == 0, made
    assert json.loads((hub.home / "backup.json").read_text())["verified"] is True

    oran.start()
    alger.wait_state(waits, "delivered")  # the backup does not know
    after = [send(f"after {n}") for n in range(3)]
    for one in after:
        alger.wait_state(one, "delivered")
    assert oran.run("fetch", after[0], "--into", tmp_path / "taken").code == 0
    alger.wait_state(after[0], "processed")
    alger.kill()
    assert oran.run("fetch", after[1], "--into", tmp_path / "taken too").code == 0
    wait_until("the hub has the receipt", lambda: oran.rows("SELECT count(*) FROM receipts") == [(0,)])
    oran.kill()
    alger.start()
    alger.wait_connected()
    late = [send("late"), send("late with a scan", "--file", scan)]
    for one in late:
        alger.wait_state(one, "accepted")

    hub.kill()
    shutil.rmtree(hub.home)
    verified = backup("hub", "verify", file, "--key", private, "--work", tmp_path, "--json")
    assert verified.code == 0, verified
    restored = backup("hub", "restore", file, "--key", private, "--home", hub.home, "--json")
    assert restored.code == 0, restored
    hub.start()
    alger.wait_connected()
    oran.start()

    for one in [*late, after[2], waits, before]:
        alger.wait_state(one, "delivered")
    alger.wait_state(after[1], "processed")
    alger.wait_state(after[0], "processed")
    subjects = [one["subject"] for one in oran.ask("inbox")]
    waiting = ["before", "waits", "after 2", "late", "late with a scan"]
    assert [one for one in subjects if one in waiting] == waiting
    assert oran.rows("SELECT count(*), count(DISTINCT id) FROM inbox") == [(7, 7)]
    assert hub.rows("SELECT count(*) FROM spool") == [(0,)]
    # What is said later is passed on again as well.
    assert oran.run("fetch", late[1], "--into", tmp_path / "late").code == 0
    alger.wait_state(late[1], "processed")
    # If a checkpoint was signed after the backup, the node says that it is gone (docs/audit.md).
    assert {code for code, _ in alger.alarms()} - {"audit-restored"} == {"hub-restored"}


def test_what_ran_out_of_time_meanwhile_is_asked_before_it_is_returned(
    network: Network, tmp_path: Path, keys: tuple[str, Path]
) -> None:
    """A message delivered after the backup, and expired before the restore, is not told as returned."""
    public, private = keys
    network.start()
    alger, oran, hub = network.nodes["chu-alger"], network.nodes["chu-oran"], network.hub
    file = tmp_path / "hub.wasl-backup"
    assert backup("hub", "create", "--home", hub.home, "--key", public, "--to", file).code == 0
    path = letter(tmp_path, "short")
    have = alger.send(TO, "--hl7", path, "--valid-for", "4s")["id"]
    alger.wait_state(have, "delivered")
    oran.kill()
    lost = alger.send(TO, "--hl7", path, "--subject", "nobody has it", "--valid-for", "4s")["id"]
    alger.wait_state(lost, "accepted")
    hub.kill()
    shutil.rmtree(hub.home)
    assert backup("hub", "restore", file, "--key", private, "--home", hub.home).code == 0
    wait_until(
        "their time is up", lambda: alger.rows("SELECT max(expires_ms) < unixepoch()*1000 FROM outbox")[0][0]
    )
    hub.start()
    alger.wait_connected()
    wait_until("the hub has both again", lambda: hub.rows("SELECT count(*) FROM spool") == [(2,)])
    time.sleep(3 * ROUND_S)
    assert hub.rows("SELECT count(*) FROM spool") == [(2,)], "returned before anybody was asked"
    oran.start()
    alger.wait_state(lost, "returned")
    wait_until("both are settled", lambda: hub.rows("SELECT count(*) FROM spool") == [(0,)])
    assert alger.ask("track", lost)["reason"] == "expired"
    assert alger.ask("track", have)["state"] == "delivered"
    assert oran.rows("SELECT count(*) FROM inbox") == [(1,)]
    assert "bad-receipt" not in {code for code, _ in alger.alarms()}


def test_what_was_said_and_not_heard_is_said_again(
    network: Network, tmp_path: Path, keys: tuple[str, Path]
) -> None:
    """Processed after the backup, told to the old hub, and not yet to the sender: of old and new messages."""
    public, private = keys
    network.start()
    alger, oran, hub = network.nodes["chu-alger"], network.nodes["chu-oran"], network.hub
    old = alger.send(TO, "--hl7", letter(tmp_path, "old"))["id"]
    alger.wait_state(old, "delivered")
    file = tmp_path / "hub.wasl-backup"
    assert backup("hub", "create", "--home", hub.home, "--key", public, "--to", file).code == 0
    new = alger.send(TO, "--hl7", letter(tmp_path, "new"))["id"]
    alger.wait_state(new, "delivered")
    alger.kill()
    for one in (old, new):
        assert oran.run("fetch", one, "--into", tmp_path / one).code == 0
    said = "SELECT count(*) FROM events WHERE state = 4"
    wait_until("the hub has both receipts", lambda: hub.rows(said) == [(2,)])
    hub.kill()
    shutil.rmtree(hub.home)
    assert backup("hub", "restore", file, "--key", private, "--home", hub.home).code == 0
    hub.start()
    wait_until("oran has said the old one again", lambda: hub.rows(said) == [(1,)])
    wait_until("the other is not believed yet", lambda: oran.rows("SELECT count(*) FROM receipts") == [(0,)])
    alger.start()
    for one in (old, new):
        alger.wait_state(one, "processed")
    assert oran.rows("SELECT count(*) FROM inbox") == [(2,)]


def test_a_backup_holds_what_its_database_names_while_it_is_being_delivered(
    network: Network, tmp_path: Path, keys: tuple[str, Path]
) -> None:
    """Backups under traffic with attachments: each verifies, and no attachment that it names is missing."""
    public, private = keys
    network.start()
    alger, hub = network.nodes["chu-alger"], network.hub
    scan = tmp_path / "scan.bin"
    scan.write_bytes(os.urandom(400_000))
    path = letter(tmp_path, "busy")
    for number in range(4):
        for n in range(3):
            alger.send(TO, "--hl7", path, "--file", scan, "--subject", f"{number} {n}")
        file = tmp_path / f"{number}.wasl-backup"
        made = backup("hub", "create", "--home", hub.home, "--key", public, "--to", file, "--json")
        assert made.code == 0, made
        assert made.json()["lost"] == []
        home = tmp_path / f"restored {number}"
        assert backup("hub", "restore", file, "--key", private, "--home", home).code == 0
        with closing(sqlite3.connect(home / "hub.db")) as tables:
            (named,) = tables.execute("SELECT count(DISTINCT id) FROM spool WHERE files > 0").fetchone()
        assert len(list(home.glob("attachments/??/*.sealed"))) == named
    assert not list(hub.home.glob("attachments/.backup-*"))


def test_a_drill_of_hub_and_node_leaves_nothing(network: Network) -> None:
    """The copies start and are ready, while the real daemons go on; nothing of them stays."""
    network.start()
    for daemon in network.daemons()[:2]:
        ran = command(daemon.room, "backup", "drill", "--home", daemon.home, "--json", timeout_s=200)
        assert ran.code == 0, ran
        assert [one["step"] for one in ran.json()["steps"]] == [
            "create",
            "verify",
            "restore",
            "start",
            "remove",
        ]
        assert not list(daemon.home.parent.glob(".drill-*"))
        assert not (daemon.home / "backup.json").exists()
        assert daemon.running
    network.nodes["chu-alger"].wait_connected()


def test_a_restored_node_hears_again_what_became_of_its_messages(
    network: Network, tmp_path: Path, keys: tuple[str, Path]
) -> None:
    """What was queued goes, what was heard after the backup is heard again, what arrived since is named."""
    public, private = keys
    network.start()
    alger, oran, hub = network.nodes["chu-alger"], network.nodes["chu-oran"], network.hub
    oran.kill()
    sent = alger.send(TO, "--hl7", letter(tmp_path, "sent"))["id"]
    alger.wait_state(sent, "accepted")
    hub.kill()
    queued = alger.send(TO, "--hl7", letter(tmp_path, "queued"))["id"]
    file = tmp_path / "alger.wasl-backup"
    assert backup("nodes", "create", "--home", alger.home, "--key", public, "--to", file).code == 0
    hub.start()
    oran.start()
    for one in (sent, queued):
        alger.wait_state(one, "delivered")
    back = oran.send(FROM, "--from", "cardio", "--hl7", letter(tmp_path, "back"))["id"]
    oran.wait_state(back, "delivered")
    assert hub.run("tell-again", "chu-alger").code == 1, "it is connected"
    alger.kill()
    shutil.rmtree(alger.home)
    assert backup("nodes", "restore", file, "--key", private, "--home", alger.home).code == 0
    wait_until("the hub knows that it is gone", lambda: not hub.ask("facilities")[0]["connected"])
    named = hub.ask("tell-again", "chu-alger", "--since", "1h")["delivered"]
    assert [(one["id"], one["from"], one["to"]) for one in named] == [(back, "chu-oran", FROM)]
    alger.start()
    for one in (sent, queued):
        alger.wait_state(one, "delivered")
    assert oran.rows("SELECT count(*), count(DISTINCT id) FROM inbox") == [(2, 2)]
