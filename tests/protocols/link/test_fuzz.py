"""Frames at random, in random order, to both roles: only declared events, never an exception."""

from __future__ import annotations

import random
from typing import Final, get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.link import frames as f
from protocols.link import limits
from protocols.link.errors import LocalError
from protocols.link.session import Broken, LinkEvent, LinkSession
from protocols.link.states import SENDS, Phase, Role
from tests.protocols.link.ends import feed, make_hub, make_node, opened
from tests.protocols.link.samples import ANY_FRAME, SAMPLE

EVENTS: Final = get_args(LinkEvent)
ROLES: Final = st.sampled_from(Role)
SILENT: Final = (f.Ready, f.Rekey, f.Ping, f.End)
"""Frames that a session acts on itself."""


def check(session: LinkSession, events: list[LinkEvent]) -> None:
    for event in events:
        assert isinstance(event, EVENTS)
        assert not isinstance(event, SILENT)
    endings = [number for number, event in enumerate(events) if isinstance(event, Broken)]
    assert endings in ([], [len(events) - 1])
    assert session.pending_bytes <= limits.RECORD_BYTES + 1_000
    assert not endings or session.phase is Phase.CLOSED


@settings(max_examples=100, deadline=None)
@given(role=ROLES, frames=st.lists(ANY_FRAME, max_size=12), joining=st.booleans())
def test_any_frames_in_any_order(role: Role, frames: list[f.AnyFrame], joining: bool) -> None:
    ends = opened(joining=joining)
    own, peer = (ends.hub, ends.node) if role is Role.HUB else (ends.node, ends.hub)
    heard: list[LinkEvent] = []
    for frame in frames:
        peer._writer.put(f.encode_frame(frame))
        heard += own.receive(peer.data_to_send())
        if isinstance(frame, f.Rekey):
            peer._writer._cipher.rekey()  # type: ignore[union-attr]  # it has one: the session is open
    check(own, heard)


@settings(max_examples=100, deadline=None)
@given(role=ROLES, data=st.binary(max_size=2_000), piece=st.integers(0, 50))
def test_any_bytes_before_there_are_keys(role: Role, data: bytes, piece: int) -> None:
    session = make_hub() if role is Role.HUB else make_node()
    head = b"WASL\x01\x01\x00\x60" if piece % 2 else b""
    check(session, feed(session, head + data, piece=piece))


@settings(max_examples=100, deadline=None)
@given(role=ROLES, data=st.binary(max_size=2_000), piece=st.integers(0, 50))
def test_any_bytes_once_there_are_keys(role: Role, data: bytes, piece: int) -> None:
    ends = opened()
    session = ends.hub if role is Role.HUB else ends.node
    check(session, feed(session, data, piece=piece))


@settings(max_examples=100, deadline=None)
@given(role=ROLES, plains=st.lists(st.binary(max_size=300), max_size=5))
def test_any_bytes_inside_true_records(role: Role, plains: list[bytes]) -> None:
    ends = opened()
    own, peer = (ends.hub, ends.node) if role is Role.HUB else (ends.node, ends.hub)
    heard: list[LinkEvent] = []
    for plain in plains:
        peer._writer.put(plain)
        heard += own.receive(peer.data_to_send())
    check(own, heard)


@pytest.mark.parametrize("seed", range(20))
def test_two_ends_that_say_what_they_may_never_break(seed: int) -> None:
    """Whatever an end's own rules let it say, whenever the wire carries it, the other end accepts."""
    chance = random.Random(seed)
    ends = opened()
    wire: dict[Role, bytearray] = {role: bytearray() for role in Role}
    said = dict.fromkeys(Role, 0)
    for _ in range(600):
        role = chance.choice(list(Role))
        own, peer = (ends.hub, ends.node) if role is Role.HUB else (ends.node, ends.hub)
        kinds = sorted(SENDS[role, Phase.OPEN], key=lambda kind: kind.__name__)
        answered = chance.randrange(max(said.values()) + 1)
        frame = _numbered(SAMPLE[chance.choice(kinds)], said[role], answered)
        try:
            own.send(frame)
            said[role] += 1
        except LocalError:
            own.rekey()
        wire[role] += own.data_to_send(chance.randrange(3))
        count = chance.randrange(len(wire[role]) + 1)
        for event in peer.receive(bytes(wire[role][:count])):
            assert not isinstance(event, Broken), event
        del wire[role][:count]
    assert min(said.values()) > 100


def _numbered(frame: f.AnyFrame, number: int, answered: int) -> f.AnyFrame:
    """Return the sample with a sequence number of its own, where it has one."""
    replace = msgspec.structs.replace
    for name in ("deliveries", "takings"):
        if hasattr(frame, name):
            return replace(frame, **{name: (replace(getattr(frame, name)[0], sequence=number % 16),)})
    for name in ("events", "items"):
        if hasattr(frame, name) and hasattr(getattr(frame, name)[0], "sequence"):
            return replace(frame, **{name: (replace(getattr(frame, name)[0], sequence=number),)})
    return replace(frame, up_to=answered) if hasattr(frame, "up_to") else frame
