"""Five MLLP implementations by others, in both directions: their client in, their server out, ours between.

A message goes: their client → our node's MLLP in → hub → the other node's MLLP out → their server, and the
answer of their server all the way back to their client. What crosses the wire at both ends is recorded by
taps, so "identical" is judged by bytes and not by what a library shows.

Each server is met by every client: what one sends oddly, another must be able to take.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.conftest import NewNetwork
from tests.integration.hospital import FROM, TO
from tests.integration.localsystems import Receiver, Sender, control_id, field, message
from tests.integration.network import Network
from tests.integration.peers import PEERS, Peer, Unavailable
from tests.integration.ports import free_port
from tests.integration.tap import Tap
from tests.integration.waiting import wait_until

NAMES = [peer.name for peer in PEERS]


class Crossing:
    """Two nodes that answer when the other side's system has; taps before the first and behind the second."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.alger, self.oran = network.nodes["chu-alger"], network.nodes["chu-oran"]
        self.inward = Tap(self.alger.mllp_port)
        self.outward = Tap(free_port())
        self.alger.configure(acknowledge="processed")
        self.oran.configure(deliver={"cardio": self.outward.port})
        network.start()

    def close(self) -> None:
        self.inward.close()
        self.outward.close()

    def states(self, control: str) -> list[tuple[int, str]]:
        """Return (state, code) of the message with this MSH-10 at its sender: 4 is processed."""
        return self.alger.rows(
            "SELECT r.state, r.code FROM outbox o JOIN outbox_recipients r ON r.outbox_seq = o.seq"
            " WHERE o.key LIKE ?",
            f"%/{control}",
        )

    def bodies(self, control: str) -> list[bytes]:
        """Return the bodies with this MSH-10 in the recipient's inbox."""
        return [body for _, _, body in self.oran.arrived() if control_id(body) == control]


@pytest.fixture(scope="module")
def crossing(module_network: NewNetwork) -> Iterator[Crossing]:
    made = Crossing(module_network())
    yield made
    made.close()


def ready(peer: Peer) -> Peer:
    """Skip, by name and with the reason, what cannot run here."""
    try:
        peer.environment()
    except Unavailable as reason:
        pytest.skip(f"{peer.name}: {reason}")
    return peer


@pytest.mark.parametrize("server", PEERS, ids=NAMES)
def test_every_client_reaches_this_server(crossing: Crossing, server: Peer, tmp_path: Path) -> None:
    """The server's AA comes back to each client, and the server gets each message byte for byte."""
    ready(server)
    with ExitStack() as stack:
        crossing.outward.target = free_port()
        log = stack.enter_context(server.serving(crossing.outward.target, tmp_path / "server.log"))
        for client in PEERS:
            try:
                client.environment()
            except Unavailable as reason:
                print(f"{client.name} is left out: {reason}")
                continue
            cross(crossing, client, server, log, tmp_path)


def cross(crossing: Crossing, client: Peer, server: Peer, log: Path, tmp_path: Path) -> None:
    control = f"{client.name}-{server.name}"
    letter = tmp_path / "letter.hl7"
    letter.write_bytes(message(FROM, TO, control, text=f"de {client.name}, à {server.name}"))

    understood = client.send(crossing.inward.port, letter)

    assert field(understood, b"MSA", 1) == "AA", understood
    assert field(understood, b"MSA", 2) == control
    assert crossing.states(control) == [(4, "AA")]
    (sent,) = [one for one in crossing.inward.payloads("caller") if control_id(one) == control]
    assert crossing.bodies(control) == [sent]
    assert [one for one in crossing.outward.payloads("caller") if control_id(one) == control] == [sent]
    assert "بن علي".encode() in sent
    wait_until(f"{server.name} says what it got", lambda: f"RX {control}" in log.read_text(errors="replace"))


@pytest.mark.parametrize("peer", PEERS, ids=NAMES)
def test_a_refusal_is_understood_by_this_client(crossing: Crossing, peer: Peer, tmp_path: Path) -> None:
    """AE for an unknown mailbox reaches the client as AE, with its own control id and the field named."""
    ready(peer)
    control = f"refused-{peer.name}"
    letter = tmp_path / "letter.hl7"
    letter.write_bytes(message(FROM, "dentiste@chu-oran", control))
    understood = peer.send(crossing.inward.port, letter)
    assert field(understood, b"MSA", 1) == "AE"
    assert field(understood, b"MSA", 2) == control
    assert "MSH-5" in field(understood, b"MSA", 3)
    assert crossing.states(control) == []


def test_the_taps_would_show_a_changed_byte() -> None:
    """What the proofs above rest on: the tap's copy is what crossed, both ways."""
    receiver = Receiver()
    with Tap(receiver.port) as tap, Sender(tap.port) as sender:
        letter = message(FROM, TO, "TAP")
        answer = sender.send(letter)
        assert tap.payloads("caller") == receiver.received == [letter]
        assert tap.payloads("called") == [answer]
        assert tap.payloads("caller") != [letter.replace(b"TAP", b"TAB")]
    receiver.close()
