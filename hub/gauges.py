"""What the hub shows of its tables, its disk and its backups when Prometheus asks.

Queues, presences and keys are read from the tables every ``LOOK_S``, off the reactor, and remembered: a
scrape costs no SQL. Counting a queue walks its index: a look that takes long makes the next one wait the
longer, so that no more than a fiftieth of the reading thread's time goes there. Disk and backup are looked
at by the scrape itself.

Facilities have a name in their series, up to ``FACILITIES_SHOWN`` of them; the rest are summed up as
``_the_rest``, which no facility can be called. Of several processes on one database each shows the same
tables: take the maximum of them, not the sum.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import Connection, func, select

from hub import home as hub_home
from hub.admin import rotation
from hub.core import HubCore
from hub.directory import knocks, trust
from hub.directory.tables import credentials
from hub.metrics import PRIORITIES
from hub.spool import holds
from hub.spool.tables import presence, spool
from runtime.backup.gauges import backup_gauges
from runtime.clock import sleep
from runtime.logs import event
from runtime.storage_errors import StorageError
from runtime.tasks import spawn

LOOK_S: Final = 10.0
LOOK_SHARE: Final = 50
"""A look is followed by this many times its own length without one."""
FACILITIES_SHOWN: Final = 1_000
REST: Final = "_the_rest"

_LOG = logging.getLogger(__name__)


class Queue(NamedTuple):
    """What waits for one facility in one priority; ``oldest_ms``: when the oldest of it was accepted."""

    messages: int
    oldest_ms: int


class Seen(NamedTuple):
    """When a facility's last session began or ended."""

    connected: bool
    seen_ms: int


@dataclass(frozen=True, slots=True)
class Tables:
    """What one look found; ``queues`` by facility and priority, ``expiries`` (ms) by facility."""

    queues: Mapping[tuple[str, int], Queue] = field(default_factory=dict)
    seen: Mapping[str, Seen] = field(default_factory=dict)
    expiries: Mapping[str, int] = field(default_factory=dict)
    changing: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """By key that is being replaced: when that began (ms), and how many nodes have not followed."""
    forgotten: int = 0
    """Nodes that a restored hub has forgotten and that wait to be let in."""
    paused: frozenset[str] = frozenset()
    """Facilities whose queue is paused."""
    stopped: Mapping[str, int] = field(default_factory=dict)
    """By facility: copies in its queue that are stopped."""


class HubGauges(Collector):
    """The looks, and what is shown of them."""

    def __init__(self, hub: HubCore) -> None:
        self._hub = hub
        self._tables = Tables()
        self._running = False

    def start(self) -> None:
        """Begin to look."""
        self._running = True
        spawn(self._run(), lambda error: event(_LOG, logging.ERROR, "gauges-ended", cause=error))

    def stop(self) -> None:
        """Look no more."""
        self._running = False

    async def _run(self) -> None:
        while self._running:
            began_s = self._hub.clock.monotonic_s()
            try:
                await self.look()
            except StorageError as error:
                event(_LOG, logging.WARNING, "gauges-not-read", error=str(error))
            took_s = self._hub.clock.monotonic_s() - began_s
            await sleep(self._hub.clock, max(LOOK_S, LOOK_SHARE * took_s))

    async def look(self) -> None:
        """Read the tables once. Raises StorageError."""
        self._tables = await self._hub.database.read(_read)

    # ── for a scrape ───────────────────────────────────────────────────────────────────

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield everything."""
        tables, now_ms = self._tables, self._hub.clock.now_ms()
        active = sorted(filter(self._hub.view.is_active, self._hub.view.facilities()))
        shown = frozenset(active[:FACILITIES_SHOWN])
        yield from _queues(tables, shown, now_ms)
        yield from _holds(tables, shown)
        yield from _presences(tables, shown, now_ms)
        yield _expiries(tables, shown)
        yield from _key_changes(tables)
        yield from self._disk()
        yield from self._backup()

    def _disk(self) -> Iterator[GaugeMetricFamily]:
        hub = self._hub
        free = GaugeMetricFamily("wasl_hub_disk_free_bytes", "Room on the disk", labels=["place"])
        free.add_metric(["home"], hub.free(hub.home))
        free.add_metric(["attachments"], hub.free(hub_home.attachments(hub.home, hub.settings)))
        yield free
        yield GaugeMetricFamily(
            "wasl_hub_disk_floor_bytes",
            "Below this much room no message is taken",
            value=hub.settings.disk.floor_bytes,
        )

    def _backup(self) -> Iterator[GaugeMetricFamily]:
        yield from backup_gauges("hub", self._hub.home)


def _queues(tables: Tables, shown: frozenset[str], now_ms: int) -> Iterator[GaugeMetricFamily]:
    messages: dict[tuple[str, int], int] = {
        (facility, priority): 0 for facility in shown for priority in range(len(PRIORITIES))
    }
    ages_s = dict.fromkeys(messages, 0.0)
    for (facility, priority), queue in tables.queues.items():
        what = facility if facility in shown else REST, priority
        messages[what] = messages.get(what, 0) + queue.messages
        ages_s[what] = max(ages_s.get(what, 0.0), (now_ms - queue.oldest_ms) / 1000)
    depth = GaugeMetricFamily(
        "wasl_hub_queue_messages", "Messages that wait for a facility", labels=["facility", "priority"]
    )
    oldest = GaugeMetricFamily(
        "wasl_hub_queue_oldest_age_seconds",
        "Age of the oldest message that waits for a facility, 0 if none does",
        labels=["facility", "priority"],
    )
    for (facility, priority), count in messages.items():
        depth.add_metric([facility, PRIORITIES[priority]], count)
        oldest.add_metric([facility, PRIORITIES[priority]], ages_s[facility, priority])
    yield depth
    yield oldest


def _holds(tables: Tables, shown: frozenset[str]) -> Iterator[GaugeMetricFamily]:
    paused = GaugeMetricFamily(
        "wasl_hub_queue_paused", "1 while people hold the facility's whole queue", labels=["facility"]
    )
    stopped = GaugeMetricFamily(
        "wasl_hub_queue_stopped_messages",
        "Messages that wait for a facility and that people have stopped",
        labels=["facility"],
    )
    rest = (tables.paused | tables.stopped.keys()) - shown
    for facility in sorted(shown):
        paused.add_metric([facility], int(facility in tables.paused))
        stopped.add_metric([facility], tables.stopped.get(facility, 0))
    if rest:
        paused.add_metric([REST], int(bool(rest & tables.paused)))
        stopped.add_metric([REST], sum(tables.stopped.get(facility, 0) for facility in rest))
    yield paused
    yield stopped


def _presences(tables: Tables, shown: frozenset[str], now_ms: int) -> Iterator[GaugeMetricFamily]:
    connected = GaugeMetricFamily(
        "wasl_hub_facility_connected", "1 while the facility's node is connected", labels=["facility"]
    )
    seen = GaugeMetricFamily(
        "wasl_hub_facility_last_seen_timestamp_seconds",
        "When the facility's node was last connected: now, while it is",
        labels=["facility"],
    )
    for facility in sorted(shown & tables.seen.keys()):
        found = tables.seen[facility]
        connected.add_metric([facility], int(found.connected))
        seen.add_metric([facility], (now_ms if found.connected else found.seen_ms) / 1000)
    yield connected
    yield seen


def _expiries(tables: Tables, shown: frozenset[str]) -> GaugeMetricFamily:
    expiry = GaugeMetricFamily(
        "wasl_hub_key_expiry_timestamp_seconds",
        "When the newest credential of a facility ends",
        labels=["facility"],
    )
    for facility in sorted(shown & tables.expiries.keys()):
        expiry.add_metric([facility], tables.expiries[facility] / 1000)
    return expiry


def _key_changes(tables: Tables) -> Iterator[GaugeMetricFamily]:
    since = GaugeMetricFamily(
        "wasl_hub_key_change_timestamp_seconds",
        "When the change of a key of the network's own began that is not finished",
        labels=["key"],
    )
    behind = GaugeMetricFamily(
        "wasl_hub_key_change_behind",
        "Facilities whose nodes have not followed a change of a key of the network's own",
        labels=["key"],
    )
    for key, (since_ms, count) in tables.changing.items():
        since.add_metric([key], since_ms / 1000)
        behind.add_metric([key], count)
    yield since
    yield behind
    yield GaugeMetricFamily(
        "wasl_hub_readmissions_waiting",
        "Nodes that this hub has forgotten in a restore and that wait to be let in",
        value=tables.forgotten,
    )


def _read(connection: Connection) -> Tables:
    waiting = (
        select(
            spool.c.facility,
            spool.c.priority,
            func.count().label("messages"),
            func.min(spool.c.seq).label("first"),
        )
        .group_by(spool.c.facility, spool.c.priority)
        .subquery()
    )
    queues = connection.execute(
        select(waiting.c.facility, waiting.c.priority, waiting.c.messages, spool.c.accepted_ms).join(
            spool, spool.c.seq == waiting.c.first
        )
    )
    seen = connection.execute(select(presence.c.facility, presence.c.connected, presence.c.seen_ms))
    expiries = connection.execute(
        select(credentials.c.facility, func.max(credentials.c.not_after_ms))
        .where(credentials.c.revoked.is_(False))
        .group_by(credentials.c.facility)
    )
    return Tables(
        {(facility, priority): Queue(count, oldest) for facility, priority, count, oldest in queues},
        {facility: Seen(bool(connected), seen_ms) for facility, connected, seen_ms in seen},
        dict(map(tuple, expiries)),
        {
            rotation.WORDS[row.subject]: (row.at_ms, len(rotation.behind(connection, row)))
            for row in trust.rows(connection)
            if not row.finished
        },
        len(knocks.waiting(connection)),
        frozenset(holds.pauses(connection)),
        holds.stopped_counts(connection),
    )
