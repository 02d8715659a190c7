"""What the hub counts and shows: bounded names, true numbers, nothing of a message or a patient."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from sqlalchemy import delete, insert, select

from hub import gauges, health
from hub.admin import holds
from hub.directory.tables import facilities as facilities_table
from hub.gauges import REST, HubGauges
from hub.metrics import OTHER, HubMetrics
from hub.peers import store as peers
from hub.routing.route import Reason
from hub.sessions.commits import Commits
from hub.spool import ageing, store
from hub.spool.ageing import Presence
from hub.spool.store import Entry, News
from hub.spool.tables import spool
from hub.sweeper import Sweeper
from protocols.link.envelope import State
from runtime.backup.gauges import MARK
from runtime.probe import WriteProbe
from tests.hub.caller import enrol
from tests.hub.hubs import ALGER, DAY_MS, EPOCH_MS, ORAN, NodeKeys, Rest, entry

_Value = Callable[..., float | None]


@pytest.fixture
def registry(rest: Rest) -> CollectorRegistry:
    found = CollectorRegistry()
    rest.core.metrics = HubMetrics(found)
    return found


@pytest.fixture
def value(registry: CollectorRegistry) -> _Value:
    return lambda name, **labels: registry.get_sample_value(f"wasl_hub_{name}", labels)


def accept(rest: Rest, *entries: Entry) -> None:
    async def accepted() -> None:
        await rest.core.commits.accept(list(entries))

    rest.run(accepted())


# ── counters ───────────────────────────────────────────────────────────────────────────────


def test_accepted_messages_are_counted_by_kind_and_priority(rest: Rest, value: _Value) -> None:
    accept(rest, entry(1, ORAN), entry(2, ORAN, priority=1), entry(3, ORAN))
    assert value("accepted_messages_total", kind="ORU^R01", priority="routine") == 2
    assert value("accepted_messages_total", kind="ORU^R01", priority="stat") == 1


def test_a_message_that_comes_again_is_not_counted_again(rest: Rest, value: _Value) -> None:
    accept(rest, entry(1, ORAN))
    accept(rest, entry(1, ORAN))
    assert value("accepted_messages_total", kind="ORU^R01", priority="routine") == 1


def test_foreign_kinds_and_reasons_make_no_series(rest: Rest, value: _Value) -> None:
    """A sender chooses its kinds freely: a thousand of them must not become a thousand series."""
    metrics = rest.core.metrics
    for number in range(1_000):
        metrics.returned(f"Z{number}^DUPONT", 0, f"reason-{number}")
    assert value("returned_messages_total", kind=OTHER, priority="routine") == 1_000
    assert value("returns_total", reason=OTHER) == 1_000
    assert len(metrics._returned._counts) == 2


def test_what_comes_back_at_once_is_counted_with_its_reason(rest: Rest, value: _Value) -> None:
    accept(rest, entry(1, returns=(("x@nobody", Reason.UNKNOWN_FACILITY),)))
    assert value("returned_messages_total", kind="ORU^R01", priority="routine") == 1
    assert value("returns_total", reason="unknown-facility") == 1


def test_what_expires_is_counted_with_its_reason(rest: Rest, value: _Value) -> None:
    rest.sql(lambda c: store.accept(c, [entry(1, ORAN, priority=1)], EPOCH_MS))
    rest.time.advance(DAY_MS / 1000 + 1)
    rest.run(Sweeper(rest.core).round())
    assert value("returned_messages_total", kind=OTHER, priority="stat") == 1  # its envelope cannot be read
    assert value("returns_total", reason="expired") == 1


def test_deliveries_are_counted_and_timed(rest: Rest, value: _Value) -> None:
    accepted = rest.sql(lambda c: store.accept(c, [entry(1, ORAN), entry(2, ORAN)], EPOCH_MS))
    first, second = accepted.queued
    taken = News(0, "chu-alger", first.id, ORAN, State.DELIVERED, "", EPOCH_MS + 40, b"")
    back = News(0, "chu-alger", second.id, ORAN, State.RETURNED, "wrong-key", EPOCH_MS + 40, b"")
    rest.core.metrics.ended([(first, taken), (second, back)])
    assert value("delivered_messages_total", kind="ORU^R01", priority="routine") == 1
    assert value("delivery_seconds_count", priority="routine") == 1
    assert value("delivery_seconds_sum", priority="routine") == 0.04
    assert value("delivery_seconds_bucket", priority="routine", le="0.025") == 0
    assert value("delivery_seconds_bucket", priority="routine", le="0.05") == 1
    assert value("delivery_seconds_bucket", priority="routine", le="+Inf") == 1
    assert value("returned_messages_total", kind="ORU^R01", priority="routine") == 1
    assert value("returns_total", reason=OTHER) == 1


def test_a_clock_that_was_set_back_makes_no_negative_delivery(rest: Rest, value: _Value) -> None:
    rest.core.metrics.delivery_times.observe(1, -3_600.0)
    assert value("delivery_seconds_sum", priority="stat") == 0
    assert value("delivery_seconds_bucket", priority="stat", le="0.005") == 1


def test_a_full_commit_counts_what_it_tells(rest: Rest, value: _Value) -> None:
    assert isinstance(rest.core.commits, Commits)
    accept(rest, *(entry(number, ORAN) for number in range(300)))
    assert value("accepted_messages_total", kind="ORU^R01", priority="routine") == 300


# ── gauges ─────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def shown(rest: Rest, registry: CollectorRegistry) -> HubGauges:
    for number, facility in enumerate(("chu-alger", "chu-oran"), 1):
        enrol(rest, facility, NodeKeys.numbered(number), "labo", "cardio")
    found = HubGauges(rest.core)
    registry.register(found)
    return found


def test_queues_are_shown_by_facility_and_priority(rest: Rest, shown: HubGauges, value: _Value) -> None:
    waiting = [entry(1, ORAN), entry(2, ORAN), entry(3, ORAN, priority=1), entry(4, ORAN, ALGER)]
    rest.sql(lambda c: store.accept(c, waiting, EPOCH_MS))
    rest.time.advance(90)
    rest.run(shown.look())
    assert value("queue_messages", facility="chu-oran", priority="routine") == 3
    assert value("queue_messages", facility="chu-oran", priority="stat") == 1
    assert value("queue_messages", facility="chu-alger", priority="stat") == 0
    assert value("queue_oldest_age_seconds", facility="chu-oran", priority="stat") == 90
    assert value("queue_oldest_age_seconds", facility="chu-alger", priority="stat") == 0
    rest.time.advance(10)
    assert value("queue_oldest_age_seconds", facility="chu-oran", priority="routine") == 100


def test_what_people_hold_is_shown(
    rest: Rest, shown: HubGauges, value: _Value, monkeypatch: pytest.MonkeyPatch
) -> None:
    rest.sql(lambda c: store.accept(c, [entry(1, ORAN), entry(2, ORAN), entry(3, ALGER)], EPOCH_MS))
    first, second, _ = [row.seq for row in rest.sql(lambda c: c.execute(select(spool.c.seq)).all())]
    about: dict[str, Any] = {"reason": "x", "actor": "cli:a", "now_ms": EPOCH_MS}
    rest.sql(lambda c: holds.stop(c, "chu-oran", [first, second], **about))
    rest.sql(lambda c: holds.pause(c, "chu-alger", **about))
    rest.run(shown.look())
    assert [value("queue_paused", facility=name) for name in ("chu-alger", "chu-oran")] == [1, 0]
    assert [value("queue_stopped_messages", facility=name) for name in ("chu-alger", "chu-oran")] == [0, 2]
    rest.sql(lambda c: c.execute(delete(spool).where(spool.c.seq == second)))
    rest.run(shown.look())
    assert value("queue_stopped_messages", facility="chu-oran") == 1, "what is stopped has left the queue"
    monkeypatch.setattr(gauges, "FACILITIES_SHOWN", 0)
    assert (value("queue_paused", facility=REST), value("queue_stopped_messages", facility=REST)) == (1, 1)


def test_only_so_many_facilities_have_series_of_their_own(
    rest: Rest, shown: HubGauges, value: _Value, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gauges, "FACILITIES_SHOWN", 1)
    rest.sql(lambda c: store.accept(c, [entry(1, ORAN), entry(2, "x@gone"), entry(3, ALGER)], EPOCH_MS))
    rest.run(shown.look())
    assert value("queue_messages", facility="chu-alger", priority="routine") == 1
    assert value("queue_messages", facility="chu-oran", priority="routine") is None
    assert value("queue_messages", facility=REST, priority="routine") == 2
    assert value("key_expiry_timestamp_seconds", facility="chu-oran") is None


def noted(rest: Rest, change: Presence) -> None:
    rest.sql(lambda c: ageing.note_presences(c, [change], EPOCH_MS, 1))


def test_a_facility_was_seen_when_its_session_ended(rest: Rest, shown: HubGauges, value: _Value) -> None:
    for facility, connected in (("chu-alger", True), ("chu-oran", False)):
        change = Presence(facility, connected=True, software="node")
        noted(rest, change)
        if not connected:
            noted(rest, change._replace(connected=False))
    rest.time.advance(600)
    rest.run(shown.look())
    assert value("facility_connected", facility="chu-oran") == 0
    assert value("facility_last_seen_timestamp_seconds", facility="chu-oran") == EPOCH_MS / 1000
    assert value("facility_last_seen_timestamp_seconds", facility="chu-alger") == EPOCH_MS / 1000 + 600


def test_who_never_joined_is_not_called_silent(rest: Rest, shown: HubGauges, value: _Value) -> None:
    row = {
        "facility": "chu-bejaia", "title": "", "suspended": False, "revocation": b"", "created_ms": 0,
        "version": 9,
    }  # fmt: skip
    rest.sql(lambda c: c.execute(insert(facilities_table).values(row)))
    rest.run(shown.look())
    assert value("facility_last_seen_timestamp_seconds", facility="chu-bejaia") is None


def test_keys_disk_and_backup_are_shown(
    rest: Rest, shown: HubGauges, value: _Value, registry: CollectorRegistry
) -> None:
    rest.run(shown.look())
    expiry_s = value("key_expiry_timestamp_seconds", facility="chu-oran")
    assert expiry_s is not None
    assert expiry_s > EPOCH_MS / 1000
    assert value("disk_free_bytes", place="home") == pytest.approx(rest.core.free(rest.core.home), rel=0.1)
    assert value("disk_floor_bytes") == rest.core.settings.disk.floor_bytes
    assert (value("backup_timestamp_seconds"), value("backup_verified")) == (0, 0)
    backup: Path = rest.core.home / MARK
    backup.write_text('{"finished": "2026-09-21T14:13:20Z", "verified": true}', encoding="utf-8")
    assert (value("backup_timestamp_seconds"), value("backup_verified")) == (1_790_000_000, 1)
    for damaged in (
        "",
        "{}",
        '{"finished": "yesterday"}',
        '{"finished": "2026-09-21T14:13:20"}',
        "[" * 9_999,
    ):
        backup.write_text(damaged, encoding="utf-8")
        assert (value("backup_timestamp_seconds"), value("backup_verified")) == (0, 0)
    assert b"wasl_hub_backup_timestamp_seconds" in generate_latest(registry)


# ── readiness ──────────────────────────────────────────────────────────────────────────────


def test_each_check_says_what_failed_and_what_to_do(rest: Rest, registry: CollectorRegistry) -> None:
    probe = WriteProbe(
        rest.core.database, rest.clock, registry, package="hub", write=lambda c: peers.beat(c, 1)
    )
    leapt = False
    checks = health.checks(rest.core, probe, lambda: leapt)

    def failed() -> set[str]:
        found = {name: check() for name, check in checks.items()}
        assert all(one.ok or (one.text and one.advice) for one in found.values())  # type: ignore[union-attr]  # none of these waits
        return {name for name, one in found.items() if not one.ok}  # type: ignore[union-attr]  # likewise

    rest.core.free = lambda _: 10 << 40
    assert failed() == {"database", "schema", "keys"}  # nothing was written, and these keys are in no file
    (rest.core.home / "keys").touch()
    rest.run(probe.probe())
    assert "schema" in failed()  # the tables were made without a migration
    assert "database" not in failed()
    rest.core.free = lambda _: 0
    leapt = True
    assert failed() >= {"disk", "clock"}
    rest.time.advance(60)
    assert "database" in failed()
