"""SUBMIT and its answers: order kept through BUSY, lost files, cuts, and answers that come late."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import update

from nodes.link import facts, files, outbox, tables, tracking
from nodes.link.trust import Trust
from protocols.link import frames as f
from protocols.link.envelope import Priority, State, decode_envelope, decode_message
from tests.nodes.fixtures import EPOCH_MS, HERE, Station
from tests.nodes.link.hub_end import HubEnd

TO = "cardio@chu-oran"


@pytest.fixture
def hub(station: Station) -> Iterator[HubEnd]:
    end = HubEnd(station).start()
    yield end
    end.uplink.stop()
    end.lose()


def put(hub: HubEnd, count: int = 1, *, file: bytes | None = None, **change: Any) -> list[bytes]:
    """Put messages as another process does; the node is told by ``turn``."""
    drafts = []
    for _ in range(count):
        sources = []
        if file is not None:
            sources = [files.Source("f", "text/plain", io.BytesIO(file), len(file))]
        prepared = files.prepare(hub.station.home, b"MSH|", sources, floor_bytes=0)
        drafts.append(replace(outbox.Draft(f"labo@{HERE}", (TO,), "ORU^R01", prepared), **change))
    now_ms = hub.station.clock.now_ms()
    return hub.station.do(lambda c: [outbox.put(c, draft, now_ms).id for draft in drafts])


def wake(hub: HubEnd) -> None:
    hub.station.post.outbox_changed()
    hub.turn()


def submitted(hub: HubEnd) -> list[bytes]:
    """Return the ids that the node submitted since, in order."""
    return [
        decode_envelope(decode_message(one.message).envelope).id
        for frame in hub.heard(f.Submit)
        for one in frame.messages
    ]


def state(hub: HubEnd, identifier: bytes) -> State:
    return hub.station.do(lambda c: tracking.find(c, identifier)).state


def test_messages_go_in_order_and_only_once(hub: HubEnd) -> None:
    ids = put(hub, 5)
    wake(hub)
    wake(hub)
    assert submitted(hub) == ids
    hub.say(f.Accepted(tuple(ids)))
    assert {state(hub, one) for one in ids} == {State.ACCEPTED}
    wake(hub)
    assert submitted(hub) == []


def test_the_table_is_read_once_for_a_message(hub: HubEnd) -> None:
    """Not again when it was submitted or accepted, nor for a receipt; but for what comes then."""
    with hub.station.counting_reads() as asked:
        ids = put(hub, 1)
        wake(hub)
        assert submitted(hub) == ids
        hub.say(f.Accepted(tuple(ids)))
        hub.station.run(hub.station.post.conclude(hub.station.receive(b"x"), State.PROCESSED))
        hub.turn()
        assert len(asked) == 2  # the outbox, and the receipts
        late = put(hub, 1)
        wake(hub)
        assert submitted(hub) == late


def test_a_recipient_whose_key_is_none_holds_up_nobody_else(hub: HubEnd) -> None:
    """Its copy goes without a content key, so it comes back from there; the operator hears of it once."""
    trust = hub.core.trust
    sud = trust.present("clinique-sud", EPOCH_MS)
    assert sud is not None
    hub.core.trust = Trust({"chu-oran": (hub.station.network.unusable("chu-oran"),), "clinique-sud": (sud,)})
    ids = put(hub, 2, recipients=(TO, "accueil@clinique-sud"))
    ids += put(hub, 1, recipients=("accueil@clinique-sud",))
    wake(hub)
    messages = [decode_message(one.message) for frame in hub.heard(f.Submit) for one in frame.messages]
    assert [decode_envelope(one.envelope).id for one in messages] == ids
    assert [[wrap.facility for wrap in one.wraps] for one in messages] == [["clinique-sud"]] * 3
    ((_, code, text),) = hub.station.do(lambda c: facts.latest_alarms(c, 9))
    assert code == "bad-sealing-key"
    assert "chu-oran" in text


def test_stat_goes_before_routine(hub: HubEnd) -> None:
    routine = put(hub, 3)
    stat = put(hub, 2, priority=Priority.STAT)
    wake(hub)
    assert submitted(hub) == stat + routine


def test_what_was_not_answered_goes_again_after_a_cut(hub: HubEnd) -> None:
    ids = put(hub, 4)
    wake(hub)
    hub.say(f.Accepted(tuple(ids[:2])))
    assert submitted(hub) == ids
    hub.again()
    assert submitted(hub) == ids[2:]


def test_the_same_bytes_go_again_after_a_cut(hub: HubEnd) -> None:
    """Envelope, ciphertext and signature are what they were: the hub can tell a repeat from a fraud."""
    put(hub, 1)
    wake(hub)
    (first,) = hub.heard(f.Submit)
    hub.again()
    (second,) = hub.heard(f.Submit)
    one, two = decode_message(first.messages[0].message), decode_message(second.messages[0].message)
    assert (one.envelope, one.sealed, one.signature) == (two.envelope, two.sealed, two.signature)


def test_nothing_is_submitted_between_busy_and_resume(hub: HubEnd) -> None:
    ids = put(hub, 3)
    wake(hub)
    assert submitted(hub) == ids
    hub.say(f.Busy(2_000, "full"))
    ids += put(hub, 1)
    wake(hub)
    assert submitted(hub) == []
    hub.station.advance(2.1)
    hub.turn()
    assert len(hub.heard(f.Resume)) == 1
    assert submitted(hub) == ids


def test_busy_while_the_table_is_being_read_holds_too(hub: HubEnd) -> None:
    """The node looks, the hub says BUSY, the look ends: what it found must wait for RESUME."""
    first = put(hub, 2)
    wake(hub)
    assert submitted(hub) == first
    late = put(hub, 2)
    hub.station.post.outbox_changed()
    hub.interrupt(f.Busy(2_000))
    hub.turn()
    assert submitted(hub) == []
    hub.station.advance(2.1)
    hub.turn()
    assert submitted(hub) == first + late


def test_busy_for_no_time_is_still_answered_with_resume(hub: HubEnd) -> None:
    ids = put(hub, 2)
    wake(hub)
    submitted(hub)
    hub.say(f.Busy(0))
    assert len(hub.heard(f.Resume)) == 1
    assert submitted(hub) == ids


@pytest.mark.parametrize("steps", range(12))
def test_starting_over_at_any_moment_of_a_look_skips_nothing(hub: HubEnd, steps: int) -> None:
    """A look that began before the node forgot what is under way must not move the mark afterwards."""
    ids = put(hub, 3)
    wake(hub)
    ids += put(hub, 3)
    session = hub.uplink._session
    assert session is not None
    session.sending.wake()
    for _ in range(steps):
        _step(hub)
    hub.heard(f.Submit)
    session.sending.restart()
    hub.turn()
    assert submitted(hub)[-6:] == ids


def _step(hub: HubEnd) -> None:
    """Let just one of the calls that are due happen."""
    time = hub.station.time
    if time.calls and time.calls[0].getTime() <= time.seconds():
        call = time.calls.pop(0)
        call.called = True
        call.func(*call.args, **call.kw)


def test_a_refused_message_comes_back_and_the_others_go_on(hub: HubEnd) -> None:
    ids = put(hub, 3)
    wake(hub)
    hub.say(f.Refused((f.Refusal(ids[1], "not-allowed", "this kind may not be sent"),)))
    sent = hub.station.do(lambda c: tracking.find(c, ids[1]))
    assert (sent.state, sent.reason, sent.settled) == (State.RETURNED, "not-allowed", True)
    assert sent.history[-1].text == "this kind may not be sent"
    hub.say(f.Accepted((ids[0], ids[2])))
    assert [state(hub, one) for one in ids] == [State.ACCEPTED, State.RETURNED, State.ACCEPTED]


def test_an_answer_about_what_was_not_submitted_changes_nothing(hub: HubEnd) -> None:
    """The hub cannot have a message marked that it was never given."""
    hub.reachable = False
    hub.lose()
    (mine,) = put(hub, 1)
    hub.reachable = True
    hub.answers_directory = False
    hub.again()
    hub.say(f.Accepted((mine, bytes(16))), f.Refused((f.Refusal(mine, "no"),)))
    assert state(hub, mine) is State.QUEUED


def test_nothing_is_submitted_before_the_directory(station: Station) -> None:
    hub = HubEnd(station)
    hub.answers_directory = False
    hub.start()
    put(hub, 1)
    wake(hub)
    assert submitted(hub) == []
    hub.say(f.Directory((), complete=False))
    assert submitted(hub) == []
    hub.say(f.Directory((), complete=True))
    assert len(submitted(hub)) == 1
    hub.uplink.stop()
    hub.lose()


# ── files ──────────────────────────────────────────────────────────────────────────────────


def test_a_file_holds_back_its_lane_and_no_other(hub: HubEnd) -> None:
    (scan,) = put(hub, 1, file=b"scan")
    behind = put(hub, 2)
    other_lane = put(hub, 1, recipients=("labo@chu-oran",))
    stat = put(hub, 1, priority=Priority.STAT)
    wake(hub)
    assert submitted(hub) == stat + other_lane
    (offer,) = hub.heard(f.Offer)
    hub.say(f.Stored(offer.id))
    assert submitted(hub) == [scan, *behind]


def test_many_that_wait_for_a_file_do_not_stop_what_is_urgent(hub: HubEnd) -> None:
    put(hub, 1, file=b"scan")
    put(hub, 520)
    wake(hub)
    hub.heard(f.Submit)
    stat = put(hub, 1, priority=Priority.STAT)
    wake(hub)
    assert submitted(hub) == stat


def test_a_file_that_the_hub_lost_is_brought_again(hub: HubEnd) -> None:
    (mine,) = put(hub, 1, file=b"scan")
    wake(hub)
    hub.say(f.Stored(hub.heard(f.Offer)[0].id))
    assert submitted(hub) == [mine]
    hub.say(f.Refused((f.Refusal(mine, "no-file"),)))
    assert state(hub, mine) is State.QUEUED
    hub.say(f.Stored(hub.heard(f.Offer)[0].id))
    assert submitted(hub) == [mine]


def test_a_file_that_the_hub_never_takes_brings_the_message_back(hub: HubEnd) -> None:
    (mine,) = put(hub, 1, file=b"scan")
    behind = put(hub, 1)
    wake(hub)
    hub.say(f.FileRefused(hub.heard(f.Offer)[0].id, "too-large", "at most 3 bytes"))
    sent = hub.station.do(lambda c: tracking.find(c, mine))
    assert (sent.state, sent.reason) == (State.RETURNED, "too-large")
    assert submitted(hub) == behind


def test_a_file_is_offered_again_when_the_hub_says_later(hub: HubEnd) -> None:
    put(hub, 1, file=b"scan")
    wake(hub)
    (offer,) = hub.heard(f.Offer)
    hub.say(f.FileRefused(offer.id, "busy", "", 1_000))
    assert hub.heard(f.Offer) == []
    hub.station.advance(1.1)
    hub.turn()
    assert [one.id for one in hub.heard(f.Offer)] == [offer.id]


def test_the_chunks_that_are_wanted_are_sent_each_once(hub: HubEnd) -> None:
    content = bytes(range(256)) * 1_000
    (mine,) = put(hub, 1, file=content)
    wake(hub)
    (offer,) = hub.heard(f.Offer)
    hub.say(f.Want(offer.id, 1, 3))
    assert [chunk.index for chunk in hub.heard(f.Chunk)] == [1, 2]
    hub.say(f.Want(offer.id, 2, 5))
    assert [chunk.index for chunk in hub.heard(f.Chunk)] == [3, 4]
    assert state(hub, mine) is State.QUEUED


def test_a_want_that_runs_ahead_of_a_read_mixes_no_chunks(hub: HubEnd) -> None:
    """Chunks that are on their way from the disk keep their own numbers, whatever is wanted meanwhile."""
    (_mine,) = put(hub, 1, file=bytes(range(256)) * 1_000)
    wake(hub)
    (offer,) = hub.heard(f.Offer)
    hub.say(f.Want(offer.id, 0, 2), f.Want(offer.id, 1, 5))
    sealed = hub.heard(f.Chunk)
    path = next((hub.station.home / files.OUTGOING).iterdir())
    data = path.read_bytes()
    step = 61_456
    for chunk in sealed:
        assert chunk.data == data[chunk.index * step : (chunk.index + 1) * step]
    assert [chunk.index for chunk in sealed][-1] == 4


def test_a_want_past_the_end_is_the_hubs_fault_and_returns_nothing(hub: HubEnd) -> None:
    (mine,) = put(hub, 1, file=b"scan")
    wake(hub)
    (offer,) = hub.heard(f.Offer)
    hub.say(f.Want(offer.id, 0, 2))
    assert hub.ended is not None
    assert hub.ended.reason is f.Goodbye.PROTOCOL_FAULT
    assert state(hub, mine) is State.QUEUED


def test_a_sealed_file_that_is_gone_brings_the_message_back(hub: HubEnd) -> None:
    (mine,) = put(hub, 1, file=b"scan")
    next((hub.station.home / files.OUTGOING).iterdir()).unlink()
    wake(hub)
    hub.say(f.Want(hub.heard(f.Offer)[0].id, 0, 1))
    sent = hub.station.do(lambda c: tracking.find(c, mine))
    assert (sent.state, sent.reason) == (State.RETURNED, "file-lost")


def test_a_goodbye_in_the_middle_of_a_file_is_no_error(hub: HubEnd, caplog: pytest.LogCaptureFixture) -> None:
    put(hub, 1, file=bytes(200_000))
    wake(hub)
    (offer,) = hub.heard(f.Offer)
    session = hub.uplink._session
    assert session is not None
    hub.interrupt(f.Want(offer.id, 0, 3))
    session.link.end(f.Goodbye.DONE)
    hub.turn()
    assert "session-failed" not in caplog.text


@pytest.mark.parametrize("column", ["envelope", "sealed"])
def test_a_message_that_the_disk_spoiled_comes_back_and_holds_up_nothing(hub: HubEnd, column: str) -> None:
    spoiled, whole = put(hub, 2)
    field = tables.outbox.c[column]
    hub.station.do(
        lambda c: c.execute(
            update(tables.outbox).where(tables.outbox.c.id == spoiled).values({field: b"\xc1"})
        )
    )
    wake(hub)
    assert submitted(hub) == [whole]
    assert hub.station.do(lambda c: tracking.find(c, spoiled)).reason == "damaged"
    assert [code for _, code, _ in hub.station.do(lambda c: facts.latest_alarms(c, 9))] == ["damaged"]
    assert hub.ended is None
