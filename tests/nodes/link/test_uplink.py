"""Calling the hub: again after a loss, later and later, and what expires meanwhile."""

from __future__ import annotations

import logging
from functools import partial

import pytest
from twisted.internet.defer import Deferred

from nodes.link import facts, files, outbox, tracking
from protocols.link import frames as f
from protocols.link.envelope import State
from protocols.link.session import LinkSession
from tests.nodes.fixtures import EPOCH_MS, HERE, Station
from tests.nodes.link.hub_end import HubEnd

TO = "cardio@chu-oran"
DAY_MS = 86_400_000


def put(hub: HubEnd, to: str = TO) -> bytes:
    prepared = files.prepare(hub.station.home, b"MSH|", floor_bytes=0)
    draft = outbox.Draft(f"labo@{HERE}", (to,), "ORU^R01", prepared)
    return hub.station.do(partial(outbox.put, draft=draft, now_ms=EPOCH_MS)).id


def sent(hub: HubEnd, identifier: bytes) -> tracking.Sent:
    return hub.station.do(partial(tracking.find, identifier=identifier))


def test_after_a_loss_the_node_calls_again(hub: HubEnd) -> None:
    found = [hub.uplink.connected]
    hub.lose()
    found.append(hub.uplink.connected)
    hub.again()
    assert [*found, hub.uplink.connected] == [True, False, True]


def test_the_waits_grow_while_nobody_answers(hub: HubEnd) -> None:
    hub.reachable = False
    hub.lose()
    calls = hub.calls
    hub.station.advance(600, step_s=0.5)
    assert 8 <= hub.calls - calls <= 60
    assert hub.uplink.last_failure == "no route to the hub"


def test_a_node_that_fails_in_each_session_does_not_hammer_the_hub(hub: HubEnd) -> None:
    """A full disk here is no reason for ten handshakes a second there."""
    calls = hub.calls
    for _ in range(1_200):
        session = hub.uplink._session
        if session is not None and session.ready:
            session.failed(RuntimeError("cannot go on"))
        hub.turn()
        hub.station.advance(0.5, step_s=0.5)
    assert hub.calls - calls <= 60


def test_a_hub_that_says_how_long_to_wait_is_obeyed(station: Station) -> None:
    hub = HubEnd(station)

    def refuse(session: LinkSession) -> None:
        session.refuse(hub._welcome(), f.End(f.Goodbye.REVOKED, "revoked", 300))

    hub.answer_hello = refuse
    station.run(hub.uplink.start())
    hub.turn()
    assert hub.calls == 1
    for _ in range(3):
        hub.uplink.reconnect_soon()
        hub.turn()
    station.advance(100, step_s=1)
    assert hub.calls == 1
    assert not hub.uplink.connected
    station.advance(300, step_s=1)
    hub.turn()
    assert hub.calls == 2
    hub.uplink.stop()


def test_a_poke_cuts_a_wait_short(hub: HubEnd) -> None:
    hub.reachable = False
    hub.lose()
    hub.station.advance(60)
    hub.reachable = True
    calls = hub.calls
    hub.uplink.reconnect_soon()
    hub.turn()
    assert hub.calls == calls + 1
    assert hub.uplink.connected


def test_a_put_cuts_a_wait_short_but_not_right_after_an_attempt(hub: HubEnd) -> None:
    hub.reachable = False
    hub.lose()
    hub.station.advance(300, step_s=0.5)
    hub.uplink._backoff.next_s = lambda: 1_000.0  # type: ignore[method-assign]  # so that no timer calls now
    hub.station.advance(60, step_s=0.5)
    calls = hub.calls
    hub.station.advance(60)
    assert hub.calls == calls
    for _ in range(5):
        hub.station.post.outbox_changed()
    assert hub.calls == calls + 1
    hub.station.advance(2.5)
    hub.station.post.outbox_changed()
    assert hub.calls == calls + 2


def test_a_refused_node_knows_why_and_alarms_once(station: Station) -> None:
    """Kept for the command line across restarts of the daemon, until the hub lets it in."""
    hub = HubEnd(station)
    welcome = hub.answer_hello
    hub.answer_hello = lambda session: session.refuse(
        hub._welcome(), f.End(f.Goodbye.SUSPENDED, "this facility is suspended", 20)
    )
    station.run(hub.uplink.start())
    for _ in range(3):
        hub.turn()
        station.advance(90, step_s=1)
    assert hub.calls > 2
    assert station.do(facts.refusal) == "its facility is suspended"
    alarms = [code for _, code, _ in station.do(partial(facts.latest_alarms, limit=9))]
    assert alarms == ["hub-refuses"]
    hub.answer_hello = welcome
    for _ in range(100):
        hub.turn()
        station.advance(1)
    assert hub.uplink.connected
    assert station.do(facts.refusal) == ""
    hub.uplink.stop()


def test_a_session_and_a_loss_are_in_the_log(hub: HubEnd, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    hub.lose()
    hub.again()
    said = [record.getMessage() for record in caplog.records]
    assert said.count("hub-lost") == 1
    assert said.count("connected") == 1


def test_stop_says_goodbye_and_stays_away(hub: HubEnd) -> None:
    calls = hub.calls
    hub.uplink.stop()
    hub.turn()
    assert hub.ended is not None
    assert hub.ended.reason is f.Goodbye.DONE
    hub.station.advance(120, step_s=1)
    assert hub.calls == calls


def test_what_expires_while_the_hub_is_away_comes_back(hub: HubEnd) -> None:
    hub.reachable = False
    hub.lose()
    mine = put(hub)
    hub.station.clock.skew_ms += 6 * DAY_MS
    hub.station.advance(6)
    found = sent(hub, mine)
    assert (found.state, found.reason) == (State.RETURNED, "expired")
    assert "could not be reached" in found.history[-1].text


def test_what_may_be_at_the_hub_does_not_expire_here(hub: HubEnd) -> None:
    mine = put(hub)
    hub.station.post.outbox_changed()
    hub.turn()
    hub.reachable = False
    hub.lose()
    hub.station.clock.skew_ms += 6 * DAY_MS
    hub.station.advance(6)
    assert sent(hub, mine).state is State.QUEUED


def test_nothing_expires_here_once_a_session_has_begun(hub: HubEnd) -> None:
    """The look for expired messages began before the session; its verdict falls after."""
    hub.reachable = False
    hub.lose()
    mine = put(hub)
    hub.station.clock.skew_ms += 6 * DAY_MS
    looking = Deferred.fromCoroutine(hub.uplink._return_expired())
    hub.station.do(facts.session_began)
    hub.turn()
    assert looking.called
    assert sent(hub, mine).state is State.QUEUED
