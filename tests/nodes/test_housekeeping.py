"""What is forgotten, and what never is: anything that waits, came back, or was not taken."""

from __future__ import annotations

import io
import os
from functools import partial
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import func, select, update

from config.node import Retention
from nodes import housekeeping
from nodes.housekeeping import ORPHAN_AGES_S, Housekeeping
from nodes.link import files, inbox, outbox, tables
from nodes.link.core import INCOMING, LinkCore
from nodes.link.trust import Trust
from protocols.link.envelope import State
from runtime.database import ClockExecutor
from tests.nodes.fixtures import EPOCH_MS, HERE, Station

ONE, TWO = "cardio@chu-oran", "accueil@clinique-sud"
LATER_MS = EPOCH_MS + 1


def put(station: Station, *states: State) -> bytes:
    source = files.Source("f", "text/plain", io.BytesIO(b"x"), 1)
    prepared = files.prepare(station.home, b"MSH|", [source], floor_bytes=0)
    to = (ONE, TWO)[: len(states)]
    draft = outbox.Draft(f"labo@{HERE}", to, "ORU^R01", prepared)
    identifier = station.do(partial(outbox.put, draft=draft, now_ms=EPOCH_MS)).id
    for recipient, state in zip(to, states, strict=True):
        station.mark(identifier, recipient, state)
    return identifier


@pytest.mark.parametrize("state", list(State))
def test_only_what_every_recipient_has_is_forgotten(station: Station, state: State) -> None:
    finished = state in (State.DELIVERED, State.PROCESSED)
    put(station, state)
    put(station, State.PROCESSED, state)
    count = station.do(partial(housekeeping.forget_sent, before_ms=LATER_MS, now_ms=LATER_MS))
    assert (count, len(station.sent())) == ((2, 0) if finished else (0, 2))


def test_what_is_young_is_kept(station: Station) -> None:
    put(station, State.PROCESSED)
    assert station.do(partial(housekeeping.forget_sent, before_ms=EPOCH_MS, now_ms=EPOCH_MS)) == 0
    seq = station.receive(b"x")
    station.run(station.post.conclude(seq, State.PROCESSED))
    assert station.do(partial(housekeeping.forget_received, before_ms=EPOCH_MS, now_ms=EPOCH_MS)) == 0


def test_nothing_of_a_forgotten_message_stays_in_the_tables(station: Station) -> None:
    put(station, State.PROCESSED)
    station.do(partial(housekeeping.forget_sent, before_ms=LATER_MS, now_ms=LATER_MS))
    for table in (tables.outbox_recipients, tables.outbox_history, tables.outbox_files):
        left = station.do(lambda c, t=table: c.execute(select(func.count()).select_from(t)).scalar_one())  # type: ignore[misc]  # its own table
        assert left == 0


@pytest.mark.parametrize("state", [State.DELIVERED, State.PROCESSED, State.REFUSED])
def test_only_what_was_taken_here_is_forgotten(station: Station, state: State) -> None:
    seq = station.receive(b"x")
    if state is not State.DELIVERED:
        station.do(lambda c: inbox.conclude(c, station.identity, seq, state, EPOCH_MS))
    forgotten = station.do(
        partial(housekeeping.forget_received, before_ms=EPOCH_MS + 60_000, now_ms=LATER_MS)
    )
    assert forgotten == (state is State.PROCESSED)


def _keeper(station: Station, hub_epoch_ms: float | None = EPOCH_MS) -> Housekeeping:
    post = station.post
    core = LinkCore(post, ClockExecutor(station.time), post.metrics, Random(1), Trust({}), 0)
    core.hub_epoch_ms = hub_epoch_ms
    return Housekeeping(core, Retention())


def _old(path: Path, age_s: float) -> None:
    then_s = EPOCH_MS / 1000 - age_s
    os.utime(path, (then_s, then_s))


def test_a_round_takes_orphans_and_leaves_what_is_owned_or_young(station: Station) -> None:
    put(station, State.QUEUED)
    outgoing, incoming = station.home / files.OUTGOING, station.home / INCOMING
    incoming.mkdir()
    (owned,) = outgoing.iterdir()
    age_s = max(ORPHAN_AGES_S.values()) + 60
    for name in (outgoing / "orphan", incoming / "orphan"):
        name.write_bytes(b"x")
        _old(name, age_s)
    for name in (outgoing / "young", incoming / "young"):
        name.write_bytes(b"x")
        _old(name, min(ORPHAN_AGES_S.values()) - 60)
    _old(owned, age_s)
    station.run(_keeper(station).round())
    assert sorted(path.name for path in outgoing.iterdir()) == sorted([owned.name, "young"])
    assert [path.name for path in incoming.iterdir()] == ["young"]


def test_files_that_are_being_sealed_for_hours_are_not_orphans() -> None:
    """A put owns its files only at its end, and sealing terabytes takes hours."""
    assert ORPHAN_AGES_S[files.OUTGOING] >= 24 * 3_600


YEAR_MS = 365 * 86_400_000


@pytest.mark.parametrize(
    ("ours_ms", "hub_ms", "kept"),
    [(0, 0, 1), (YEAR_MS, 0, 1), (0, YEAR_MS, 1), (YEAR_MS, YEAR_MS, 0), (YEAR_MS, None, 1)],
    ids=["young", "our clock is wrong", "the hub's clock is wrong", "old", "not told since the start"],
)
def test_a_clock_that_is_set_wrong_makes_nothing_forgotten(
    station: Station, ours_ms: int, hub_ms: int | None, kept: int
) -> None:
    put(station, State.PROCESSED)
    station.clock.skew_ms = ours_ms
    keeper = _keeper(station, None if hub_ms is None else EPOCH_MS + hub_ms)
    station.run(keeper.round())
    assert len(station.sent()) == kept


@pytest.mark.parametrize("theirs_ms", [0, 5 * YEAR_MS], ids=["theirs is right", "theirs is years ahead"])
def test_what_came_while_our_clock_was_behind_is_not_old_when_it_is_right_again(
    station: Station, theirs_ms: int
) -> None:
    """It was once forgotten within the hour; a sender that is ahead makes nothing last for ever, though."""
    station.clock.skew_ms = -YEAR_MS
    seq = station.receive(b"MSH|")
    station.run(station.post.conclude(seq, State.PROCESSED))
    sent = put(station, State.PROCESSED)
    then_ms = EPOCH_MS + theirs_ms
    station.do(lambda c: c.execute(update(tables.inbox).values(created_ms=then_ms)))
    station.do(lambda c: c.execute(update(tables.outbox).values(created_ms=EPOCH_MS - YEAR_MS)))
    station.do(lambda c: c.execute(update(tables.outbox_recipients).values(at_ms=then_ms)))
    station.clock.skew_ms = 0
    station.run(_keeper(station).round())
    kept = station.do(lambda c: c.execute(select(tables.inbox.c.seq)).scalars().all())
    assert (list(kept), len(station.sent())) == (([], 0) if theirs_ms else ([seq], 1)), sent
