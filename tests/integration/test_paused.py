"""A paused queue under real daemons: nothing arrives, not after a restart, and all of it later."""

from __future__ import annotations

from pathlib import Path

from tests.integration.hospital import FROM, TO
from tests.integration.localsystems import message
from tests.integration.network import Network
from tests.integration.waiting import wait_until


def test_a_pause_outlives_the_hub_and_loses_nothing(network: Network, tmp_path: Path) -> None:
    letter = tmp_path / "letter.hl7"
    letter.write_bytes(message(FROM, TO, "P1"))
    network.start()
    alger, oran, hub = network.nodes["chu-alger"], network.nodes["chu-oran"], network.hub
    first = alger.send(TO, "--hl7", letter, "--subject", "before")
    alger.wait_state(first["id"], "delivered")
    assert hub.run("queue", "pause", "chu-oran", "--reason", "a full store").code == 0
    assert hub.run("queue", "pause", "chu-oran", "--reason", "again").code == 1

    def held() -> bool:
        return any(one["facility"] == "chu-oran" and one["paused"] for one in hub.ask("queue"))

    waiting = [alger.send(TO, "--hl7", letter, "--subject", str(n)) for n in range(2)]
    for one in waiting:
        alger.wait_state(one["id"], "accepted")
    wait_until("the queue is not shown as paused", held)
    hub.kill()
    hub.start()
    wait_until("oran is not back", lambda: oran.ask("status")["connected"])
    late = alger.send(TO, "--hl7", letter, "--subject", "2")
    alger.wait_state(late["id"], "accepted")
    assert [one["subject"] for one in oran.ask("inbox")] == ["before"]
    assert hub.run("queue", "resume", "chu-oran").code == 0
    for one in (*waiting, late):
        alger.wait_state(one["id"], "delivered")
    assert [one["subject"] for one in oran.ask("inbox")] == ["before", "0", "1", "2"]
