"""New keys while messages flow, with real processes that die in between: none is lost, none comes twice."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Self

import pytest

from tests.integration.daemons import Ran, command
from tests.integration.localsystems import message
from tests.integration.network import Network, Node
from tests.integration.waiting import wait_until

MESSAGES = 24


def rotated(node: Node) -> Ran:
    return command("nodes", "rotate", "--home", node.home, "--json", "--timeout", "60s", timeout_s=90)


def serial(node: Node) -> int:
    return int(node.ask("status")["keys"]["serial"])


class Traffic:
    """Both facilities write to each other, all the time."""

    def __init__(self, network: Network, path: Path, messages: int = MESSAGES) -> None:
        self.messages = messages
        self.nodes = network.nodes["chu-alger"], network.nodes["chu-oran"]
        self.sent: list[tuple[Node, str, Node]] = []
        self._path = path
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(timeout=120)

    def _run(self) -> None:
        for number in range(self.messages):
            sender, recipient = self.nodes[:: 1 if number % 2 else -1]
            to = f"cardio@{recipient.facility}"
            path = self._path / f"{number}.hl7"
            path.write_bytes(message(f"labo@{sender.facility}", to, str(number)))
            done = sender.run("send", "--to", to, "--hl7", path, "--json")
            assert done.code == 0, done.err
            self.sent.append((sender, done.json()["id"], recipient))


def check_all_arrived(traffic: Traffic) -> None:
    assert len(traffic.sent) == traffic.messages
    for sender, identifier, _ in traffic.sent:
        sender.wait_state(identifier, "delivered")
    for recipient in traffic.nodes:
        wanted = {identifier.replace("-", "") for _, identifier, to in traffic.sent if to is recipient}
        got = [identifier for identifier, _, _ in recipient.arrived()]
        assert sorted(got) == sorted(wanted), "each once"
        assert [code for code, _ in recipient.alarms() if code != "clock"] == []


def test_both_sides_get_new_keys_and_no_message_notices(network: Network, tmp_path: Path) -> None:
    network.start()
    alger, oran = network.nodes["chu-alger"], network.nodes["chu-oran"]
    before = alger.ask("status")["fingerprint"], oran.ask("status")["fingerprint"]
    with Traffic(network, tmp_path) as traffic:
        assert rotated(oran).code == 0
        assert rotated(alger).code == 0
    check_all_arrived(traffic)
    assert (serial(alger), serial(oran)) == (2, 2)
    after = alger.ask("status")["fingerprint"], oran.ask("status")["fingerprint"]
    assert set(map(str, before)).isdisjoint(map(str, after))
    shown = {one["facility"]: one["keys"]["fingerprint"] for one in network.hub.ask("facilities")}
    assert (shown["chu-alger"], shown["chu-oran"]) == after


@pytest.mark.parametrize("point", ["node-renewed-before-switch", "node-keys-switched"])
def test_a_node_that_dies_while_its_keys_change_goes_on(network: Network, tmp_path: Path, point: str) -> None:
    network.start()
    oran = network.nodes["chu-oran"]
    oran.restart(crash_at=point)
    oran.wait_connected()
    with Traffic(network, tmp_path) as traffic:
        command("nodes", "rotate", "--home", oran.home, "--timeout", "0s")
        oran.wait_dead()
        oran.start()
        wait_until("the keys are new", lambda: serial(oran) == 2, timeout_s=60)
        oran.wait_connected()
    check_all_arrived(traffic)
    wait_until("nothing is left over", lambda: not (oran.home / "renewed-keys/keys-next").exists())


def test_a_message_sealed_for_the_keys_before_still_opens(network: Network, tmp_path: Path) -> None:
    """It waits at the hub, sealed, while its recipient changes keys and never saw it."""
    network.start()
    alger, oran = network.nodes["chu-alger"], network.nodes["chu-oran"]
    oran.stop()
    path = tmp_path / "old.hl7"
    path.write_bytes(message("labo@chu-alger", "cardio@chu-oran", "old"))
    sent = alger.send("cardio@chu-oran", "--hl7", path)["id"]
    alger.wait_state(sent, "accepted")
    asked = command("nodes", "rotate", "--home", oran.home)
    assert (asked.code, "daemon does not run" in asked.err) == (3, True)
    oran.start()
    alger.wait_state(sent, "delivered")
    wait_until("the keys are new", lambda: serial(oran) == 2, timeout_s=60)


def test_an_old_copy_of_the_home_does_not_come_back(network: Network) -> None:
    network.start()
    oran = network.nodes["chu-oran"]
    old = {name: (oran.home / name).read_bytes() for name in ("keys", "identity.json")}
    assert rotated(oran).code == 0
    oran.wait_connected()
    oran.stop()
    for name, content in old.items():
        (oran.home / name).write_bytes(content)
    oran.start(wait=False)
    wait_until("it is told", lambda: "old home" in oran.get("/readyz?verbose")[1])
