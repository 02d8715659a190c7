"""Frames under way: many to a record, urgent ones before chunks, all of it bounded."""

from __future__ import annotations

import pytest

from protocols.link import frames as f
from protocols.link import limits
from protocols.link.errors import LocalError
from protocols.link.session import PeerLeft
from tests.protocols.link.ends import (
    NOW_MS,
    feed,
    opened,
)
from tests.protocols.link.samples import ID, SAMPLE


def test_frames_go_both_ways_many_to_a_record() -> None:
    ends = opened()
    pings = [f.DirectoryWanted(number) for number in range(100)]
    for frame in pings:
        ends.node.send(frame)
    data = ends.node.data_to_send()
    assert len(data) == 2 + limits.TAG_BYTES + sum(len(f.encode_frame(frame)) for frame in pings)
    assert feed(ends.hub, data) == pings
    ends.hub.send(SAMPLE[f.Stored])
    ends.pump()
    assert ends.heard() == ([SAMPLE[f.Stored]], [])


def test_a_full_record_is_exactly_the_bound() -> None:
    ends = opened()
    overhead = len(f.encode_frame(f.Chunk(ID, 0, bytes(60_000)))) - 60_000
    whole = f.Chunk(ID, 0, bytes(limits.RECORD_PLAIN_BYTES - overhead))
    ends.node.send(whole)
    data = ends.node.data_to_send(1)
    assert len(data) == 2 + limits.RECORD_BYTES
    assert feed(ends.hub, data, piece=40_000) == [whole]


def test_frames_that_do_not_fit_one_record_go_into_the_next() -> None:
    ends = opened()
    blob = bytes(limits.MESSAGE_BYTES)
    frames = [f.Submit((f.Submission(blob, number),)) for number in range(3)]
    for frame in frames:
        ends.node.send(frame)
    assert feed(ends.hub, ends.node.data_to_send()) == frames


def test_ping_is_answered_by_the_session_itself() -> None:
    ends = opened()
    ends.node.send(f.Ping(77))
    ends.pump()
    assert ends.heard() == ([f.Pong(77, NOW_MS)], [])


def test_a_flood_of_pings_is_answered_within_bounds() -> None:
    """A peer that asks and never reads makes the other hold one record's worth of answers, not more."""
    ends = opened()
    for _ in range(20):
        for number in range(1_000):
            ends.node.send(f.Ping(number))
        feed(ends.hub, ends.node.data_to_send())
    assert limits.RECORD_BYTES <= ends.hub.pending_bytes < limits.RECORD_BYTES + 100
    ends.pump()
    assert 0 < len(ends.heard()[0]) < 10_000


def test_urgent_frames_overtake_chunks() -> None:
    """A 2 GB scan never delays an order: chunks wait in a lane of their own."""
    ends = opened()
    for index in range(4):
        ends.node.send(f.Chunk(ID, index, b"scan"))
    ends.node.send(SAMPLE[f.Submit])
    assert feed(ends.hub, ends.node.data_to_send()) == [SAMPLE[f.Submit]]
    assert feed(ends.hub, ends.node.data_to_send(1)) == [f.Chunk(ID, 0, b"scan")]
    ends.node.send(f.Ping(1))
    ends.node.send(SAMPLE[f.Offer])
    heard = feed(ends.hub, ends.node.data_to_send(2))
    assert heard == [SAMPLE[f.Offer], f.Chunk(ID, 1, b"scan"), f.Chunk(ID, 2, b"scan")]


def test_chunks_wait_in_bounded_number() -> None:
    ends = opened()
    for index in range(limits.PENDING_BULK_FRAMES):
        assert ends.node.bulk_room == limits.PENDING_BULK_FRAMES - index
        ends.node.send(f.Chunk(ID, index, b"x"))
    with pytest.raises(LocalError, match="chunks wait"):
        ends.node.send(f.Chunk(ID, 99, b"x"))
    assert len(feed(ends.hub, ends.node.data_to_send(100))) == limits.PENDING_BULK_FRAMES
    assert ends.node.bulk_room == limits.PENDING_BULK_FRAMES


def test_frames_wait_in_bounded_volume() -> None:
    """What is refused for want of room uses no credit either."""
    ends = opened(window=limits.WINDOW_MAX)
    ends.hub.data_to_send()
    big = bytes(60_000)
    sent = limits.PENDING_BYTES // 60_100
    for sequence in range(sent):
        ends.hub.send(f.Deliver((f.Delivery(sequence, "a@b", 1, big),)))
    with pytest.raises(LocalError, match="bytes wait already"):
        ends.hub.send(f.Deliver((f.Delivery(sent, "a@b", 1, big),)))
    assert limits.PENDING_BYTES - 61_000 < ends.hub.pending_bytes <= limits.PENDING_BYTES
    assert ends.hub.window_left == limits.DELIVER_WINDOW - sent, "a hub uses no more of a window"
    ends.hub.end(f.End(f.Goodbye.RESTARTING))
    ends.pump()
    at_node, _ = ends.heard()
    assert len(at_node) == sent + 1
    assert isinstance(at_node[-1], PeerLeft)


def test_a_frame_too_large_uses_no_credit() -> None:
    ends = opened()
    with pytest.raises(LocalError, match="a frame holds"):
        ends.node.send(f.Submit((f.Submission(bytes(66_000), 0),)))
    assert ends.node.window_left == 8


@pytest.mark.parametrize("frame", [f.Ready(), f.Rekey(), f.End(f.Goodbye.DONE)])
def test_what_the_session_says_itself_is_not_the_owners_to_send(frame: f.AnyFrame) -> None:
    for session in (opened().node, opened().hub):
        with pytest.raises(LocalError, match="to send"):
            session.send(frame)
