"""What a node's link counts. No label ever names a message or a patient."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge


class LinkMetrics:
    """The link's metrics on one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.connected = Gauge(
            "wasl_node_connected", "1 while the link to the hub is open", registry=registry
        )
        self.connects = Counter("wasl_node_connects", "Attempts to reach the hub", registry=registry)
        self.submitted = Counter("wasl_node_submitted_messages", "Messages submitted", registry=registry)
        self.accepted = Counter("wasl_node_accepted_messages", "Messages the hub took", registry=registry)
        self.received = Counter("wasl_node_received_messages", "Messages committed here", registry=registry)
        self.returned = Counter("wasl_node_returned_messages", "Messages that came back", registry=registry)
        self.rejected = Counter(
            "wasl_node_rejected_messages", "Deliveries that were not taken", registry=registry
        )
        self.clock_skew = Gauge(
            "wasl_node_clock_skew_seconds",
            "The hub's clock less ours, at the last welcome",
            registry=registry,
        )
        self._alarms = Counter("wasl_node_alarms", "Alarms for the operator", ["code"], registry=registry)

    def alarm(self, code: str) -> None:
        """Count an alarm. Codes are constants of this code, so they are few."""
        self._alarms.labels(code).inc()
