"""What a node shows of its tables, its disk and its key when Prometheus asks.

The queues are read from the tables every ``LOOK_S``, off the reactor, and remembered; a scrape costs no SQL.
Both ends of a node can be held up: the outbox by the hub, the inbox by the local systems that should take
what has arrived.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import Connection, func, literal_column, select

from nodes.link.core import LinkCore
from nodes.link.tables import inbox, outbox
from protocols.link.envelope import Priority, State
from runtime.backup.gauges import backup_gauges
from runtime.clock import sleep
from runtime.home import free_bytes
from runtime.logs import event
from runtime.storage_errors import StorageError
from runtime.tasks import spawn

LOOK_S: Final = 10.0

_LOG = logging.getLogger(__name__)


class Queue(NamedTuple):
    """What waits in one priority, and since when the oldest of it does."""

    messages: int
    oldest_ms: int


@dataclass(frozen=True, slots=True)
class Tables:
    """What one look found, by priority."""

    outbox: Mapping[int, Queue] = field(default_factory=dict)
    inbox: Mapping[int, Queue] = field(default_factory=dict)


class NodeGauges(Collector):
    """The looks, and what is shown of them. ``connected`` says whether the link to the hub is open."""

    def __init__(self, core: LinkCore, connected: Callable[[], bool]) -> None:
        self._core, self._connected = core, connected
        self._tables = Tables()
        self._contact_ms: int | None = None
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
            try:
                await self.look()
            except StorageError as error:
                event(_LOG, logging.WARNING, "gauges-not-read", error=str(error))
            await sleep(self._core.clock, LOOK_S)

    async def look(self) -> None:
        """Read the tables once. Raises StorageError."""
        self._note_contact()
        self._tables = await self._core.database.read(_read)

    def _note_contact(self) -> None:
        if self._connected():
            self._contact_ms = self._core.clock.now_ms()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield everything."""
        core, now_ms = self._core, self._core.clock.now_ms()
        self._note_contact()
        yield from _queue("outbox", "wait for the hub to accept them", self._tables.outbox, now_ms)
        yield from _queue("inbox", "wait for a local system to take them", self._tables.inbox, now_ms)
        contact = GaugeMetricFamily(
            "wasl_node_hub_contact_timestamp_seconds",
            "When the link to the hub was last seen open: now, while it is; nothing before the first time",
        )
        if self._contact_ms is not None:
            contact.add_metric([], self._contact_ms / 1000)
        yield contact
        yield GaugeMetricFamily(
            "wasl_node_key_expiry_timestamp_seconds",
            "When this node's credential ends",
            value=core.identity.credential.not_after_ms / 1000,
        )
        yield GaugeMetricFamily(
            "wasl_node_disk_free_bytes", "Room on the disk of the home", value=free_bytes(core.home)
        )
        yield GaugeMetricFamily(
            "wasl_node_disk_floor_bytes", "Below this much room no message is taken", value=core.floor_bytes
        )
        yield from backup_gauges("node", core.home)


def _queue(name: str, what: str, found: Mapping[int, Queue], now_ms: int) -> Iterator[GaugeMetricFamily]:
    depth = GaugeMetricFamily(f"wasl_node_{name}_messages", f"Messages that {what}", labels=["priority"])
    oldest = GaugeMetricFamily(
        f"wasl_node_{name}_oldest_age_seconds",
        f"Age of the oldest of the messages that {what}, 0 if there are none",
        labels=["priority"],
    )
    for priority in Priority:
        queue = found.get(priority, Queue(0, now_ms))
        depth.add_metric([priority.name.lower()], queue.messages)
        oldest.add_metric([priority.name.lower()], (now_ms - queue.oldest_ms) / 1000)
    yield depth
    yield oldest


def _read(connection: Connection) -> Tables:
    # The states stand in the text: SQLite's partial indexes are used only where they can be seen.
    queued = select(outbox.c.priority, func.count(), func.min(outbox.c.created_ms)).where(
        outbox.c.state == literal_column(str(int(State.QUEUED)))
    )
    waiting = select(inbox.c.priority, func.count(), func.min(inbox.c.received_ms)).where(
        inbox.c.state == literal_column(str(int(State.DELIVERED)))
    )
    return Tables(
        {row[0]: Queue(row[1], row[2]) for row in connection.execute(queued.group_by(outbox.c.priority))},
        {row[0]: Queue(row[1], row[2]) for row in connection.execute(waiting.group_by(inbox.c.priority))},
    )
