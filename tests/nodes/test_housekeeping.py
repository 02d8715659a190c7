"""What is forgotten, and what never is: anything that waits, came back, or was not taken."""

from __future__ import annotations

import io
import os
from functools import partial
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import func, select

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
    count = station.do(partial(housekeeping.forget_sent, before_ms=LATER_MS))
    assert (count, len(station.sent())) == ((2, 0) if finished else (0, 2))


def test_what_is_young_is_kept(station: Station) -> None:
    put(station, State.PROCESSED)
    assert station.do(partial(housekeeping.forget_sent, before_ms=EPOCH_MS)) == 0
    seq = station.receive(b"x")
    station.run(station.post.conclude(seq, State.PROCESSED))
    assert station.do(partial(housekeeping.forget_received, before_ms=EPOCH_MS)) == 0


def test_nothing_of_a_forgotten_message_stays_in_the_tables(station: Station) -> None:
    put(station, State.PROCESSED)
    station.do(partial(housekeeping.forget_sent, before_ms=LATER_MS))
    for table in (tables.outbox_recipients, tables.outbox_history, tables.outbox_files):
        left = station.do(lambda c, t=table: c.execute(select(func.count()).select_from(t)).scalar_one())  # type: ignore[misc]  # its own table
        assert left == 0


@pytest.mark.parametrize("state", [State.DELIVERED, State.PROCESSED, State.REFUSED])
def test_only_what_was_taken_here_is_forgotten(station: Station, state: State) -> None:
    seq = station.receive(b"x")
    if state is not State.DELIVERED:
        station.do(lambda c: inbox.conclude(c, station.identity, seq, state, EPOCH_MS))
    forgotten = station.do(partial(housekeeping.forget_received, before_ms=EPOCH_MS + 60_000))
    assert forgotten == (state is State.PROCESSED)


def _keeper(station: Station) -> Housekeeping:
    post = station.post
    core = LinkCore(post, ClockExecutor(station.time), post.metrics, Random(1), Trust({}), 0)
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
