"""When a local system gets its AA: what ``acknowledge`` asks for, truly reached, across real processes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.conftest import NewNetwork
from tests.integration.hospital import FROM, TO, Hospital
from tests.integration.localsystems import Receiver, Sender, acknowledge, field, message
from tests.integration.waiting import wait_until


@pytest.fixture(scope="module")
def hospital(module_network: NewNetwork) -> Iterator[Hospital]:
    network = module_network()
    receiver = Receiver()
    network.nodes["chu-oran"].configure(deliver={"*": receiver.port})
    network.start()
    yield Hospital(network, receiver)
    receiver.close()


@pytest.mark.parametrize("level", ["accepted", "delivered", "processed"])
def test_acknowledge_waits_for_its_level(hospital: Hospital, level: str) -> None:
    """AA comes at the level that was set, and not before: until then AR, and AA on repeating."""
    network, receiver = hospital.network, hospital.receiver
    alger, oran = network.nodes["chu-alger"], network.nodes["chu-oran"]
    receiver.received.clear()
    receiver.answer = acknowledge("AA", "taken by the HIS")
    in_the_way = {"accepted": network.hub, "delivered": oran, "processed": oran}[level]
    alger.configure(acknowledge=level)
    text = (alger.home / "node.toml").read_text(encoding="utf-8")
    (alger.home / "node.toml").write_text(
        text.replace("[mllp]\n", '[mllp]\nanswer_within = "1s"\n'), encoding="utf-8"
    )
    alger.restart()
    alger.wait_connected()
    control = f"level-{level}"
    payload = message(FROM, TO, control)
    with Sender(alger.mllp_port) as sender:
        in_the_way.stop()
        early = sender.once(payload)
        assert field(early, b"MSA", 1) == "AR"
        assert hospital.sent(control)[1] in ("0", "1")
        in_the_way.start()
        answer = sender.send(payload)
        assert field(answer, b"MSA", 1) == "AA"
        assert sender.send(payload) == answer
    if level == "processed":
        assert field(answer, b"MSA", 3) == "taken by the HIS"
    wait_until("processed", lambda: hospital.sent(control)[1] == "4 AA")
    assert receiver.received == [payload]


def test_processed_passes_the_recipients_refusal_through(hospital: Hospital) -> None:
    """With ``processed`` a sender gets the recipient's own AE, text and all."""
    alger = hospital.network.nodes["chu-alger"]
    alger.configure(acknowledge="processed")
    alger.restart()
    alger.wait_connected()
    hospital.receiver.answer = acknowledge("AE", "OBR-4: no such test")
    with Sender(alger.mllp_port) as sender:
        answer = sender.send(message(FROM, TO, "through-1"))
    assert field(answer, b"MSA", 1) == "AE"
    assert field(answer, b"MSA", 3) == "OBR-4: no such test"
