"""What a monitor needs to know of the audit log."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Gauge


class AuditMetrics:
    """The audit log's gauges on one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.valid = Gauge(
            "wasl_hub_audit_valid",
            "1: the audit log is as it was written, as far as it was read since the start; 0: it is not",
            registry=registry,
        )
        self.valid.set(1)
        self.entries = Gauge("wasl_hub_audit_entries", "Entries of the audit log", registry=registry)
        self.unsigned = Gauge(
            "wasl_hub_audit_unsigned_entries", "Entries that no checkpoint covers", registry=registry
        )
        self.signed_at = Gauge(
            "wasl_hub_audit_checkpoint_timestamp_seconds",
            "When the newest checkpoint was signed, seconds since 1970 UTC; 0: never",
            registry=registry,
        )
        self.witnesses = Gauge(
            "wasl_hub_audit_witnesses",
            "Nodes that countersigned the checkpoint before the newest one",
            registry=registry,
        )
