"""The database is away for a while: sessions stay, ask again, and go on from where they were."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from hub.metadata import metadata
from hub.sessions.session import AWAY_S
from hub.spool import store
from hub.spool.tables import spool
from protocols.link import frames as f
from protocols.link.envelope import State
from tests.databases.urls import POSTGRESQL, Databases, fresh_url
from tests.databases.wire import Wire
from tests.hub.caller import Caller, enrol
from tests.hub.hubs import ORAN, NodeKeys, Rest, entry, open_hub

ONE = NodeKeys.numbered(1)


@pytest.fixture
def wire(databases: Databases) -> Iterator[Wire]:
    with Wire(databases.server.port) as made:
        yield made


@pytest.fixture
def rest(databases: Databases, wire: Wire, tmp_path: Path) -> Iterator[Rest]:
    with fresh_url(POSTGRESQL, tmp_path, databases, metadata) as url:
        name = url.rpartition("/")[2]
        with open_hub(tmp_path, url=databases.server.url(name, port=wire.port)) as made:
            yield made


def lose(wire: Wire) -> None:
    wire.down = True
    wire.cut()


def accept(rest: Rest, number: int) -> None:
    rest.sql(lambda c: store.accept(c, [entry(number, ORAN)], rest.clock.now_ms()))


def waiting(rest: Rest) -> int:
    return rest.sql(lambda c: c.execute(select(func.count()).select_from(spool)).scalar_one())


def returned(frame: f.Deliver) -> f.Taken:
    return f.Taken(tuple(f.Taking(one.sequence, State.RETURNED, "x", b"") for one in frame.deliveries))


def test_a_session_outlives_an_outage(rest: Rest, wire: Wire) -> None:
    """What it says meanwhile is committed afterwards; what waits is delivered; nobody is sent away."""
    enrol(rest, "chu-alger", NodeKeys.numbered(2), "labo")
    enrol(rest, "chu-oran", ONE, "cardio")
    accept(rest, 1)
    caller = Caller(rest, ONE)
    caller.turn()
    (deliver,) = caller.heard(f.Deliver)
    accept(rest, 2)
    lose(wire)
    rest.core.sessions.mail_for(["chu-oran"])
    caller.say(returned(deliver))
    rest.time.advance(AWAY_S)
    caller.turn()
    assert caller.heard(f.Deliver) == []
    assert rest.core.sessions.get("chu-oran") is not None
    wire.down = False
    for _ in range(3):
        rest.time.advance(AWAY_S)
        caller.turn()
    (again,) = caller.heard(f.Deliver)
    assert len(again.deliveries) == 1
    assert again.deliveries[0].sequence == deliver.deliveries[0].sequence + 1
    assert waiting(rest) == 1
    caller.say(returned(again))
    caller.turn()
    assert waiting(rest) == 0
    assert rest.core.sessions.get("chu-oran") is not None
