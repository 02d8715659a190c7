"""What the hub counts. No label names a message or a patient; kinds are the catalogue's or "other".

What stands on the path of every message is kept in plain dicts and lists, which are shown when somebody asks:
accepting and delivering cost half a microsecond each, where the library's locked counters would cost several.
They are counted in the reactor's thread and read from another, which sees each number as it stands.

What is read from the tables (queues, who was seen when) is not counted here but looked up: ``hub.gauges``.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from hub.audit.metrics import AuditMetrics
from hub.routing.route import Reason
from hub.spool.store import Entry, News, Queued, kind_of
from protocols.hl7.catalogue import KNOWN
from protocols.link.envelope import FILE_KIND, Priority, State

OTHER: Final = "other"
PRIORITIES: Final = tuple(priority.name.lower() for priority in Priority)
HANDSHAKES: Final = (
    "opened", "joined", "pending", "unknown", "revoked", "suspended", "full", "broken", "limited",
)  # fmt: skip
DELIVERY_BUCKETS_S: Final = (
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3_600, 14_400, 86_400,
)  # fmt: skip
"""From one commit on the same machine to a facility that was away for a day."""

_OUTCOMES: Final = ("delivered", "processed", "refused", "returned", "delayed")
_KINDS: Final = frozenset({*KNOWN, FILE_KIND})
_REASONS: Final = frozenset(str(reason) for reason in Reason)


class HubMetrics:
    """The hub's metrics on one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.audit = AuditMetrics(registry)
        self._accepted = ByKind("wasl_hub_accepted_messages", "Messages committed to the spool")
        self._delivered = ByKind(
            "wasl_hub_delivered_messages", "Copies that a recipient's node has committed"
        )
        self._returned = ByKind("wasl_hub_returned_messages", "Copies that came back to their sender")
        reasons = Counter(
            "wasl_hub_returns", "Copies that came back to their sender, by reason", ["reason"],
            registry=registry,
        )  # fmt: skip
        self._reasons = {reason: reasons.labels(reason) for reason in (*sorted(_REASONS), OTHER)}
        self.delivery_times = DeliveryTimes()
        for collector in (self._accepted, self._delivered, self._returned, self.delivery_times):
            registry.register(collector)
        outcomes = Counter(
            "wasl_hub_outcomes", "Events that senders are told of, by state", ["state"], registry=registry
        )
        self.outcomes = {state: outcomes.labels(state) for state in _OUTCOMES}
        self.conflicts = Counter(
            "wasl_hub_conflicting_messages", "Ids used again with another content", registry=registry
        )
        self.refused = Counter("wasl_hub_refused_messages", "Messages refused for good", registry=registry)
        self.busy = Counter("wasl_hub_busy_answers", "Submissions turned away until later", registry=registry)
        handshakes = Counter("wasl_hub_handshakes", "Callers by result", ["result"], registry=registry)
        self.handshakes = {result: handshakes.labels(result) for result in HANDSHAKES}
        self.sessions = Gauge("wasl_hub_sessions", "Connected nodes", registry=registry)
        self.clock_leapt = Gauge(
            "wasl_hub_clock_leapt",
            "1 while nothing expires because this machine's clock has leapt ahead",
            registry=registry,
        )
        self.file_bytes = Counter(
            "wasl_hub_attachment_bytes", "Sealed bytes of attachments", ["direction"], registry=registry
        )
        self.file_bytes_in = self.file_bytes.labels("in")
        self.file_bytes_out = self.file_bytes.labels("out")

    def accepted(self, fresh: Sequence[Entry]) -> None:
        """Count messages that were committed, and their copies that go back at once."""
        count = self._accepted.count
        for entry in fresh:
            count(entry.kind, entry.priority)
            for _, reason in entry.returns:
                self.returned(entry.kind, entry.priority, reason)

    def ended(self, ended: Iterable[tuple[Queued, News]]) -> None:
        """Count copies that a recipient's node took or gave back, and how long it took them."""
        count, observe = self._delivered.count, self.delivery_times.observe
        for row, news in ended:
            kind = row.kind or kind_of(row.message)
            if news.state is State.DELIVERED:
                count(kind, row.priority)
                observe(row.priority, (news.at_ms - row.accepted_ms) / 1000)
            else:
                self.returned(kind, row.priority, news.code)

    def returned(self, kind: str, priority: int, reason: str) -> None:
        """Count a copy that came back; a code that the hub does not know itself is another node's word."""
        self._returned.count(kind, priority)
        self._reasons[reason if reason in _REASONS else OTHER].inc()


class ByKind(Collector):
    """A counter by kind and priority. Foreign words become no series, and take no memory."""

    def __init__(self, name: str, text: str) -> None:
        self._name, self._text = name, text
        self._counts: dict[tuple[str, int], int] = {(OTHER, priority): 0 for priority in Priority}

    def count(self, kind: str, priority: int) -> None:
        """Count one."""
        try:
            self._counts[kind, priority] += 1
        except KeyError:
            what = (kind if kind in _KINDS else OTHER), priority
            self._counts[what] = self._counts.get(what, 0) + 1

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Yield the counter."""
        family = CounterMetricFamily(self._name, self._text, labels=["kind", "priority"])
        for (kind, priority), count in list(self._counts.items()):
            family.add_metric([kind, PRIORITIES[priority]], count)
        yield family


class DeliveryTimes(Collector):
    """A histogram by priority: seconds from the hub's acceptance of a message to a copy's delivery.

    A clock that was set back makes none shorter than 0.
    """

    def __init__(self) -> None:
        self._buckets = [[0] * (len(DELIVERY_BUCKETS_S) + 1) for _ in PRIORITIES]
        self._sums_s = [0.0 for _ in PRIORITIES]

    def observe(self, priority: int, seconds: float) -> None:
        """Count one delivery."""
        self._buckets[priority][bisect_left(DELIVERY_BUCKETS_S, seconds)] += 1
        self._sums_s[priority] += seconds if seconds > 0 else 0.0

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Yield the histogram."""
        family = HistogramMetricFamily(
            "wasl_hub_delivery_seconds",
            "From the acceptance of a message to the delivery of a copy",
            labels=["priority"],
        )
        for name, counts, sum_s in zip(PRIORITIES, self._buckets, self._sums_s, strict=True):
            total = 0
            buckets: list[tuple[str, float]] = []
            for bound, count in zip((*map(str, DELIVERY_BUCKETS_S), "+Inf"), counts, strict=True):
                total += count
                buckets.append((bound, total))
            family.add_metric([name], buckets, sum_s)
        yield family
