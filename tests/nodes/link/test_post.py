"""The counter: waiting is woken by hints, survives their loss, ends in time, and leaves nothing behind."""

from __future__ import annotations

import io

import pytest

from nodes.link import files, outbox
from nodes.link.errors import NotFound, UnknownRecipient
from nodes.link.post import POLL_S
from protocols.link.envelope import State
from tests.nodes.fixtures import HERE, Station

TO = "cardio@chu-oran"
DONE = frozenset({State.PROCESSED})


async def _put(station: Station, *to: str, key: str | None = None) -> outbox.Put:
    source = files.Source("f", "text/plain", io.BytesIO(b"x"), 1)
    prepared = await station.post.prepare(b"MSH|", [source])
    return await station.post.put(outbox.Draft(f"labo@{HERE}", to or (TO,), "ORU^R01", prepared, key=key))


def outgoing(station: Station) -> int:
    return len(list((station.home / files.OUTGOING).iterdir()))


def test_a_refused_put_leaves_no_file(station: Station) -> None:
    with pytest.raises(UnknownRecipient):
        station.run(_put(station, "nobody@chu-oran"))
    assert outgoing(station) == 0


def test_a_repeated_put_leaves_the_files_of_the_first(station: Station) -> None:
    first = station.run(_put(station, key="k"))
    again = station.run(_put(station, key="k"))
    assert (again.id, again.fresh) == (first.id, False)
    assert outgoing(station) == 1


def test_waiting_ends_with_the_hint(station: Station) -> None:
    put = station.run(_put(station))
    waiting = station.start(station.post.wait_for(put.id, DONE, 60))
    station.mark(put.id, TO, State.DELIVERED)
    station.settle()
    assert not waiting.called
    station.mark(put.id, TO, State.PROCESSED)
    station.settle()
    assert waiting.called


def test_a_lost_hint_costs_time_and_nothing_else(station: Station) -> None:
    put = station.run(_put(station))
    waiting = station.start(station.post.wait_for(put.id, DONE, 60))
    station.do(lambda c: c.exec_driver_sql("UPDATE outbox_recipients SET state = 4"))
    station.settle()
    assert not waiting.called
    station.advance(POLL_S + 0.1)
    assert waiting.called


def test_waiting_ends_in_time_with_what_is_known(station: Station) -> None:
    put = station.run(_put(station))
    began_s = station.time.seconds()
    assert station.run(station.post.wait_for(put.id, DONE, 12)).state is State.QUEUED
    assert 12 <= station.time.seconds() - began_s < 13
    assert station.run(station.post.wait_for(put.id, DONE, 0)).state is State.QUEUED


def test_waiting_leaves_nothing_behind(station: Station) -> None:
    put = station.run(_put(station))
    station.run(station.post.wait_for(put.id, DONE, 7))
    station.run(station.post.wait_for(put.id, frozenset({State.QUEUED}), 60))
    with pytest.raises(NotFound):
        station.run(station.post.wait_for(bytes(16), DONE, 60))
    assert station.post._waiters == {}
    assert station.time.getDelayedCalls() == []


def test_many_may_wait_for_one_message(station: Station) -> None:
    put = station.run(_put(station))
    waiting = [station.start(station.post.wait_for(put.id, DONE, 60)) for _ in range(50)]
    station.mark(put.id, TO, State.PROCESSED)
    station.settle()
    assert all(one.called for one in waiting)
    assert station.time.getDelayedCalls() == []


def test_a_poke_wakes_everybody(station: Station) -> None:
    put = station.run(_put(station))
    woken: list[str] = []
    station.post.on_outbox(lambda: woken.append("out"))
    station.post.on_inbox(lambda: woken.append("in"))
    waiting = station.start(station.post.wait_for(put.id, frozenset({State.ACCEPTED}), 60))
    station.do(lambda c: c.exec_driver_sql("UPDATE outbox_recipients SET state = 1"))
    station.post.poked()
    station.settle()
    assert waiting.called
    assert woken == ["out", "in"]
