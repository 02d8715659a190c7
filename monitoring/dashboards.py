"""Writes the three Grafana dashboards beside it: ``python -m monitoring.dashboards``.

A dashboard is a thousand lines of JSON of which thirty are its own. Here stand those thirty; the rest is in
:mod:`monitoring.grafana`. A test holds the files to what this writes. Grafana imports them as they are
(Dashboards, New, Import).

Each process of several on one database shows the same queues: queries take the maximum over them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from monitoring.grafana import Dashboard, Panel, Query, number, render

DIRECTORY: Final = Path(__file__).parent / "dashboards"


def _rate(metric: str, by: str, selector: str = "") -> str:
    return f"sum by ({by}) (rate({metric}{selector}[$__rate_interval]))"


def _quantile(metric: str, quantile: float, by: str) -> str:
    return f"histogram_quantile({quantile}, {_rate(metric + '_bucket', by + ', le')})"


def _quantiles(metric: str, by: str, legend: str) -> tuple[Query, ...]:
    return tuple(Query(_quantile(metric, share, by), f"{legend} p{share * 100:.0f}") for share in (0.5, 0.99))


_QUEUE: Final = "max by (facility, priority) (wasl_hub_queue_messages)"
_OLDEST: Final = "max by (facility, priority) (wasl_hub_queue_oldest_age_seconds)"
_SILENT: Final = "time() - max by (facility) (wasl_hub_facility_last_seen_timestamp_seconds)"
_KEY_LEFT: Final = "max by (facility) (wasl_hub_key_expiry_timestamp_seconds) - time()"

OVERVIEW: Final = Dashboard(
    "wasl-overview",
    "Wasl: overview",
    "The whole exchange: what flows, what waits, who is here.",
    (
        number("Hubs up", "Processes of the hub that answer", "none", 'sum(up{job="wasl-hub"})', red_below=1),
        number("Nodes connected", "Open sessions", "none", "sum(wasl_hub_sessions)"),
        number(
            "Nodes silent", "Facilities whose node has been away for 15 minutes", "none",
            f"count(({_SILENT}) > 900) or vector(0)", red_from=1,
        ),
        number("Waiting", "Messages in the hub's queues", "none", f"sum({_QUEUE})"),
        number(
            "Oldest STAT", "Age of the oldest STAT message that waits", "s",
            'max(wasl_hub_queue_oldest_age_seconds{priority="stat"})', red_from=120,
        ),
        number(
            "Returned in 24 h", "Copies that came back to their senders", "none",
            "sum(increase(wasl_hub_returns_total[24h]))",
        ),
        Panel(
            "Accepted", "Messages committed by the hub, by kind", "msg/s",
            (Query(_rate("wasl_hub_accepted_messages_total", "kind"), "{{kind}}"),),
        ),
        Panel(
            "Delivered", "Copies that recipients' nodes have committed, by kind", "msg/s",
            (Query(_rate("wasl_hub_delivered_messages_total", "kind"), "{{kind}}"),),
        ),
        Panel(
            "Time to deliver", "From the hub's acceptance to the commit of the recipient's node", "s",
            _quantiles("wasl_hub_delivery_seconds", "priority", "{{priority}}"),
        ),
        Panel(
            "Returned by reason", "Copies that came back; docs/delivery.md explains the codes", "msg/s",
            (Query(_rate("wasl_hub_returns_total", "reason"), "{{reason}}"),),
        ),
        Panel(
            "Longest queues", "The ten facilities for which most messages wait", "none",
            (Query(f"topk(10, sum by (facility) ({_QUEUE}))", "{{facility}}"),),
        ),
        Panel(
            "Oldest messages", "The ten facilities with the oldest message that waits", "s",
            (Query(f"topk(10, max by (facility) ({_OLDEST}))", "{{facility}}"),),
        ),
        Panel(
            "Held by people", "Facilities whose queue is paused (1), and how many copies are stopped in each",
            "none",
            (
                Query("max by (facility) (wasl_hub_queue_paused) > 0", "{{facility}} paused"),
                Query("max by (facility) (wasl_hub_queue_stopped_messages) > 0", "{{facility}} stopped"),
            ),
        ),
        Panel(
            "What senders were told", "Events by state: delivered, processed, refused, returned, delayed",
            "msg/s", (Query(_rate("wasl_hub_outcomes_total", "state"), "{{state}}"),),
        ),
        Panel(
            "Attachments", "Sealed bytes that come in and go out", "Bps",
            (Query(_rate("wasl_hub_attachment_bytes_total", "direction"), "{{direction}}"),),
        ),
        Panel(
            "Versions", "What runs where", "none",
            (Query("count by (component, version) (wasl_build_info)", "{{component}} {{version}}"),),
        ),
        Panel(
            "Turned away", "Refused for good, told to come later, ids used twice", "msg/s",
            (
                Query("sum(rate(wasl_hub_refused_messages_total[$__rate_interval]))", "refused"),
                Query("sum(rate(wasl_hub_busy_answers_total[$__rate_interval]))", "busy"),
                Query("sum(rate(wasl_hub_conflicting_messages_total[$__rate_interval]))", "conflicting"),
            ),
        ),
    ),
)  # fmt: skip

_HERE: Final = '{facility="$facility"}'

FACILITY: Final = Dashboard(
    "wasl-facility",
    "Wasl: one facility",
    "What the hub knows of one facility, and the nodes that this Prometheus reaches itself.",
    (
        number(
            "Connected", "1 while its node is connected to the hub", "none",
            f"max(wasl_hub_facility_connected{_HERE})", red_below=1,
        ),
        number(
            "Last seen", "Time since its node was connected", "s",
            f"time() - max(wasl_hub_facility_last_seen_timestamp_seconds{_HERE})", red_from=900,
        ),
        number(
            "Waiting", "Messages that wait for it at the hub", "none",
            f"sum(max by (priority) (wasl_hub_queue_messages{_HERE}))",
        ),
        number(
            "Oldest", "Age of the oldest message that waits for it", "s",
            f"max(wasl_hub_queue_oldest_age_seconds{_HERE})",
        ),
        number(
            "Key left", "Time until its credential ends", "s",
            f"max(wasl_hub_key_expiry_timestamp_seconds{_HERE}) - time()", red_below=2_592_000,
        ),
        number("Nodes down", "Of those that are scraped", "none", 'sum(1 - up{job="wasl-node"})', red_from=1),
        Panel(
            "Queue", "Messages that wait for it at the hub", "none",
            (Query(f"max by (priority) (wasl_hub_queue_messages{_HERE})", "{{priority}}"),),
        ),
        Panel(
            "Oldest message", "Age of the oldest message that waits for it", "s",
            (Query(f"max by (priority) (wasl_hub_queue_oldest_age_seconds{_HERE})", "{{priority}}"),),
        ),
        Panel(
            "Presence", "1 while its node is connected", "none",
            (Query(f"max(wasl_hub_facility_connected{_HERE})", "connected"),),
        ),
        Panel(
            "Nodes: link", "1 while the node's link to the hub is open", "none",
            (Query("wasl_node_connected", "{{instance}}"),),
        ),
        Panel(
            "Nodes: messages", "Accepted by the hub, received, returned, not taken", "msg/s",
            tuple(
                Query(_rate(f"wasl_node_{what}_messages_total", "instance"), f"{{{{instance}}}} {what}")
                for what in ("accepted", "received", "returned", "rejected")
            ),
        ),
        Panel(
            "Nodes: outbox", "Messages that wait for the hub to accept them", "none",
            (Query("sum by (instance) (wasl_node_outbox_messages)", "{{instance}}"),),
        ),
        Panel(
            "Nodes: inbox", "Messages that wait for a local system to take them", "none",
            (Query("sum by (instance) (wasl_node_inbox_messages)", "{{instance}}"),),
        ),
        Panel(
            "Nodes: oldest", "Age of the oldest message in outbox and inbox", "s",
            (
                Query("max by (instance) (wasl_node_outbox_oldest_age_seconds)", "{{instance}} outbox"),
                Query("max by (instance) (wasl_node_inbox_oldest_age_seconds)", "{{instance}} inbox"),
            ),
        ),
        Panel(
            "Nodes: alarms", "Alarms within an hour, by code", "none",
            (
                Query(
                    "sum by (instance, code) (increase(wasl_node_alarms_total[1h]))", "{{instance}} {{code}}"
                ),
            ),
        ),
        Panel(
            "Nodes: clock", "The hub's clock less the node's, at the last welcome", "s",
            (Query("wasl_node_clock_skew_seconds", "{{instance}}"),),
        ),
    ),
    by_facility=True,
)  # fmt: skip

DURABILITY: Final = Dashboard(
    "wasl-durability",
    "Wasl: durability and security",
    "Whether what is acknowledged is safe, and who knocks at the door.",
    (
        number(
            "Databases writable", "1 if all take writes", "none", "min(wasl_database_writable)", red_below=1
        ),
        number(
            "Disk left", "The least room, as a multiple of the floor below which nothing is accepted", "none",
            "min(min by (job, instance) (wasl_hub_disk_free_bytes)"
            " / on (job, instance) wasl_hub_disk_floor_bytes)",
            red_below=3,
        ),
        number(
            "Last backup", "Age of the last good backup", "s",
            "time() - max(wasl_hub_backup_timestamp_seconds)", red_from=93_600,
        ),
        number(
            "Backup verified", "1 if it was read back", "none", "max(wasl_hub_backup_verified)", red_below=1
        ),
        number("Audit chain", "1 while it is whole", "none", "min(wasl_hub_audit_valid)", red_below=1),
        number(
            "Clock leapt", "1 while nothing expires for it", "none", "max(wasl_hub_clock_leapt)",
            red_from=1,
        ),
        Panel(
            "Commit time", "One group commit, from BEGIN to the end of COMMIT with its sync", "s",
            _quantiles("wasl_database_commit_seconds", "job, instance", "{{job}} {{instance}}"),
        ),
        Panel(
            "Commit size", "Operations in one group commit", "none",
            _quantiles("wasl_database_batch_operations", "job, instance", "{{job}} {{instance}}"),
        ),
        Panel(
            "Waiting for a commit", "Operations that wait for the next commit", "none",
            (Query("wasl_database_queued_operations", "{{job}} {{instance}}"),),
        ),
        Panel(
            "Disk left", "Free bytes, by place", "bytes",
            (
                Query("wasl_hub_disk_free_bytes", "{{instance}} {{place}}"),
                Query("wasl_hub_disk_floor_bytes", "{{instance}} floor"),
                Query("wasl_node_disk_free_bytes", "{{instance}}"),
                Query("wasl_node_disk_floor_bytes", "{{instance}} floor"),
            ),
        ),
        Panel(
            "Handshakes", "Callers by result", "cps",
            (Query(_rate("wasl_hub_handshakes_total", "result"), "{{result}}"),),
        ),
        Panel(
            "Sessions", "Connected nodes", "none", (Query("wasl_hub_sessions", "{{instance}}"),)
        ),
        Panel(
            "Keys that expire first", "Time until a facility's credential ends", "s",
            (Query(f"bottomk(10, {_KEY_LEFT})", "{{facility}}"),),
        ),
        Panel(
            "Nodes' keys", "Time until a node's own credential ends, for nodes that are scraped", "s",
            (Query("wasl_node_key_expiry_timestamp_seconds - time()", "{{instance}}"),),
        ),
        Panel(
            "Audit log", "Entries that no checkpoint covers, and nodes that have countersigned", "none",
            (
                Query("max(wasl_hub_audit_unsigned_entries)", "unsigned entries"),
                Query("max(wasl_hub_audit_witnesses)", "witnesses"),
            ),
        ),
        Panel(
            "Last checkpoint", "Time since the audit log's newest checkpoint was signed", "s",
            (Query("time() - max(wasl_hub_audit_checkpoint_timestamp_seconds)", "checkpoint"),),
        ),
        Panel(
            "Memory", "Resident memory of the daemons", "bytes",
            (Query('process_resident_memory_bytes{job=~"wasl-.*"}', "{{job}} {{instance}}"),),
        ),
        Panel(
            "Processor", "Seconds of processor a second", "percentunit",
            (
                Query(
                    'rate(process_cpu_seconds_total{job=~"wasl-.*"}[$__rate_interval])',
                    "{{job}} {{instance}}",
                ),
            ),
        ),
    ),
)  # fmt: skip

ALL: Final = (OVERVIEW, FACILITY, DURABILITY)


if __name__ == "__main__":
    for one in ALL:
        (DIRECTORY / f"{one.uid}.json").write_text(render(one), encoding="utf-8")
