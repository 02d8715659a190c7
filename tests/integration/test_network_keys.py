"""The network's own keys are replaced while messages flow between real daemons: none is lost or comes twice.

And a node that was away all the time, and one that a restored hub has forgotten, find their way back.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from tests.integration.daemons import Daemon, Ran, command
from tests.integration.network import FACILITIES, Network, Node
from tests.integration.test_restore import backup, keys, letter
from tests.integration.test_rotation import Traffic, check_all_arrived, rotated
from tests.integration.waiting import wait_until

__all__ = ["keys"]
FOLLOWED_S = 90.0


def rotate(hub: Daemon, *arguments: str | Path) -> Ran:
    ran = hub.run("rotate", *arguments)
    assert ran.code == 0, ran
    return ran


def start(network: Network) -> tuple[Daemon, Node, Node]:
    """Start the network; who has no node here is out of traffic, and nobody waits for it."""
    network.start()
    for absent in FACILITIES[2:]:
        assert network.hub.run("suspend", absent).code == 0
    return network.hub, network.nodes["chu-alger"], network.nodes["chu-oran"]


def status(hub: Daemon) -> dict[str, Any]:
    found: dict[str, Any] = hub.ask("rotate", "status")
    return found


def wait_all_followed(hub: Daemon) -> None:
    wait_until(
        "all nodes have followed",
        lambda: [one["behind"] for one in status(hub)["under_way"]] == [[]],
        timeout_s=FOLLOWED_S,
    )


def exchange(sender: Node, recipient: Node, tmp_path: Path, name: str) -> None:
    """Show that a message still gets through, and its receipt back."""
    to = f"cardio@{recipient.facility}"
    sent = sender.send(to, "--hl7", letter(tmp_path, name), "--subject", name)["id"]
    sender.wait_state(sent, "delivered")


def test_all_three_keys_are_replaced_under_traffic(network: Network, tmp_path: Path) -> None:
    hub, alger, oran = start(network)
    before = status(hub)
    with Traffic(network, tmp_path, messages=10) as traffic:
        rotate(hub, "link", "begin")
        rotate(hub, "link", "announce")
        wait_all_followed(hub)
        rotate(hub, "link", "finish")
        rotate(hub, "authority", "begin")
        rotate(hub, "audit")
    wait_all_followed(hub)
    rotate(hub, "authority", "finish")
    for node in (alger, oran):
        wait_until("both are back", lambda one=node: one.get("/readyz")[0] == 200)  # type: ignore[misc]  # bound now
    check_all_arrived(traffic)
    after = status(hub)
    for what in ("link", "authority", "audit"):
        assert after[what] != before[what]
    assert after["under_way"] == []
    assert len(after["link"]) == 1
    # What comes next works by the new keys alone: a renewal, a join, everybody's restart.
    assert rotated(oran).code == 0
    code = network.invite("eph-tenes")
    assert network.join(code, "eph-tenes").code == 0
    for daemon in network.daemons():
        daemon.restart()
    for node in (alger, oran):
        node.wait_connected()
    exchange(alger, oran, tmp_path, "after")
    wait_until("the log is signed by the new key", lambda: hub.ask("audit", "verify")["valid"])
    assert {code for code, _ in [*alger.alarms(), *oran.alarms()]} <= {"clock"}


def test_a_node_that_was_away_all_the_time_is_let_back_by_a_file(network: Network, tmp_path: Path) -> None:
    hub, alger, oran = start(network)
    oran.stop()
    rotate(hub, "link", "begin")
    rotate(hub, "link", "announce")
    wait_until(
        "chu-alger has followed",
        lambda: [one["facility"] for one in status(hub)["under_way"][0]["behind"]] == ["chu-oran"],
        timeout_s=FOLLOWED_S,
    )
    refused = hub.run("rotate", "link", "finish")
    assert (refused.code, "chu-oran" in refused.err) == (1, True)
    rotate(hub, "link", "finish", "--force")
    oran.start()
    wait_until("the hub's door is shut for it", lambda: b"hub-lost" in oran.said())
    file = tmp_path / "keys.json"
    rotate(hub, "export", file)
    spoiled = tmp_path / "spoiled.json"
    spoiled.write_bytes(file.read_bytes().replace(b'"hub": "hub"', b'"hub": "bub"'))
    assert oran.run("trust", spoiled).code == 1
    done = oran.run("trust", file)
    assert done.code == 0, done
    oran.wait_connected()
    exchange(alger, oran, tmp_path, "back")


def test_an_authority_elsewhere_is_succeeded_by_files(network: Network, tmp_path: Path) -> None:
    hub, alger, oran = start(network)
    old, new, asked, signed = (tmp_path / name for name in ("old", "new", "asked.json", "signed.json"))
    assert hub.run("authority", "detach", "--into", old).code == 0
    hub.restart()
    for node in (alger, oran):
        node.wait_connected()
    assert hub.run("rotate", "authority", "begin").code == 1
    assert hub.run("authority", "export-requests", asked, "--everything").code == 0
    more = ("--key", old, "--new-key", new, "--into", signed, "--yes")
    ran = command("hub", "authority", "succeed", asked, *more)
    assert ran.code == 0, ran
    ran = hub.run("authority", "import", signed)
    assert ran.code == 0, ran
    wait_all_followed(hub)
    rotate(hub, "authority", "finish")
    for path in (asked, signed):
        path.unlink()
    assert hub.run("authority", "export-requests", asked).code == 0
    ran = command("hub", "authority", "sign", asked, "--key", new, "--into", signed, "--yes")
    assert ran.code == 0, ran
    assert hub.run("authority", "import", signed).code == 0
    assert status(hub)["under_way"] == []
    exchange(alger, oran, tmp_path, "after")


def test_a_node_that_a_restored_hub_has_forgotten_is_let_in_by_a_person(
    network: Network, tmp_path: Path, keys: tuple[str, Path]
) -> None:
    """It changed its keys after the backup was made; what it was sent meanwhile is settled as ever."""
    public, private = keys
    hub, alger, oran = start(network)
    file = tmp_path / "hub.wasl-backup"
    assert backup("hub", "create", "--home", hub.home, "--key", public, "--to", file).code == 0
    assert rotated(oran).code == 0
    oran.wait_connected()
    exchange(alger, oran, tmp_path, "before")
    hub.kill()
    shutil.rmtree(hub.home)
    assert backup("hub", "restore", file, "--key", private, "--home", hub.home).code == 0
    hub.start()
    alger.wait_connected()
    waits = alger.send("cardio@chu-oran", "--hl7", letter(tmp_path, "waits"))["id"]
    (knocks,) = wait_until("chu-oran knocks", lambda: hub.ask("readmit"), timeout_s=120)
    assert (knocks["facility"], knocks["serial"]) == ("chu-oran", 2)
    assert knocks["fingerprint"] == oran.ask("status")["fingerprint"]["words"]
    assert oran.get("/readyz")[0] != 200
    assert hub.run("readmit", "chu-oran").code == 0
    oran.wait_connected(timeout_s=120)
    alger.wait_state(waits, "delivered")
    assert hub.ask("readmit") == []
