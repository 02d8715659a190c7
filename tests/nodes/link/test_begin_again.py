"""A node that meets a restored hub: what it tells its operator."""

from __future__ import annotations

from sqlalchemy import delete

from nodes.link import facts, tables
from protocols.link import limits, payloads
from tests.nodes.link.hub_end import HubEnd


def restored(hub: HubEnd, at_ms: int) -> None:
    """Let the node meet a hub that was restored from a backup."""
    now_ms = hub.station.clock.now_ms()
    welcome = payloads.Welcome("test", now_ms, limits.SUBMIT_WINDOW, 1 << 40, 1, at_ms, at_ms)
    hub.answer_hello = lambda session: session.welcome(welcome)
    hub.again()


def alarms(hub: HubEnd) -> list[str]:
    rows = hub.station.run(hub.core.database.read(lambda c: facts.latest_alarms(c, 10)))
    return [code for _, code, _ in rows]


def test_each_restore_is_an_alarm_once(hub: HubEnd) -> None:
    restored(hub, 7)
    assert alarms(hub) == ["hub-restored"]
    hub.again()
    assert alarms(hub) == ["hub-restored"]
    restored(hub, 8)
    assert alarms(hub) == ["hub-restored", "hub-restored"]


def test_a_node_that_is_new_to_a_restored_hub_raises_no_alarm(hub: HubEnd) -> None:
    """It joined after the restore: it has lost nothing."""
    hub.lose()
    hub.station.do(lambda c: c.execute(delete(tables.facts)))
    restored(hub, 7)
    assert alarms(hub) == []
    restored(hub, 8)
    assert alarms(hub) == ["hub-restored"]
