"""From one hospital system to another over MLLP, through two nodes and a hub, as real processes."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.integration.conftest import NewNetwork
from tests.integration.hospital import FROM, TO, Hospital
from tests.integration.localsystems import (
    Receiver,
    Sender,
    acknowledge,
    control_id,
    field,
    message,
    silence,
)
from tests.integration.proxy import Proxy
from tests.integration.waiting import wait_until


@pytest.fixture(scope="module")
def hospital(module_network: NewNetwork) -> Iterator[Hospital]:
    network = module_network()
    receiver = Receiver()
    network.nodes["chu-alger"].configure(acknowledge="stored")
    network.nodes["chu-oran"].configure(acknowledge="stored", deliver={"*": receiver.port})
    network.start()
    yield Hospital(network, receiver)
    receiver.close()


@pytest.fixture
def answering(hospital: Hospital) -> Hospital:
    """Begin with a receiver that has got nothing and answers AA."""
    hospital.receiver.received.clear()
    hospital.receiver.answer = acknowledge("AA")
    return hospital


def test_byte_identical_in_order_and_processed(answering: Hospital) -> None:
    """200 messages, some large, some in Arabic: the same bytes, the same order, each once, all processed."""
    texts = ["", "نص عربي طويل", "x" * 30_000, "Á\\F\\é", "y" * 300_000]
    sent = [
        message(FROM, TO, f"ord-{n}", f"{n} {texts[n % 5 if n % 20 == 4 else n % 4]}") for n in range(200)
    ]
    with Sender(answering.network.nodes["chu-alger"].mllp_port) as sender:
        assert {sender.code(payload) for payload in sent} == {"AA"}
    wait_until("all have arrived", lambda: len(answering.receiver.received) >= len(sent), 60)
    assert answering.receiver.received == sent
    wait_until("the last is processed", lambda: answering.sent("ord-199")[1] == "4 AA")
    assert len(answering.network.nodes["chu-oran"].arrived()) >= len(sent)


def test_the_recipients_ae_returns_the_message_with_its_answer(answering: Hospital) -> None:
    """AE: the sender sees returned and the application's own text; the next message passes."""
    answering.receiver.answer = lambda payload: acknowledge(
        "AE" if control_id(payload) == "bad-1" else "AA", "PID-3: unknown patient"
    )(payload)
    with Sender(answering.network.nodes["chu-alger"].mllp_port) as sender:
        assert sender.code(message(FROM, TO, "bad-1")) == "AA"
        assert sender.code(message(FROM, TO, "good-1")) == "AA"
    wait_until("the next is processed", lambda: answering.sent("good-1")[1] == "4 AA")
    identifier, state = answering.sent("bad-1")
    assert state == "5 AE"
    track = answering.network.nodes["chu-alger"].ask("track", identifier)
    assert (track["state"], track["reason"]) == ("returned", "AE")
    assert "PID-3: unknown patient" in track["recipients"][0]["answer"]
    assert [control_id(payload) for payload in answering.receiver.received] == ["bad-1", "good-1"]


def test_ar_and_silence_are_tried_again_in_order(answering: Hospital) -> None:
    """A local system that says not now, then nothing, then yes, gets each message until it says yes."""
    seen: list[str] = []

    def moody(payload: bytes) -> bytes | None:
        seen.append(control_id(payload))
        if seen.count("moody-1") == 1:
            return acknowledge("AR")(payload)
        return silence(payload) if seen.count("moody-1") == 2 else acknowledge("AA")(payload)

    answering.receiver.answer = moody
    with Sender(answering.network.nodes["chu-alger"].mllp_port) as sender:
        for control in ("moody-1", "moody-2"):
            assert sender.code(message(FROM, TO, control)) == "AA"
    wait_until("both are processed", lambda: answering.sent("moody-2")[1] == "4 AA", 30)
    assert seen == ["moody-1", "moody-1", "moody-1", "moody-2"]


def test_sent_again_with_the_same_bytes_and_with_others(answering: Hospital) -> None:
    """The same MSH-10 and bytes get the same answer and nothing else; other bytes get AE and an alarm."""
    alger = answering.network.nodes["chu-alger"]
    first = message(FROM, TO, "twice-1")
    with Sender(alger.mllp_port) as sender, Sender(alger.mllp_port) as other:
        answers = {sender.send(first), sender.send(first), other.send(first)}
        assert len(answers) == 1
        refused = other.send(message(FROM, TO, "twice-1", "not the same"))
        assert field(refused, b"MSA", 1) == "AE"
        assert "MSH^1^10" in field(refused, b"ERR", 2)
    assert "control-id-reused" in [code for code, _ in alger.alarms()]
    wait_until("processed", lambda: answering.sent("twice-1")[1] == "4 AA")
    assert [p for p in answering.receiver.received if control_id(p) == "twice-1"] == [first]


@pytest.mark.parametrize(
    ("to", "sender", "code", "place"),
    [
        ("urology@chu-oran", FROM, "AE", "MSH^1^5"),
        ("labo@chu-nowhere", FROM, "AE", "MSH^1^6"),
        (TO, "labo@chu-oran", "AR", "MSH^1^4"),
        (TO, "urology@chu-alger", "AR", "MSH^1^3"),
    ],
)
def test_an_unknown_address_names_its_field(
    answering: Hospital, to: str, sender: str, code: str, place: str
) -> None:
    """A wrong recipient is AE, a sender that settings could make right AR; ERR names the field to repair."""
    with Sender(answering.network.nodes["chu-alger"].mllp_port) as local:
        answer = local.once(message(sender, to, f"wrong-{place[-1]}-{code}"))
    assert field(answer, b"MSA", 1) == code
    assert field(answer, b"ERR", 2) == place


def test_any_framing(answering: Hospital) -> None:
    """One byte at a time, garbage between frames, and two messages in one segment all come through."""
    alger = answering.network.nodes["chu-alger"]
    with Proxy(alger.mllp_port) as proxy, Sender(proxy.port) as slow:
        proxy.segment_bytes = 1
        assert slow.code(message(FROM, TO, "slow-1")) == "AA"
        proxy.segment_bytes = None
        two = message(FROM, TO, "pair-1") + b"\x1c\rgarbage\x0b" + message(FROM, TO, "pair-2")
        assert field(slow.once(two), b"MSA", 2) == "pair-1"
    wait_until("the pair is processed", lambda: answering.sent("pair-2")[1] == "4 AA")
    assert [control_id(p) for p in answering.receiver.received] == ["slow-1", "pair-1", "pair-2"]


def test_many_connections_at_once(answering: Hospital) -> None:
    """Twenty systems at once, ten messages each: all are taken, each connection's in its order."""
    port = answering.network.nodes["chu-alger"].mllp_port

    def system(number: int) -> None:
        with Sender(port) as sender:
            for n in range(10):
                assert sender.code(message(FROM, TO, f"many-{number}-{n}")) == "AA"

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(system, range(20)))
    wait_until("all have arrived", lambda: len(answering.receiver.received) >= 200, 30)
    got = [control_id(payload).split("-")[1:] for payload in answering.receiver.received]
    assert len(got) == 200
    for number in range(20):
        assert [n for system_number, n in got if system_number == str(number)] == [str(n) for n in range(10)]
