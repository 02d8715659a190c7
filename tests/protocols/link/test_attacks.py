"""What somebody on the wire, or a wrong peer, can do: end the session, and nothing else.

The network may flip, drop, repeat and reorder bytes. Whatever it does, an end hears a beginning of the true
conversation and then, at most, that it is broken: never a frame that was not said, never another exception.
"""

from __future__ import annotations

import pytest

from crypto.keys import LinkPrivateKey
from crypto.noise import Handshake, Pattern
from protocols.link import frames as f
from protocols.link import opening, payloads
from protocols.link.errors import RemoteError
from protocols.link.session import Broken, HelloReceived, LinkEvent, LinkSession, Opened
from protocols.link.states import Phase, Role
from tests.protocols.link.ends import (
    HUB_KEY,
    WELCOME,
    Entry,
    Pair,
    conversation,
    feed,
    make_hub,
    make_node,
    opened,
    pair,
    replay,
)
from tests.protocols.link.samples import SAMPLE

OTHER_KEY = LinkPrivateKey(bytes(range(100, 132)))


def make(role: Role, *, joining: bool = False) -> LinkSession:
    return make_hub() if role is Role.HUB else make_node(joining=joining)


def check_heard(session: LinkSession, heard: list[LinkEvent], truth: list[LinkEvent]) -> None:
    """Check that ``heard`` is a beginning of the truth, perhaps broken off."""
    if heard and isinstance(heard[-1], Broken):
        assert session.phase is Phase.CLOSED
        heard = heard[:-1]
    assert heard == truth[: len(heard)]
    session.lost()
    assert session.phase is Phase.CLOSED


def damaged(log: list[Entry], at: int, change: int) -> list[Entry]:
    """Return the log with one byte of what is heard changed."""
    changed: list[Entry] = []
    for entry in log:
        if isinstance(entry, bytes):
            if 0 <= at < len(entry):
                entry = entry[:at] + bytes((entry[at] ^ change,)) + entry[at + 1 :]  # noqa: PLW2901
            at -= len(entry)
        changed.append(entry)
    return changed


def cut(log: list[Entry], at: int) -> list[Entry]:
    """Return the log with what is heard ending after ``at`` bytes."""
    kept: list[Entry] = []
    for entry in log:
        if isinstance(entry, bytes):
            entry = entry[: max(0, at)]  # noqa: PLW2901
            at -= len(entry)
        kept.append(entry)
    return kept


@pytest.mark.parametrize("joining", [False, True])
@pytest.mark.parametrize("role", Role)
def test_a_flipped_byte_anywhere_never_makes_a_wrong_frame(role: Role, joining: bool) -> None:
    ends = conversation(joining=joining)
    log = ends.log[role]
    truth = replay(make(role, joining=joining), log)
    size = sum(len(entry) for entry in log if isinstance(entry, bytes))
    for at in range(size):
        session = make(role, joining=joining)
        heard = replay(session, damaged(log, at, 1 << at % 8))
        assert len(heard) == 0 or heard != truth, f"byte {at} made no difference"
        check_heard(session, heard, truth)


@pytest.mark.parametrize("role", Role)
def test_a_conversation_cut_anywhere_is_a_beginning_of_it(role: Role) -> None:
    ends = conversation()
    log = ends.log[role]
    truth = replay(make(role), log)
    size = sum(len(entry) for entry in log if isinstance(entry, bytes))
    for at in range(size):
        session = make(role)
        heard = replay(session, cut(log, at))
        assert not any(isinstance(event, Broken) for event in heard)
        assert len(heard) < len(truth)
        check_heard(session, heard, truth)


@pytest.mark.parametrize("role", Role)
def test_records_dropped_repeated_or_exchanged_break_it(role: Role) -> None:
    ends = opened()
    frames = [f.Ping(number) for number in range(3)]
    sender, receiver = (ends.node, ends.hub) if role is Role.HUB else (ends.hub, ends.node)
    records = []
    for frame in frames:
        sender.send(frame)
        records.append(sender.data_to_send())
    for order in ([1], [0, 0], [1, 0], [0, 2]):
        ends = opened()
        receiver = ends.hub if role is Role.HUB else ends.node
        heard = [event for number in order for event in receiver.receive(records[number])]
        assert [type(event) for event in heard] == [Broken]


def test_bytes_of_one_direction_are_nothing_in_the_other() -> None:
    ends = opened()
    ends.node.send(f.Ping(1))
    reflected = ends.node.data_to_send()
    (event,) = ends.node.receive(reflected)
    assert isinstance(event, Broken)


def test_a_replayed_session_never_opens() -> None:
    """A network that repeats all that a node said gets a WELCOME that it cannot read, and no further."""
    ends = conversation()
    said = [entry for entry in ends.log[Role.HUB] if isinstance(entry, bytes)]
    hub = make_hub()

    def answer(session: LinkSession, _hello: HelloReceived) -> None:
        session.welcome(WELCOME)  # with fresh randomness, as in life

    heard = [event for data in said for event in feed(hub, data, answer=answer)]
    assert isinstance(heard[0], HelloReceived)
    assert [type(event) for event in heard[1:]] == [Broken]
    assert not any(isinstance(event, Opened) for event in heard)


def test_a_replayed_welcome_is_refused() -> None:
    ends = conversation()
    answer = next(entry for entry in ends.log[Role.NODE] if isinstance(entry, bytes))
    node = LinkSession.node(
        static=OTHER_KEY,
        hub_key=HUB_KEY.public,
        hub_name="hub",
        hello=payloads.Hello("n", 0, 1),
        now_ms=lambda: 0,
    )
    (event,) = node.receive(answer)
    assert isinstance(event, Broken)
    assert event.code == "not-authentic"


# ── the wrong peer ─────────────────────────────────────────────────────────────────────────


def turned_away(ends: Pair) -> str:
    ends.pump()
    assert [type(event) for event in ends.at_hub] == [Broken]
    assert ends.at_node == []
    fault = ends.at_hub[0]
    assert isinstance(fault, Broken)
    return fault.code


def test_a_node_that_knows_another_hub_is_turned_away_cheaply() -> None:
    """mac1 fails before any public-key work."""
    assert turned_away(Pair(make_node(hub_key=OTHER_KEY), make_hub())) == "mac1"


def test_a_hub_that_does_not_hold_the_key_cannot_answer() -> None:
    """Somebody between the two who knows the hub's public key gets as far as that key takes."""
    node = make_node()
    packet = node.data_to_send()
    impostor = make_hub(key=OTHER_KEY)
    impostor._statics[0].mac1_key = opening.mac1_key(HUB_KEY.public)
    (event,) = impostor.receive(packet)
    assert isinstance(event, Broken)
    assert event.code == "not-authentic"


def test_another_hub_name_is_another_hub() -> None:
    assert turned_away(Pair(make_node(hub_name="hub2"), make_hub())) == "not-authentic"


@pytest.mark.parametrize("version", [0, 2, 255])
def test_another_version_is_turned_away(version: int) -> None:
    packet = bytearray(make_node().data_to_send())
    packet[4] = version
    (event,) = make_hub().receive(bytes(packet))
    assert isinstance(event, Broken)
    assert event.code == "version"


@pytest.mark.parametrize("code", [0, 3, 255])
def test_another_pattern_is_turned_away(code: int) -> None:
    packet = bytearray(make_node().data_to_send())
    packet[5] = code
    (event,) = make_hub().receive(bytes(packet))
    assert isinstance(event, Broken)
    assert event.code == "pattern"


@pytest.mark.parametrize("joining", [False, True])
def test_the_pattern_is_bound_into_the_handshake(joining: bool) -> None:
    """A packet relabelled from joining to enrolled, mac1 made anew, does not pass for the other."""
    packet = make_node(joining=joining).data_to_send()
    body = packet[opening.PREAMBLE_BYTES : -opening.MAC1_BYTES]
    other = Pattern.IK if joining else Pattern.IKPSK2
    (event,) = make_hub().receive(opening.first_packet(other, HUB_KEY.public, body))
    assert isinstance(event, Broken)
    assert event.code == "not-authentic"


def test_mac1_covers_every_byte() -> None:
    packet = make_node().data_to_send()
    key = opening.mac1_key(HUB_KEY.public)
    preamble = opening.read_preamble(packet[: opening.PREAMBLE_BYTES])
    other = opening.mac1_key(OTHER_KEY.public)
    assert opening.read_first_packet(packet, preamble, key) == (0, packet[8:-16])
    assert opening.read_first_packet(packet, preamble, other, key) == (1, packet[8:-16])
    for at in range(opening.PREAMBLE_BYTES, len(packet)):
        changed = packet[:at] + bytes((packet[at] ^ 1,)) + packet[at + 1 :]
        with pytest.raises(RemoteError, match="mac1"):
            opening.read_first_packet(changed, preamble, other, key)


def test_a_psk_of_another_invitation_joins_nobody() -> None:
    ends = Pair(
        make_node(joining=True), make_hub(), lambda hub, _: hub.welcome_to_join(WELCOME, bytes(31) + b"\x01")
    ).pump()
    assert [type(event) for event in ends.at_node] == [Broken]
    assert [type(event) for event in ends.at_hub] == [HelloReceived]


def test_a_malformed_payload_in_a_true_handshake_is_the_peers_fault() -> None:
    """Whoever knows a hub's key can finish message 1 with anything in it."""
    handshake = Pattern.IK
    for payload in (b"", b"\xc1", b"\x90", b"\x93\xa1n\x01\x00", bytes(1_025)):
        node = _handshaking(handshake)
        packet = opening.first_packet(handshake, HUB_KEY.public, node.write_message(payload))
        (event,) = make_hub().receive(packet)
        assert isinstance(event, Broken)
        assert event.code in ("malformed", "too-large")


def _handshaking(pattern: Pattern) -> Handshake:
    return Handshake.initiator(
        pattern,
        prologue=opening.prologue(pattern, "hub"),
        static=OTHER_KEY,
        remote_static=HUB_KEY.public,
    )


def test_a_public_key_of_low_order_is_refused() -> None:
    for raw in (bytes(32), b"\x01" + bytes(31)):
        packet = make_node().data_to_send()
        message = raw + packet[opening.PREAMBLE_BYTES + 32 : -opening.MAC1_BYTES]
        (event,) = make_hub().receive(opening.first_packet(Pattern.IK, HUB_KEY.public, message))
        assert isinstance(event, Broken)
        assert event.code == "not-authentic"


@pytest.mark.parametrize("plain", [b"\x00", b"\x00\x02\xc1\x00", b"\x00\x05\x91\x01", b"\x00\x00"])
def test_a_peer_with_keys_and_no_manners_is_cut(plain: bytes) -> None:
    for role in Role:
        ends = opened()
        sender, receiver = (ends.node, ends.hub) if role is Role.HUB else (ends.hub, ends.node)
        sender._writer.put(f.encode_frame(SAMPLE[f.Ping]))
        sender._writer.put(plain)
        events = receiver.receive(sender.data_to_send())
        assert [type(event) for event in events] == [Broken]
        assert events[0].code == "malformed"  # type: ignore[union-attr]  # a Broken, as just checked


def test_a_record_shorter_than_its_tag_is_not_authentic() -> None:
    ends = pair().pump()
    (event,) = ends.hub.receive(b"\x00\x0f" + bytes(15))
    assert isinstance(event, Broken)
    assert event.code == "not-authentic"
