"""Two hub processes behind HAProxy on one PostgreSQL: they are one hub to the nodes, and lose nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.databases.urls import Databases
from tests.integration import balancer
from tests.integration.cluster import Cluster
from tests.integration.hospital import FROM, TO
from tests.integration.localsystems import message
from tests.integration.template import FACILITIES
from tests.integration.waiting import wait_until
from tests.torture.kills import Campaign


@pytest.fixture
def cluster(databases: Databases, tmp_path: Path) -> Iterator[Cluster]:
    if why := balancer.missing():
        pytest.skip(why)
    name = databases.create()
    made = Cluster(tmp_path, databases.server.url(name))
    yield made
    made.close()
    databases.drop(name)


@pytest.fixture
def letter(tmp_path: Path) -> Path:
    path = tmp_path / "letter.hl7"
    path.write_bytes(message(FROM, TO, "L1"))
    return path


def split(cluster: Cluster) -> None:
    """Have alger at the first process and oran at the second."""
    for node, hub in zip(("chu-alger", "chu-oran"), cluster.hubs, strict=True):
        cluster.nodes[node].configure(hub_port=hub.link_port)


def test_a_message_for_a_node_at_the_other_process(cluster: Cluster, letter: Path, tmp_path: Path) -> None:
    """Messages, receipts and files cross at once, a revocation within seconds."""
    split(cluster)
    cluster.start()
    alger, oran = cluster.nodes["chu-alger"], cluster.nodes["chu-oran"]
    where = cluster.where()
    assert where["chu-alger"] == cluster.number(cluster.hubs[0])
    assert where["chu-oran"] == cluster.number(cluster.hubs[1])
    for number in range(5):
        alger.send(TO, "--hl7", letter, "--subject", str(number), "--wait", "delivered", "--timeout", "20s")
    assert [one["subject"] for one in oran.ask("inbox")] == ["0", "1", "2", "3", "4"]
    scan = tmp_path / "scan.bin"
    scan.write_bytes(bytes(3_000_000))
    sent = alger.run("send", "--to", TO, "--file", scan, "--wait", "delivered", "--timeout", "30s", "--json")
    assert sent.code == 0, sent
    assert cluster.hubs[0].run("revoke", "chu-oran", "--reason", "stolen").code == 0
    began_s = time.monotonic()
    wait_until("oran is told", lambda: "revoked" in oran.get("/readyz?verbose")[1])
    assert time.monotonic() - began_s < 5


def test_the_newest_session_wins(cluster: Cluster, letter: Path) -> None:
    """A copy of a node's home connects to the other process: the session before it is cut there, at once."""
    split(cluster)
    cluster.start()
    oran, first = cluster.nodes["chu-oran"], cluster.hubs[0]
    oran.kill()
    oran.configure(hub_port=first.link_port)
    oran.start()
    oran.wait_connected()
    assert cluster.where()["chu-oran"] == cluster.number(first)
    sent = cluster.nodes["chu-alger"].send(TO, "--hl7", letter)
    cluster.nodes["chu-alger"].wait_state(sent["id"], "delivered")


def test_a_dead_process_moves_its_nodes(cluster: Cluster, letter: Path) -> None:
    """Kill -9: its nodes are at the other one within seconds, and what was accepted is delivered."""
    cluster.start()
    alger = cluster.nodes["chu-alger"]
    victim = cluster.hubs[0]
    before = cluster.number(victim)
    sent = [alger.send(TO, "--hl7", letter)["id"] for _ in range(3)]
    victim.kill()
    survivor = cluster.number(cluster.hubs[1])
    wait_until("all are at the other", lambda: set(cluster.where().values()) == {survivor}, 60)
    sent += [alger.send(TO, "--hl7", letter)["id"] for _ in range(3)]
    for identifier in sent:
        alger.wait_state(identifier, "delivered")
    assert len(cluster.nodes["chu-oran"].arrived()) == len(sent)
    wait_until(
        "it is buried",
        lambda: cluster.hub.rows("SELECT count(*) FROM hubs WHERE number = ?", before) == [(0,)],
        60,
    )


class HubKills(Campaign):
    """Traffic while now one, now the other hub process is killed and comes back."""

    def _kill(self) -> None:
        assert isinstance(self.network, Cluster)
        victim = self.network.hubs[self._kills.total() % 2]
        assert victim.running, f"{victim.home.name} ended by itself with {victim.exit_code}"
        victim.kill()
        self._kills[victim.home.name] += 1
        time.sleep(self._random.uniform(0, 2))
        victim.start()


@pytest.mark.slow
def test_killing_processes_under_traffic(cluster: Cluster, tmp_path: Path) -> None:
    """SIGKILLs of both in turn under MLLP and file traffic: 0 lost, 0 doubled, order kept, states right."""
    assert set(cluster.nodes) == set(FACILITIES)
    outcome = HubKills(tmp_path, tmp_path, 1, cluster).run(kills=4)
    print(outcome)
    assert outcome.faults == []
    assert outcome.messages > 50
