"""What the hub counts. No label ever names a message or a patient; children are looked up once."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

_ROOM_STATES = ("delivered", "processed", "refused", "returned", "delayed")


class HubMetrics:
    """The hub's metrics on one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        accepted = Counter(
            "wasl_hub_accepted_messages", "Messages committed to the spool", ["priority"], registry=registry
        )
        self.accepted = [accepted.labels("routine"), accepted.labels("stat")]
        outcomes = Counter("wasl_hub_outcomes", "What became of deliveries", ["state"], registry=registry)
        self.outcomes = {state: outcomes.labels(state) for state in _ROOM_STATES}
        self.conflicts = Counter(
            "wasl_hub_conflicting_messages", "Ids used again with another content", registry=registry
        )
        self.refused = Counter("wasl_hub_refused_messages", "Messages refused for good", registry=registry)
        self.busy = Counter("wasl_hub_busy_answers", "Submissions turned away until later", registry=registry)
        handshakes = Counter("wasl_hub_handshakes", "Callers by result", ["result"], registry=registry)
        self.handshakes = {
            result: handshakes.labels(result)
            for result in ("opened", "joined", "unknown", "revoked", "suspended", "full", "broken", "limited")
        }
        self.sessions = Gauge("wasl_hub_sessions", "Connected nodes", registry=registry)
        self.file_bytes = Counter(
            "wasl_hub_attachment_bytes", "Sealed bytes of attachments", ["direction"], registry=registry
        )
        self.file_bytes_in = self.file_bytes.labels("in")
        self.file_bytes_out = self.file_bytes.labels("out")
