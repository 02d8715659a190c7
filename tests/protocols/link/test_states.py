"""Every phase with every step, and every frame in every phase, for both roles, to hear and to say."""

from __future__ import annotations

import pytest

from protocols.link import frames as f
from protocols.link.errors import LocalError
from protocols.link.session import Broken, LinkSession, Opened, PeerLeft
from protocols.link.states import RECEIVES, SENDS, TRANSITIONS, Phase, Role, Step, follow
from tests.protocols.link.ends import NODE_KEY, PSK, WELCOME, feed, make_hub, make_node, pair
from tests.protocols.link.samples import FRAME_TYPES, SAMPLE

# Written out once more, by hand, so that a slip in the table is seen.
STEPS = {
    Phase.AWAITING_HELLO: {Step.HELLO_RECEIVED: Phase.DECIDING},
    Phase.DECIDING: {
        Step.WELCOME_SENT: Phase.AWAITING_READY,
        Step.JOIN_WELCOME_SENT: Phase.JOINING,
        Step.REFUSED: Phase.ENDING,
    },
    Phase.AWAITING_WELCOME: {
        Step.WELCOME_RECEIVED: Phase.OPEN,
        Step.JOIN_WELCOME_RECEIVED: Phase.JOINING,
    },
    Phase.AWAITING_READY: {
        Step.READY_RECEIVED: Phase.OPEN,
        Step.END_SENT: Phase.ENDING,
        Step.END_RECEIVED: Phase.CLOSED,
    },
    Phase.OPEN: {Step.END_SENT: Phase.ENDING, Step.END_RECEIVED: Phase.CLOSED},
    Phase.JOINING: {Step.END_SENT: Phase.ENDING, Step.END_RECEIVED: Phase.CLOSED},
    Phase.ENDING: {Step.END_RECEIVED: Phase.CLOSED},
    Phase.CLOSED: {},
}


@pytest.mark.parametrize("step", Step)
@pytest.mark.parametrize("phase", Phase)
def test_every_step_from_every_phase(phase: Phase, step: Step) -> None:
    expected = dict(STEPS[phase])
    expected[Step.LOST] = Phase.CLOSED
    if phase is not Phase.CLOSED:
        expected[Step.FAULT] = Phase.CLOSED
    if step in expected:
        assert follow(phase, step) is expected[step]
    else:
        with pytest.raises(LocalError, match=step.name):
            follow(phase, step)
    assert ((phase, step) in TRANSITIONS) is (step in expected)


HUBS_ONLY = {Phase.AWAITING_HELLO, Phase.DECIDING, Phase.AWAITING_READY}
NODES_ONLY = {Phase.AWAITING_WELCOME}
PLACES = [
    (role, phase)
    for role in Role
    for phase in Phase
    if phase not in (NODES_ONLY if role is Role.HUB else HUBS_ONLY)
]
"""Where each role can be."""


def in_phase(role: Role, phase: Phase) -> tuple[LinkSession, LinkSession]:
    """Return one end in ``phase`` and a peer that can still speak to it."""
    ends = pair(joining=phase is Phase.JOINING)
    own, peer = (ends.hub, ends.node) if role is Role.HUB else (ends.node, ends.hub)
    if phase is Phase.DECIDING:
        own.receive(peer.data_to_send())
    elif phase is Phase.AWAITING_READY:
        feed(own, peer.data_to_send())
        peer.receive(own.data_to_send())
        peer._writer._frames.clear()  # READY, which would move it on
    elif phase not in (Phase.AWAITING_HELLO, Phase.AWAITING_WELCOME):
        ends.pump()
        if phase is Phase.ENDING:
            own.end(f.End(f.Goodbye.DONE))
            own.data_to_send()
        elif phase is Phase.CLOSED:
            own.lost()
    assert own.phase is phase
    return own, peer


def prepared(own: LinkSession, peer: LinkSession, kind: type) -> None:
    """Say what must have been asked before the answer ``kind`` makes sense."""
    asks = {
        f.Taken: f.Deliver,
        f.EventsTaken: f.Events,
        f.Accepted: f.Submit,
        f.Refused: f.Submit,
        f.ReceiptsStored: f.Receipts,
        f.Resume: f.Busy,
    }
    if kind in asks and own.phase is Phase.OPEN:
        own.send(SAMPLE[asks[kind]])
        peer.receive(own.data_to_send())


@pytest.mark.parametrize("kind", FRAME_TYPES)
@pytest.mark.parametrize(("role", "phase"), PLACES)
def test_every_frame_in_every_phase_is_heard_dropped_or_a_fault(role: Role, phase: Phase, kind: type) -> None:
    own, peer = in_phase(role, phase)
    if not peer._writer.encrypting:
        with pytest.raises(LocalError):
            peer.send(SAMPLE[kind])
        return
    if kind in RECEIVES.get((role, phase), ()):
        prepared(own, peer, kind)
    peer._writer.put(f.encode_frame(SAMPLE[kind]))
    events = own.receive(peer.data_to_send())
    if phase is Phase.CLOSED or (phase is Phase.ENDING and kind is not f.End):
        assert events == []
    elif kind is f.End:
        assert events == [PeerLeft(SAMPLE[f.End])]
    elif kind not in RECEIVES[role, phase]:
        (event,) = events
        assert isinstance(event, Broken)
        assert event.code == "out-of-turn"
        assert kind.__name__ in event.text
    elif kind is f.Ready:
        assert events == [Opened(None)]
    elif kind in (f.Ping, f.Rekey):
        assert events == []
    else:
        assert events == [SAMPLE[kind]]


NODE_SAYS = {
    f.Again, f.Submit, f.Resume, f.Taken, f.Receipts, f.EventsTaken, f.Offer, f.Want, f.Chunk,
    f.DirectoryWanted, f.Renew, f.Witnessed, f.Ping, f.Pong,
}  # fmt: skip
HUB_SAYS = {
    f.Accepted, f.Refused, f.Busy, f.Deliver, f.ReceiptsStored, f.Events, f.Want, f.Chunk, f.Stored,
    f.FileRefused, f.Directory, f.Renewed, f.Checkpoint, f.Ping, f.Pong,
}  # fmt: skip
SAYS = {
    (Role.NODE, Phase.OPEN): NODE_SAYS,
    (Role.HUB, Phase.OPEN): HUB_SAYS,
    (Role.NODE, Phase.JOINING): {f.Join, f.Ping, f.Pong},
    (Role.HUB, Phase.JOINING): {f.Joined, f.Ping, f.Pong},
}


def test_who_says_what_is_written_down_twice_and_the_same() -> None:
    assert SAYS == SENDS


@pytest.mark.parametrize("kind", FRAME_TYPES)
@pytest.mark.parametrize(("role", "phase"), PLACES)
def test_an_owner_says_in_every_phase_only_what_is_its_to_say(role: Role, phase: Phase, kind: type) -> None:
    own, peer = in_phase(role, phase)
    if kind in SAYS.get((role, phase), ()):
        prepared(peer, own, kind)
        own.send(SAMPLE[kind])
        assert own.pending_bytes or own.bulk_room < 16
    else:
        with pytest.raises(LocalError):
            own.send(SAMPLE[kind])


@pytest.mark.parametrize(("role", "phase"), [place for place in PLACES if place[1] is not Phase.DECIDING])
@pytest.mark.parametrize("answer", ["welcome", "welcome_to_join", "refuse"])
def test_only_a_hub_that_decides_answers_hello(role: Role, phase: Phase, answer: str) -> None:
    own, _ = in_phase(role, phase)
    more = {"welcome": (), "welcome_to_join": (PSK,), "refuse": (f.End(f.Goodbye.REVOKED),)}[answer]
    if phase is Phase.CLOSED:
        getattr(own, answer)(WELCOME, *more)
        assert own.phase is Phase.CLOSED
    else:
        with pytest.raises(LocalError, match="no HELLO to answer"):
            getattr(own, answer)(WELCOME, *more)


def test_the_roles_begin_where_they_should() -> None:
    assert make_node().phase is Phase.AWAITING_WELCOME
    assert make_hub().phase is Phase.AWAITING_HELLO
    assert NODE_KEY.public not in [static.key.public for static in make_hub()._statics]
