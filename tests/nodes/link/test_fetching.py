"""Attachments on their way in: whole, cut, damaged, too large for the disk."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec
import pytest

from crypto import filestream
from nodes.link import facts, inbox
from protocols.link import frames as f
from protocols.link.envelope import State
from protocols.link.errors import LocalError
from runtime.home import free_bytes
from runtime.storage_errors import StorageFailed
from tests.nodes.fixtures import HERE, Station, fail_syncs
from tests.nodes.link.hub_end import HubEnd
from tests.nodes.link.letters import Attached, Letter, attach


def alarms(hub: HubEnd) -> list[str]:
    return [code for _, code, _ in hub.station.do(partial(facts.latest_alarms, limit=100))]


def takings(hub: HubEnd) -> list[f.Taking]:
    return [taking for frame in hub.heard(f.Taken) for taking in frame.takings]


def bodies(hub: HubEnd) -> list[bytes]:
    return [one.body for one in hub.station.do(inbox.listing)]


def with_file(hub: HubEnd, plain: bytes, **change: Any) -> tuple[Letter, Attached]:
    letter = replace(Letter(hub.station.network, body=b"with file"), **change)
    one = attach(letter.content_key, plain)
    return replace(letter, attached=(one,)), one


def bring(hub: HubEnd, one: Attached) -> None:
    """Send every chunk that the node wants until it wants no more."""
    while wants := hub.heard(f.Want):
        for want in wants:
            hub.say(*(f.Chunk(want.id, n, one.chunks[n]) for n in range(want.first, want.until)))


def arrived(hub: HubEnd) -> list[bytes]:
    return [
        (hub.station.home / file.path).read_bytes()
        for message in hub.station.do(inbox.listing)
        for file in message.files
    ]


def test_a_message_with_a_file_is_committed_with_it(hub: HubEnd) -> None:
    letter, one = with_file(hub, bytes(range(256)) * 1_000)
    hub.say(f.Deliver((letter.delivery(3),)))
    assert takings(hub) == []
    bring(hub, one)
    assert [taking.sequence for taking in takings(hub)] == [3]
    assert arrived(hub) == [one.plain]


def test_a_file_goes_on_where_the_cut_left_it(hub: HubEnd) -> None:
    letter, one = with_file(hub, bytes(range(256)) * 2_000)
    hub.say(f.Deliver((letter.delivery(3),)))
    (want,) = hub.heard(f.Want)
    assert (want.first, want.until) == (0, len(one.chunks))
    hub.say(*(f.Chunk(want.id, n, one.chunks[n]) for n in range(3)))
    hub.again()
    hub.say(f.Deliver((letter.delivery(3),)))
    (want,) = hub.heard(f.Want)
    assert want.first == 3
    hub.say(*(f.Chunk(want.id, n, one.chunks[n]) for n in range(3, len(one.chunks))))
    assert arrived(hub) == [one.plain]


@pytest.mark.parametrize("steps", range(0, 24, 2))
def test_a_cut_at_any_moment_of_a_transfer_leaves_nothing_behind(hub: HubEnd, steps: int) -> None:
    """Whatever of the old session still runs when the new one begins: the file is whole, and one."""
    both = (f"labo@{HERE}", f"cardio@{HERE}")
    letter, one = with_file(hub, bytes(range(256)) * 700, recipients=both)
    twin = replace(letter, recipient=both[1])
    deliver = f.Deliver((letter.delivery(3), twin.delivery(4)))
    hub.say(deliver)
    (want,) = hub.heard(f.Want)
    hub.interrupt(*(f.Chunk(want.id, n, one.chunks[n]) for n in range(want.until)))
    for _ in range(steps):
        time = hub.station.time
        if time.calls and time.calls[0].getTime() <= time.seconds():
            call = time.calls.pop(0)
            call.called = True
            call.func(*call.args, **call.kw)
    link, hub.link = hub.link, None
    assert link is not None
    link.connectionLost()
    session_before = hub.uplink._session
    assert session_before is None
    hub.again()
    hub.say(deliver)
    bring(hub, one)
    assert sorted(taking.sequence for taking in takings(hub)) == [3, 4]
    assert arrived(hub) == [one.plain, one.plain]
    assert len(list((hub.station.home / "incoming").iterdir())) == 1


def test_a_failed_sync_takes_nothing_and_ends_the_process(
    hub: HubEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not again in the next session either: a second sync would report as safe what the first one lost."""
    letter, one = with_file(hub, os.urandom(100))
    hub.say(f.Deliver((letter.delivery(),)))
    with monkeypatch.context() as patch:
        fail_syncs(patch)
        hub.say(f.Chunk(one.ref.id, 0, one.chunks[0]))
    assert [type(error) for error in hub.fatal] == [StorageFailed]
    hub.again()
    with suppress(LocalError):  # the session may have ended already: nothing is read from that disk any more
        hub.say(f.Deliver((letter.delivery(),)), f.Chunk(one.ref.id, 0, one.chunks[0]))
    assert takings(hub) == []
    assert hub.station.do(inbox.listing) == []


def test_a_damaged_chunk_returns_the_message(hub: HubEnd) -> None:
    letter, one = with_file(hub, b"x" * 100_000)
    hub.say(f.Deliver((letter.delivery(3),)))
    hub.say(f.Chunk(one.ref.id, 0, bytes(len(one.chunks[0]))))
    assert [(taking.state, taking.code) for taking in takings(hub)] == [(State.RETURNED, "bad-attachment")]
    assert alarms(hub) == ["bad-attachment"]
    assert list((hub.station.home / "incoming").iterdir()) == []


def test_another_content_than_was_signed_returns_the_message(hub: HubEnd) -> None:
    letter, one = with_file(hub, b"x" * 10)
    letter = replace(letter, named=(msgspec.structs.replace(one.named, digest=bytes(32)),))
    hub.say(f.Deliver((letter.delivery(3),)))
    bring(hub, one)
    assert [taking.code for taking in takings(hub)] == ["bad-attachment"]


def test_a_spoiled_leftover_is_fetched_anew_and_not_blamed_on_the_sender(hub: HubEnd) -> None:
    letter, one = with_file(hub, bytes(range(256)) * 1_000)
    digest = letter.opened(hub.station).digest
    (hub.station.home / "incoming").mkdir()
    path = hub.station.home / "incoming" / f"{digest.hex()}-0"
    path.write_bytes(bytes(2 * filestream.CHUNK_BYTES))
    hub.say(f.Deliver((letter.delivery(3),)))
    bring(hub, one)
    assert takings(hub) == []
    assert not path.exists()
    hub.again()
    hub.say(f.Deliver((letter.delivery(3),)))
    bring(hub, one)
    assert [taking.state for taking in takings(hub)] == [State.DELIVERED]
    assert arrived(hub) == [one.plain]
    assert alarms(hub) == []


def test_a_later_message_of_the_same_id_does_not_touch_a_delivered_file(hub: HubEnd) -> None:
    """A sender cannot destroy what it sent by sending another message under the same id."""
    letter, one = with_file(hub, b"first" * 30_000)
    hub.say(f.Deliver((letter.delivery(1),)))
    bring(hub, one)
    second, other = with_file(hub, b"", id=letter.id, recipient=f"cardio@{HERE}")
    hub.say(f.Deliver((second.delivery(2),)))
    bring(hub, other)
    assert arrived(hub)[0] == one.plain


@pytest.mark.parametrize("index", [1, 5])
def test_a_chunk_out_of_turn_is_a_fault(hub: HubEnd, index: int) -> None:
    letter, one = with_file(hub, bytes(200_000))
    hub.say(f.Deliver((letter.delivery(3),)))
    hub.say(f.Chunk(one.ref.id, index, one.chunks[0]))
    assert hub.ended is not None
    assert hub.ended.reason is f.Goodbye.PROTOCOL_FAULT
    assert bodies(hub) == []


def test_a_chunk_nobody_asked_for_is_dropped(hub: HubEnd) -> None:
    hub.say(f.Chunk(bytes(16), 0, b"x"))
    assert hub.ended is None


def test_files_wait_at_the_hub_while_the_disk_is_full(station: Station) -> None:
    hub = HubEnd(station, floor_bytes=2 * free_bytes(station.home))
    hub.start()
    letter, one = with_file(hub, b"scan")
    hub.say(f.Deliver((letter.delivery(3), Letter(station.network).delivery(4))))
    assert [taking.sequence for taking in takings(hub)] == [4]
    assert hub.heard(f.Want) == []
    hub.core.floor_bytes = 0
    station.advance(10.1)
    hub.turn()
    bring(hub, one)
    assert [taking.sequence for taking in takings(hub)] == [3]
    hub.uplink.stop()
    hub.lose()


def test_what_is_on_the_disk_already_needs_no_room(hub: HubEnd, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of a scan is here after a cut: the other half alone must fit."""
    letter, one = with_file(hub, os.urandom(5 * filestream.CHUNK_BYTES))
    hub.say(f.Deliver((letter.delivery(3),)))
    hub.say(*(f.Chunk(one.ref.id, n, one.chunks[n]) for n in range(3)))
    hub.again()
    monkeypatch.setattr("nodes.link.fetching.free_bytes", lambda _home: 2 * filestream.CHUNK_BYTES)
    hub.say(f.Deliver((letter.delivery(3),)))
    bring(hub, one)
    assert [taking.sequence for taking in takings(hub)] == [3]
    assert arrived(hub) == [one.plain]


def test_what_never_found_room_in_its_time_goes_back(station: Station) -> None:
    hub = HubEnd(station, floor_bytes=2 * free_bytes(station.home))
    hub.start()
    letter, _ = with_file(hub, b"scan", remaining_ms=15_000)
    hub.say(f.Deliver((letter.delivery(3),)))
    for expected in ([], [(State.RETURNED, "expired")]):
        assert [(taking.state, taking.code) for taking in takings(hub)] == expected
        station.advance(10.1)
        hub.turn()
        station.advance(10.1)
        hub.turn()
    assert hub.ended is None
    hub.uplink.stop()
    hub.lose()


def test_a_file_is_asked_for_again_when_the_hub_says_later(hub: HubEnd) -> None:
    letter, one = with_file(hub, b"scan")
    hub.say(f.Deliver((letter.delivery(3),)))
    hub.heard(f.Want)
    hub.say(f.FileRefused(one.ref.id, "unreadable", "", 1_000))
    hub.station.advance(1.1)
    hub.turn()
    bring(hub, one)
    assert [taking.state for taking in takings(hub)] == [State.DELIVERED]
