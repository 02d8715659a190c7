"""SIGKILL at each named crash point, in the middle of a message with and one without an attachment.

The promise, whatever dies wherever: after a restart both messages are there once, whole, and their sender
knows it. The names come from ``crash.reached`` in the code; one that is not reached any more fails here.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from tests.integration.conftest import NewNetwork
from tests.integration.hospital import FROM, TO, Hospital
from tests.integration.localsystems import Receiver, Sender, message
from tests.integration.network import Network, Node
from tests.integration.waiting import wait_until

FILE_BYTES = 5_000_000
"""More than one window of chunks."""
HUB_POINTS = (
    "attachment-synced",
    "attachment-checked",
    "attachment-renamed",
    "hub-chunks-stored:2",
    "hub-accepted-before-answer",
    "hub-accepted-before-answer:2",
    "hub-concluded",
    "database-committed:3",
    "database-committed:6",
)
SENDER_POINTS = (
    "node-accepted-noted",
    "node-chunks-read:3",
    "node-events-noted",
    "node-events-noted:2",
    "database-committed:4",
    "database-committed:7",
)
RECEIVER_POINTS = (
    "node-chunks-written:2",
    "node-files-fetched",
    "node-arrived-before-answer",
    "node-arrived-before-answer:2",
    "database-committed:3",
    "database-committed:5",
)
CASES = [
    *(("hub", point) for point in HUB_POINTS),
    *(("chu-alger", point) for point in SENDER_POINTS),
    *(("chu-oran", point) for point in RECEIVER_POINTS),
]


@dataclass
class Killing(Hospital):
    """A hospital whose messages are numbered over all cases."""

    scan: Path = Path()
    numbers: Iterator[int] = field(default_factory=itertools.count)


@pytest.fixture(scope="module")
def killing(module_network: NewNetwork, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killing]:
    network = module_network()
    receiver = Receiver()
    network.nodes["chu-alger"].configure(acknowledge="stored")
    network.nodes["chu-oran"].configure(deliver={"cardio": receiver.port})
    network.start()
    scan = tmp_path_factory.mktemp("scan") / "scan.bin"
    scan.write_bytes(os.urandom(FILE_BYTES))
    yield Killing(network, receiver, scan)
    receiver.close()


@pytest.mark.parametrize(("who", "point"), CASES)
def test_killed_there_each_message_arrives_once(killing: Killing, who: str, point: str) -> None:
    """Killed at this point and started again, nothing is lost, nothing is doubled, states are right."""
    network = killing.network
    alger, oran = network.nodes["chu-alger"], network.nodes["chu-oran"]
    victim = network.hub if who == "hub" else network.nodes[who]
    control = f"crash-{next(killing.numbers)}"
    payload = message(FROM, TO, control)
    victim.restart(crash_at=point)
    try:
        with ThreadPoolExecutor(1) as pool, Sender(alger.mllp_port, patience_s=3) as sender:
            answer = pool.submit(sender.code, payload)
            filed = alger.send("labo@chu-oran", "--file", killing.scan)["id"]
            assert victim.wait_dead() == -signal.SIGKILL
            victim.start()
            assert answer.result() == "AA"
        alger.wait_state(filed, "delivered")
        wait_until(f"{control} is processed", lambda: killing.sent(control)[1] == "4 AA", 30)
    except BaseException:
        victim.kill()
        victim.start()  # for the next case
        raise
    plain = killing.sent(control)[0].lower()
    arrived = [(raw, body) for raw, _, body in oran.arrived()]
    assert [body for raw, body in arrived if raw == plain] == [payload]
    assert len([raw for raw, _ in arrived if raw == filed.replace("-", "")]) == 1
    assert killing.receiver.received.count(payload) >= 1
    assert file_of(oran, filed) == killing.scan.read_bytes()
    for identifier in (plain, filed.replace("-", "")):
        last = ["processed"] if identifier == plain else []
        states = ["queued", "accepted", "delivered", *last]
        wait_until(f"{identifier} has its whole history", partial(went_through, alger, identifier, states))
    wait_until("the hub holds nothing any more", lambda: network.hub.rows("SELECT 1 FROM spool") == [], 10)


def went_through(node: Node, identifier: str, states: list[str]) -> bool:
    return node.states(identifier) == states


def file_of(node: Node, identifier: str) -> bytes:
    """Return the bytes of the one file of a message that arrived."""
    rows = node.rows(
        "SELECT f.path FROM inbox i JOIN inbox_files f ON f.inbox_seq = i.seq WHERE i.id = ?",
        bytes.fromhex(identifier.replace("-", "")),
    )
    assert len(rows) == 1
    return (node.home / str(rows[0][0])).read_bytes()


def test_a_join_cut_off_is_finished_by_the_same_command(new_network: NewNetwork) -> None:
    """The hub dies between the commit of a credential and its answer: the same code works again, once."""
    network = new_network(())
    code = network.invite("clinique", "--mailbox", "labo")
    network.hub.start(crash_at="hub-joined-before-answer")
    assert network.join(code, "clinique").code == 1
    assert network.hub.wait_dead() == -signal.SIGKILL
    network.hub.start()
    again = network.join(code, "clinique")
    assert (again.code, again.out) == (0, ""), again
    stolen = network.join(code, "thief")
    assert stolen.code == 1
    assert "used before" in stolen.err
    facilities = {one["facility"]: one["state"] for one in network.hub.ask("facilities")}
    assert facilities["clinique"] == "active"


FOLDER_OUT = ("folder-put", "folder-move-noted", "folder-moved-one")
FOLDER_IN = ("folder-staged", "folder-handed", "folder-shown")


@pytest.fixture(scope="module")
def foldered(module_network: NewNetwork) -> Network:
    network = module_network()
    for node in network.nodes.values():
        node.configure('[folder]\npath = "exchange"\npoll = "200ms"\n')
    network.start()
    return network


@pytest.mark.parametrize(
    ("who", "point"),
    [*(("chu-alger", point) for point in FOLDER_OUT), *(("chu-oran", point) for point in FOLDER_IN)],
)
def test_the_drop_folder_survives_its_crash_points(foldered: Network, who: str, point: str) -> None:
    """Killed while files move, a message of the folder is sent once, laid out whole, and taken once."""
    alger, oran = foldered.nodes["chu-alger"], foldered.nodes["chu-oran"]
    out, laid = alger.home / "exchange" / "out", oran.home / "exchange" / "in"
    payload = message("labo@chu-alger", TO, point)
    (out / f"{point}.dat").write_bytes(payload)
    (out / f"{point}.bin").write_bytes(b"\0scan" * 50_000)
    victim = foldered.nodes[who]
    victim.restart(crash_at=point)
    control = {"to": [TO], "from": "labo", "payload": f"{point}.dat", "attachments": [f"{point}.bin"]}
    (out / "tmp").write_text(json.dumps(control), encoding="utf-8")
    (out / "tmp").rename(out / f"{point}.json")
    assert victim.wait_dead() == -signal.SIGKILL
    victim.start()

    def laid_out() -> list[dict[str, str]]:
        shown = [json.loads(path.read_bytes()) for path in laid.glob("[!.]*.json")]
        return [one for one in shown if (laid / one["payload"]).read_bytes() == payload]

    wait_until("the message lies in in/", laid_out, 30)
    wait_until("out/ is empty", lambda: not any(out.iterdir()))
    sql = "SELECT count(*) FROM inbox WHERE body = ?"
    assert oran.rows(sql, payload) == [(1,)]
    assert len(laid_out()) == 1
    sent = [path.name for path in (alger.home / "exchange" / "sent").iterdir() if point in path.name]
    assert sorted(name.rpartition(".")[2] for name in sent) == ["bin", "dat", "json"]
    assert not any((alger.home / "exchange" / "failed").iterdir())
