"""What goes wrong on the way gets an answer and loses nothing: daemons down, full disks, policy, time."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.hospital import FROM, TO
from tests.integration.localsystems import Sender, field, message
from tests.integration.network import HUB_LIMITS, Network, Node
from tests.integration.waiting import wait_until

NO_ROOM = "100TiB"


@pytest.fixture
def letter(tmp_path: Path) -> Path:
    path = tmp_path / "letter.hl7"
    path.write_bytes(message(FROM, TO, "L1"))
    return path


def reason(node: Node, identifier: str) -> tuple[str, str]:
    """Return state and reason of a message, as ``track`` tells them."""
    track = node.ask("track", identifier)
    return track["state"], track["reason"]


def test_hub_down_then_recipient_down(network: Network, letter: Path) -> None:
    """Without the hub messages wait at their sender, without the recipient at the hub; both go in order."""
    network.start()
    alger, oran, hub = network.nodes["chu-alger"], network.nodes["chu-oran"], network.hub
    hub.kill()
    sent = [alger.send(TO, "--hl7", letter, "--subject", str(n)) for n in range(3)]
    assert {one["state"] for one in sent} == {"queued"}
    wait_until("alger is not ready", lambda: alger.get("/readyz")[0] == 503)
    status = alger.ask("status")
    assert (status["running"], status["connected"], status["queued"]) == (True, False, 3)
    oran.kill()
    hub.start()
    for one in sent:
        alger.wait_state(one["id"], "accepted")
    assert [(q["facility"], q["messages"]) for q in hub.ask("queue")] == [("chu-oran", 3)]
    oran.start()
    for one in sent:
        alger.wait_state(one["id"], "delivered")
    assert [one["subject"] for one in oran.ask("inbox")] == ["0", "1", "2"]


def test_a_full_disk_at_the_sender_refuses_before_taking(network: Network, letter: Path) -> None:
    """No room at the node: exit 1 and AR, nothing is taken; with room the same bytes are taken and go."""
    network.start()
    alger = network.nodes["chu-alger"]
    alger.configure(acknowledge="stored", floor=NO_ROOM)
    alger.restart()
    ran = alger.run("send", "--to", TO, "--hl7", letter, "--json")
    assert (ran.code, ran.out) == (1, "")
    assert "disk" in ran.err
    payload = message(FROM, TO, "full-1")
    with Sender(alger.mllp_port) as sender:
        assert field(sender.once(payload), b"MSA", 1) == "AR"
        assert alger.rows("SELECT count(*) FROM outbox") == [(0,)]
        assert "disk" in alger.get("/readyz?verbose")[1]
        alger.configure(acknowledge="stored")
        alger.restart()
        assert sender.code(payload) == "AA"
    wait_until("it has arrived", lambda: len(network.nodes["chu-oran"].arrived()) == 1)


def test_a_full_disk_at_the_hub_holds_messages_at_their_senders(network: Network, letter: Path) -> None:
    """No room at the hub: it says busy before it accepts, messages stay queued, and go when there is room."""
    network.configure_hub(floor=NO_ROOM)
    network.start()
    alger, hub = network.nodes["chu-alger"], network.hub
    ran = alger.run("send", "--to", TO, "--hl7", letter, "--wait", "accepted", "--timeout", "2s", "--json")
    assert (ran.code, ran.json()["state"]) == (4, "queued")
    assert b"hub-busy" in alger.said()
    assert hub.rows("SELECT count(*) FROM ledger") == [(0,)]
    network.configure_hub()
    hub.restart()
    alger.wait_state(ran.json()["id"], "delivered")


def test_policy_and_size_return_what_is_refused(network: Network, letter: Path, tmp_path: Path) -> None:
    """A kind that is not allowed and a file that is too large come back with a code; what follows passes."""
    rule = '[[policy.rule]]\neffect = "deny"\nkind = "ORU^*"\nfrom = "*@chu-alger"\n'
    network.configure_hub(HUB_LIMITS + 'max_attachment = "1MiB"\n' + rule)
    network.start()
    alger = network.nodes["chu-alger"]
    result, large = tmp_path / "oru.hl7", tmp_path / "large.bin"
    result.write_bytes(message(FROM, TO, "R1", kind="ORU^R01"))
    large.write_bytes(b"\0" * ((1 << 20) + 1))
    denied = alger.run("send", "--to", TO, "--hl7", result, "--wait", "delivered", "--json")
    assert (denied.code, denied.json()["state"], denied.json()["reason"]) == (1, "returned", "not-allowed")
    assert "not-allowed" in denied.err
    assert reason(alger, denied.json()["id"]) == ("returned", "not-allowed")
    refused = alger.run("send", "--to", TO, "--file", large, "--wait", "delivered", "--json")
    assert (refused.code, refused.json()["state"], refused.json()["reason"]) == (1, "returned", "too-large")
    passed = alger.run("send", "--to", TO, "--hl7", letter, "--wait", "delivered", "--json")
    assert passed.code == 0
    assert len(network.nodes["chu-oran"].arrived()) == 1


def test_time_limits(network: Network, letter: Path) -> None:
    """What cannot be delivered in time comes back as expired within seconds, and is told late before that."""
    alger, hub = network.nodes["chu-alger"], network.hub
    hub.start()
    alger.start()
    alger.wait_connected()
    late = alger.send(TO, "--hl7", letter, "--valid-for", "15s")["id"]
    soon = alger.send(TO, "--hl7", letter, "--valid-for", "2s")["id"]
    stays = alger.send(TO, "--hl7", letter)["id"]
    alger.wait_state(soon, "returned", 20)
    assert reason(alger, soon) == ("returned", "expired")
    alger.wait_state(late, "returned", 40)
    track = alger.ask("track", late)
    assert [line["state"] for line in track["history"]] == ["queued", "accepted", "delayed", "returned"]
    assert track["history"][2]["reason"] == "recipient-offline"
    network.nodes["chu-oran"].start()
    alger.wait_state(stays, "delivered")
    assert len(network.nodes["chu-oran"].arrived()) == 1


def test_expired_before_the_hub_was_ever_reached(network: Network, letter: Path) -> None:
    """Without a hub the sender's own node returns what expired, and says why."""
    alger = network.nodes["chu-alger"]
    alger.start()
    sent = alger.send(TO, "--hl7", letter, "--valid-for", "1s")["id"]
    alger.wait_state(sent, "returned", 25)
    track = alger.ask("track", sent)
    assert (track["state"], track["history"][-1]["reason"]) == ("returned", "expired")
    assert "could not be reached" in track["history"][-1]["text"]


def test_a_revoked_node_is_out_and_told_so(network: Network, letter: Path) -> None:
    """Revocation cuts the session at once, is told to the node and its operator, and to everybody else."""
    network.start()
    alger, oran, hub = network.nodes["chu-alger"], network.nodes["chu-oran"], network.hub
    assert hub.run("revoke", "chu-oran", "--reason", "stolen").code == 0
    wait_until("oran is told", lambda: "revoked" in oran.get("/readyz?verbose")[1])
    assert oran.ask("status")["connected"] is False
    wait_until(
        "alger knows", lambda: alger.rows("SELECT active FROM addressbook WHERE name = 'chu-oran'") == [(0,)]
    )
    ran = alger.run("send", "--to", TO, "--hl7", letter)
    assert (ran.code, ran.out) == (1, "")
    assert "not active" in ran.err
    oran.restart()
    wait_until("oran is told again", lambda: "revoked" in oran.get("/readyz?verbose")[1])
    assert {f["facility"]: f["state"] for f in hub.ask("facilities")}["chu-oran"] == "revoked"


def test_a_suspended_node_comes_back_to_what_waits(network: Network, letter: Path) -> None:
    """Suspended, a facility is cut off and told so; what waits for it stays; resumed, it gets it."""
    network.start()
    alger, oran, hub = network.nodes["chu-alger"], network.nodes["chu-oran"], network.hub
    oran.stop()
    sent = alger.send(TO, "--hl7", letter, "--wait", "accepted", "--timeout", "20s")["id"]
    assert hub.run("suspend", "chu-oran").code == 0
    oran.start()
    wait_until("oran is told", lambda: "suspended" in oran.get("/readyz?verbose")[1])
    assert [q["messages"] for q in hub.ask("queue")] == [1]
    assert hub.run("resume", "chu-oran").code == 0
    # A suspended node asks again within half a minute by itself.
    alger.wait_state(sent, "delivered")


def test_joining(network: Network) -> None:
    """A code works once, in time, typed right; what is wrong is said: exit 1, or 2 if mistyped."""
    hub = network.hub
    code = network.invite("clinique")
    away = network.join(code, "clinique")
    assert (away.code, away.out) == (1, "")
    assert "cannot be reached" in away.err
    expiring = network.invite("cabinet", "--valid-for", "1s")
    hub.start()
    mistyped = network.join(code[:-3] + ("aaa" if code[-3:] != "aaa" else "bbb"), "typo")
    assert mistyped.code == 2
    assert "mistyped" in mistyped.err
    assert network.join("hello", "typo").code == 2
    late = network.join(expiring, "cabinet")
    assert late.code == 1
    assert "expired" in late.err
    assert network.join(code, "clinique").code == 0
    twice = network.join(code, "clinique")
    assert twice.code == 1
    assert "joined a network already" in twice.err
    other = network.join(code, "other")
    assert other.code == 1
    assert "used before" in other.err
