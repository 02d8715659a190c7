"""A whole conversation, both ends at once: opening, changing keys, goodbye."""

from __future__ import annotations

from functools import partial

import pytest

from protocols.link import frames as f
from protocols.link import limits, opening, payloads
from protocols.link.errors import LocalError
from protocols.link.session import Broken, HelloReceived, LinkEvent, LinkSession, Opened, PeerLeft
from protocols.link.states import Phase, Role
from tests.protocols.link.ends import (
    HUB_KEY,
    INVITATION,
    NODE_KEY,
    NOW_MS,
    PSK,
    WELCOME,
    Pair,
    conversation,
    feed,
    make_hub,
    make_node,
    opened,
    pair,
    replay,
    welcome,
)
from tests.protocols.link.samples import ID, SAMPLE


def broken(events: list[LinkEvent]) -> Broken:
    assert events
    assert isinstance(events[-1], Broken)
    return events[-1]


# ── opening ────────────────────────────────────────────────────────────────────────────────


def test_an_enrolled_node_is_let_in() -> None:
    ends = pair().pump()
    hello, is_open = ends.at_hub
    assert isinstance(hello, HelloReceived)
    assert (hello.key, hello.joining) == (NODE_KEY.public, False)
    assert hello.hello == payloads.Hello("node 1", NOW_MS, 8)
    assert is_open == Opened(None)
    assert ends.at_node == [Opened(WELCOME)]
    assert ends.node.open
    assert ends.hub.open


def test_the_hub_is_open_only_after_ready() -> None:
    """Message 1 of Noise IK can be replayed: until READY nothing may be acted on, or said."""
    ends = pair()
    events = feed(ends.hub, ends.node.data_to_send())
    assert [type(event) for event in events] == [HelloReceived]
    assert not ends.hub.open
    with pytest.raises(LocalError, match="awaiting ready"):
        ends.hub.send(SAMPLE[f.Deliver])


def test_an_invited_node_joins() -> None:
    ends = pair(joining=True).pump()
    hello = ends.at_hub[0]
    assert isinstance(hello, HelloReceived)
    assert hello.joining
    assert hello.hello.invitation == INVITATION
    assert ends.at_node == [Opened(WELCOME)]
    ends.heard()
    ends.node.send(SAMPLE[f.Join])
    ends.pump()
    ends.hub.send(SAMPLE[f.Joined])
    ends.pump()
    assert ends.heard() == ([SAMPLE[f.Joined]], [SAMPLE[f.Join]])


def test_a_wrong_invitation_secret_is_found_out_by_the_node() -> None:
    ends = Pair(make_node(joining=True, psk=bytes(32)), make_hub()).pump()
    assert broken(ends.at_node).code == "not-authentic"
    assert [type(event) for event in ends.at_hub] == [HelloReceived]


def test_a_refused_node_learns_why() -> None:
    end = f.End(f.Goodbye.UNKNOWN_KEY, "this hub does not know your key", 300)
    ends = pair(answer=lambda hub, _: hub.refuse(WELCOME, end)).pump()
    assert ends.at_node == [Opened(WELCOME), PeerLeft(end)]
    assert [type(event) for event in ends.at_hub] == [HelloReceived]
    assert ends.hub.phase is Phase.ENDING
    assert ends.node.phase is Phase.CLOSED


@pytest.mark.parametrize("joining", [False, True])
def test_an_answer_must_fit_the_hello(joining: bool) -> None:
    hub = make_hub()
    hub.receive(make_node(joining=joining).data_to_send())
    answer = hub.welcome if joining else partial(hub.welcome_to_join, psk=PSK)
    with pytest.raises(LocalError, match="no answer to a HELLO"):
        answer(WELCOME)
    welcome(hub, HelloReceived(NODE_KEY.public, payloads.Hello("", 0, 1), joining))


def test_there_is_one_answer_and_only_to_a_hello() -> None:
    hub = make_hub()
    with pytest.raises(LocalError, match="awaiting hello"):
        hub.welcome(WELCOME)
    hub.receive(make_node().data_to_send())
    hub.welcome(WELCOME)
    with pytest.raises(LocalError, match="awaiting ready"):
        hub.refuse(WELCOME, f.End(f.Goodbye.REVOKED))


@pytest.mark.parametrize("joining", [False, True])
def test_a_caller_that_left_before_its_answer_gets_none(joining: bool) -> None:
    """The hub looks an invitation up in its database; the caller may be gone by then."""
    hub = make_hub()
    (hello,) = hub.receive(make_node(joining=joining).data_to_send())
    hub.lost()
    assert isinstance(hello, HelloReceived)
    welcome(hub, hello)
    hub.refuse(WELCOME, f.End(f.Goodbye.REVOKED))
    assert hub.phase is Phase.CLOSED
    assert hub.data_to_send() == b""


@pytest.mark.parametrize("piece", [0, 1])
def test_bytes_after_hello_end_it(piece: int) -> None:
    hub = make_hub()
    events = feed(hub, make_node().data_to_send() + b"\x00", piece=piece, answer=lambda _hub, _hello: None)
    assert [type(event) for event in events] == [HelloReceived, Broken]
    assert broken(events).code == "out-of-turn"
    assert hub.data_to_send() == b""


def test_who_is_turned_away_in_the_handshake_hears_nothing() -> None:
    hub = make_hub()
    assert broken(hub.receive(b"GET / HTTP/1.1\r\n")).code == "not-wasl"
    assert hub.data_to_send() == b""
    assert hub.receive(make_node().data_to_send()) == []


def test_the_first_packet_has_a_bound() -> None:
    head = opening.MAGIC + bytes((limits.PROTOCOL_VERSION, 1))
    assert broken(make_hub().receive(head + (opening.HELLO_PACKET_BYTES + 1).to_bytes(2, "big"))).code == (
        "too-large"
    )
    assert make_hub().receive(head + opening.HELLO_PACKET_BYTES.to_bytes(2, "big")) == []
    assert broken(make_hub().receive(head + (95).to_bytes(2, "big"))).code == "malformed"
    assert make_hub().receive(head + (96).to_bytes(2, "big")) == []


def test_the_longest_hello_passes() -> None:
    """The bound on the packet leaves room for the longest payload that the bound on HELLO allows."""
    node = make_node()
    longest = payloads.encode_payload(payloads.Hello("ش" * 40, 1 << 53, limits.WINDOW_MAX, INVITATION))
    assert len(longest) < limits.HELLO_BYTES
    assert opening.HELLO_PACKET_BYTES - 96 == limits.HELLO_BYTES
    assert len(feed(make_hub(), node.data_to_send())) == 1


def test_the_answer_to_hello_has_a_bound() -> None:
    node = make_node()
    assert node.receive(opening.WELCOME_PACKET_BYTES.to_bytes(2, "big")) == []
    node = make_node()
    assert broken(node.receive((opening.WELCOME_PACKET_BYTES + 1).to_bytes(2, "big"))).code == "too-large"


# ── changing keys ──────────────────────────────────────────────────────────────────────────


def test_keys_change_on_demand_in_either_direction() -> None:
    ends = opened()
    for number in range(5):
        ends.node.rekey()
        if number % 2:
            ends.hub.rekey()
        ends.node.send(f.DirectoryWanted(number))
        ends.hub.send(SAMPLE[f.Stored])
        ends.pump()
    assert ends.heard() == (
        [SAMPLE[f.Stored]] * 5,
        [f.DirectoryWanted(number) for number in range(5)],
    )


def test_ready_comes_first_even_if_keys_are_to_change() -> None:
    ends = pair()
    feed(ends.hub, ends.node.data_to_send())
    feed(ends.node, ends.hub.data_to_send())
    ends.node.rekey()
    ends.pump()
    assert ends.at_hub == [Opened(None)]
    ends.node.send(f.Ping(1))
    assert ends.pump().at_node[-1] == f.Pong(1, NOW_MS)


def test_nothing_follows_the_goodbye_even_if_keys_are_to_change() -> None:
    ends = opened()
    ends.node.rekey()
    ends.node.end(f.End(f.Goodbye.DONE))
    data = ends.node.data_to_send()
    assert len(data) == 2 + limits.TAG_BYTES + len(f.encode_frame(f.End(f.Goodbye.DONE)))
    assert feed(ends.hub, data) == [PeerLeft(f.End(f.Goodbye.DONE))]


def test_keys_really_change() -> None:
    """A receiver that misses REKEY cannot read on."""
    ends = opened()
    ends.node.rekey()
    ends.node.data_to_send()
    ends.node.send(f.Ping(1))
    assert broken(feed(ends.hub, ends.node.data_to_send())).code == "not-authentic"


def test_keys_change_by_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REKEY_RECORDS", 3)
    monkeypatch.setattr(limits, "RECORDS_WITHOUT_REKEY", 4)
    ends = opened()
    for number in range(50):
        ends.node.send(f.DirectoryWanted(number))
        ends.pump()
    assert ends.heard()[1] == [f.DirectoryWanted(number) for number in range(50)]


def test_a_sender_that_never_changes_keys_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RECORDS_WITHOUT_REKEY", 4)
    ends = opened()
    heard = []
    for number in range(4):
        ends.node.send(f.DirectoryWanted(number))
        heard += feed(ends.hub, ends.node.data_to_send())
    assert broken(heard).code == "rekey"
    # READY was the first of the four that are allowed.
    assert heard[:-1] == [f.DirectoryWanted(number) for number in range(3)]


@pytest.mark.parametrize("after", [f.Ping(1), f.Rekey()])
def test_a_frame_after_rekey_in_its_record_is_a_fault(after: f.AnyFrame) -> None:
    ends = opened()
    ends.node._writer.put(f.encode_frame(f.Rekey()))
    ends.node._writer.put(f.encode_frame(after))
    fault = broken(feed(ends.hub, ends.node.data_to_send()))
    assert (fault.code, fault.text) == ("malformed", "a frame after REKEY in one record")


# ── goodbye ────────────────────────────────────────────────────────────────────────────────


def test_goodbye_goes_out_behind_what_was_said_and_nothing_after() -> None:
    ends = opened()
    ends.node.send(f.Chunk(ID, 0, b"never sent"))
    ends.node.send(SAMPLE[f.Submit])
    end = f.End(f.Goodbye.DONE, "night", 4)
    ends.node.end(end)
    ends.node.end(f.End(f.Goodbye.INTERNAL))
    with pytest.raises(LocalError, match="ending"):
        ends.node.send(SAMPLE[f.Submit])
    ends.pump()
    assert ends.heard() == ([], [SAMPLE[f.Submit], PeerLeft(end)])
    assert ends.hub.phase is Phase.CLOSED
    assert ends.node.phase is Phase.ENDING


def test_two_goodbyes_may_cross() -> None:
    ends = opened()
    ends.node.end(f.End(f.Goodbye.DONE))
    ends.hub.end(f.End(f.Goodbye.RESTARTING))
    up, down = ends.node.data_to_send(), ends.hub.data_to_send()
    assert feed(ends.hub, up) == [PeerLeft(f.End(f.Goodbye.DONE))]
    assert feed(ends.node, down) == [PeerLeft(f.End(f.Goodbye.RESTARTING))]
    assert ends.node.phase is ends.hub.phase is Phase.CLOSED


def test_who_said_goodbye_drops_what_still_comes() -> None:
    ends = opened()
    ends.node.end(f.End(f.Goodbye.DONE))
    for frame in (SAMPLE[f.Deliver], f.Ping(1), SAMPLE[f.Stored]):
        ends.hub.send(frame)
    ends.hub.rekey()
    assert feed(ends.node, ends.hub.data_to_send()) == []
    ends.hub.end(f.End(f.Goodbye.DONE))
    assert feed(ends.node, ends.hub.data_to_send()) == [PeerLeft(f.End(f.Goodbye.DONE))]


def test_nothing_is_read_after_the_goodbye() -> None:
    """Not even a fault: bytes behind END are nobody's."""
    ends = opened()
    ends.node._writer.put(f.encode_frame(f.End(f.Goodbye.DONE)))
    ends.node._writer.put(b"\x00\x01\xc1")
    ends.node._writer.put(f.encode_frame(f.Ping(1)))
    data = ends.node.data_to_send()
    assert feed(ends.hub, data + b"\xff" * 100) == [PeerLeft(f.End(f.Goodbye.DONE))]
    assert ends.hub.receive(b"more") == []


def test_before_there_are_keys_goodbye_is_silence() -> None:
    for session in (make_node(), make_hub()):
        session.data_to_send()
        session.end(f.End(f.Goodbye.DONE))
        assert session.phase is Phase.CLOSED
        assert session.data_to_send() == b""


def test_a_hub_may_say_goodbye_before_ready() -> None:
    ends = pair()
    feed(ends.hub, ends.node.data_to_send())
    ends.hub.end(f.End(f.Goodbye.RESTARTING))
    ends.pump()
    assert ends.at_node == [Opened(WELCOME), PeerLeft(f.End(f.Goodbye.RESTARTING))]


def test_a_fault_is_told_once_and_then_nothing_is_read() -> None:
    ends = opened()
    ends.node.send(f.Chunk(ID, 0, b"x"))
    ends.hub.send(f.Chunk(ID, 0, b"dropped"))
    garbage = bytes(40)
    events = ends.hub.receive((20).to_bytes(2, "big") + garbage)
    fault = broken(events)
    assert len(events) == 1
    for _ in range(3):
        assert ends.hub.receive(garbage * 10) == []
    (left,) = feed(ends.node, ends.hub.data_to_send(9))
    assert left == PeerLeft(f.End(f.Goodbye.PROTOCOL_FAULT, f"{fault.code}: {fault.text}"))
    assert ends.hub.phase is Phase.CLOSED


def test_a_fault_after_our_goodbye_is_not_answered_by_another() -> None:
    ends = opened()
    ends.hub.end(f.End(f.Goodbye.RESTARTING))
    goodbye = ends.hub.data_to_send()
    broken(ends.hub.receive((20).to_bytes(2, "big") + bytes(20)))
    assert ends.hub.data_to_send() == b""
    assert feed(ends.node, goodbye) == [PeerLeft(f.End(f.Goodbye.RESTARTING))]


def test_after_the_connection_is_lost_nothing_is_heard() -> None:
    ends = opened()
    ends.node.send(f.Ping(1))
    data = ends.node.data_to_send()
    ends.hub.lost()
    ends.hub.lost()
    assert ends.hub.receive(data) == []
    assert not ends.hub.open


# ── whole and in pieces ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("joining", [False, True])
@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("piece", [1, 2, 7, 61, 1_000])
def test_what_is_heard_does_not_depend_on_how_bytes_arrive(role: Role, joining: bool, piece: int) -> None:
    ends = conversation(joining=joining)

    def end() -> LinkSession:
        return make_hub() if role is Role.HUB else make_node(joining=joining)

    whole = replay(end(), ends.log[role])
    assert whole == (ends.at_hub if role is Role.HUB else ends.at_node)
    assert replay(end(), ends.log[role], piece) == whole
    assert isinstance(whole[-1], PeerLeft)
    assert len(whole) >= 3


def test_a_conversation_is_the_same_bytes_from_the_same_keys() -> None:
    """What the replaying tests stand on."""
    assert conversation().log == conversation().log


def test_two_handshakes_share_no_keys() -> None:
    """Without the fixed randomness of these tests, each session's bytes are new."""
    sessions = [
        LinkSession.node(
            static=NODE_KEY,
            hub_key=HUB_KEY.public,
            hub_name="hub",
            hello=payloads.Hello("n", 0, 1),
            now_ms=lambda: 0,
        ).data_to_send()
        for _ in range(2)
    ]
    assert sessions[0] != sessions[1]
