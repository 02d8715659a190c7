"""What a node shows of itself: its two queues, its hub, its key."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from random import Random

import msgspec
import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import func, select, update

from nodes import doctor, health
from nodes.gauges import NodeGauges
from nodes.link import inbox
from nodes.link.core import LinkCore
from nodes.link.tables import outbox
from nodes.link.trust import Trust
from protocols.link.envelope import State
from runtime.clock import SimulatedClock
from runtime.doctor import Word
from runtime.executors import ClockExecutor
from tests.nodes.fixtures import EPOCH_MS, Station
from tests.nodes.test_housekeeping import put


class Shown:
    """A node's gauges, and whether it is connected."""

    def __init__(self, station: Station) -> None:
        self.station = station
        self.connected = False
        self.registry = CollectorRegistry()
        post = station.post
        self.core = LinkCore(post, ClockExecutor(station.time), post.metrics, Random(1), Trust({}), 7)
        self.gauges = NodeGauges(self.core, lambda: self.connected)
        self.registry.register(self.gauges)

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"wasl_node_{name}", labels)


@pytest.fixture
def shown(station: Station) -> Shown:
    return Shown(station)


def test_the_outbox_is_shown_while_the_hub_has_not_accepted(shown: Shown) -> None:
    for _ in range(2):
        put(shown.station, State.QUEUED)
    last = select(func.max(outbox.c.seq)).scalar_subquery()
    shown.station.do(
        lambda c: c.execute(update(outbox).where(outbox.c.seq == last).values(state=int(State.ACCEPTED)))
    )
    shown.station.time.advance(30)
    shown.station.run(shown.gauges.look())
    assert shown.value("outbox_messages", priority="routine") == 1
    assert shown.value("outbox_messages", priority="stat") == 0
    assert shown.value("outbox_oldest_age_seconds", priority="routine") == 30
    assert shown.value("outbox_oldest_age_seconds", priority="stat") == 0


def test_the_inbox_is_shown_until_a_local_system_took_it(shown: Shown) -> None:
    station = shown.station
    seq = station.receive(b"x")
    station.run(shown.gauges.look())
    assert shown.value("inbox_messages", priority="routine") == 1
    station.do(partial(_processed, station=station, seq=seq))
    station.run(shown.gauges.look())
    assert shown.value("inbox_messages", priority="routine") == 0


def _processed(connection: object, *, station: Station, seq: int) -> object:
    return inbox.conclude(connection, station.identity, seq, State.PROCESSED, EPOCH_MS)  # type: ignore[arg-type]  # as partial sees it


def test_the_last_contact_is_nothing_then_now_then_then(shown: Shown) -> None:
    assert shown.value("hub_contact_timestamp_seconds") is None
    shown.connected = True
    assert shown.value("hub_contact_timestamp_seconds") == EPOCH_MS / 1000
    shown.station.time.advance(60)
    shown.station.run(shown.gauges.look())
    shown.connected = False
    shown.station.time.advance(60)
    assert shown.value("hub_contact_timestamp_seconds") == EPOCH_MS / 1000 + 60


def test_key_and_disk_are_shown(shown: Shown) -> None:
    assert shown.value("key_expiry_timestamp_seconds") == shown.core.identity.credential.not_after_ms / 1000
    assert shown.value("disk_floor_bytes") == 7
    assert shown.value("disk_free_bytes")


def test_a_credential_that_ended_and_a_clock_that_is_off_are_not_ready(shown: Shown) -> None:
    core, clock = shown.core, shown.station.clock
    assert isinstance(clock, SimulatedClock)
    assert health._keys(core).ok
    assert health._clock(core).ok
    core.hub_epoch_ms = EPOCH_MS - clock.monotonic_s() * 1000
    clock.skew_ms = 301_000
    found = health._clock(core)
    assert (found.ok, found.text) == (False, "the hub's is -301.0 s from ours")
    clock.skew_ms = core.identity.credential.not_after_ms
    ended = health._keys(core)
    assert not ended.ok
    assert "`wasl-node rotate`" in ended.advice, "the hub lets in who has an ended credential, and renews it"
    clock.skew_ms = -clock.now_ms()
    assert not health._keys(core).ok


def test_the_doctor_says_as_well_how_an_ended_credential_is_renewed(shown: Shown) -> None:
    identity = shown.core.identity
    credential = msgspec.structs.replace(identity.credential, not_before_ms=0, not_after_ms=1)
    found = doctor._credential(replace(identity, credential=credential))
    assert (found.word, "`wasl-node rotate`" in found.remedy) == (Word.FAIL, True)
