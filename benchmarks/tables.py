"""The tables of ``docs/performance.md``: what the benchmarks printed, as Markdown between two markers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

BEGIN = "<!-- benchmarks: begin -->"
END = "<!-- benchmarks: end -->"


class MarkerError(ValueError):
    """The page has not exactly one pair of markers, in order."""


def between_markers(page: str, body: str) -> str:
    """Return ``page`` with ``body`` in the place of what stands between its markers."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or page.count(BEGIN) != 1 or page.count(END) != 1:
        raise MarkerError(f"one {BEGIN} and after it one {END} are expected")
    return f"{before}{BEGIN}\n\n{body.strip()}\n\n{END}{after}"


def markdown(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a Markdown table; numbers stand right, a bar inside a cell is escaped."""
    numeric = [
        bool(rows) and all(isinstance(row[column], (int, float)) or row[column] == "" for row in rows)
        for column in range(len(head))
    ]
    lines = [_line(head), _line(["---:" if right else "---" for right in numeric])]
    return "\n".join([*lines, *(_line([_cell(value) for value in row]) for row in rows)])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(value: object) -> str:
    if isinstance(value, float) and value >= 1_000:
        value = round(value)
    text = f"{value:,}" if isinstance(value, (int, float)) else str(value)
    return text.replace("|", "\\|")


# ── each benchmark ─────────────────────────────────────────────────────────────────────────

_HUB = (
    ("durable_messages_per_s", "durable messages/s", "20,000, reaching for 30,000"),
    ("floor_rows_per_s", "floor: SQLite alone, rows/s", ""),
    ("fraction_of_floor", "share of the floor", ""),
    ("cpu_us_per_message", "CPU µs a message", "50 at most"),
    ("p50_ms_at_200", "p50 ms at 200/s", ""),
    ("p99_ms_at_200", "p99 ms at 200/s", "under 3"),
    ("accepted_p99_ms_at_200", "p99 ms to ACCEPTED at 200/s", ""),
    ("p50_ms_at_saturation", "p50 ms at saturation", ""),
    ("p99_ms_at_saturation", "p99 ms at saturation", ""),
    ("hub_mib", "hub's memory, MiB", ""),
)
_PATH = (
    ("messages_per_s", "messages/s", "3,000"),
    ("hub_cpu_us", "hub, CPU µs a message", ""),
    ("sender_node_cpu_us", "sender's node, CPU µs a message", ""),
    ("recipient_node_cpu_us", "recipient's node, CPU µs a message", ""),
    ("p50_ms_at_100", "p50 ms at 100/s", ""),
    ("p99_ms_at_100", "p99 ms at 100/s", ""),
)
_IDLE = (
    ("nodes", "nodes", ""),
    ("hub_mib", "hub with all of them, MiB", "under 160 for 10,000"),
    ("hub_alone_mib", "hub with none of them, MiB", ""),
    ("kib_per_node", "KiB a node", ""),
    ("rest_cpu_s_per_minute", "CPU s a minute, at rest", ""),
    ("first_arrival_s", "s until all are there, all calling at once", ""),
    ("arrival_cpu_us", "CPU µs an arrival", ""),
    ("hub_start_s", "s from SIGKILL to ready", ""),
    ("all_back_s", "s from SIGKILL until all are back", ""),
    ("handshakes_per_s", "returns/s, first to last", ""),
    ("handshakes_per_s_busiest", "returns in the busiest second", ""),
    ("attempts_per_node", "calls a node until it is back", ""),
    ("turned_away", "calls turned away at the door", ""),
)


def _facts(names: Sequence[tuple[str, str, str]]) -> Callable[[Any], str]:
    def render(result: Mapping[str, Any]) -> str:
        rows = [(title, result[key], target) for key, title, target in names if key in result]
        return markdown(["", "measured", "target"], rows)

    return render


def _mllp(rows: Sequence[Mapping[str, Any]]) -> str:
    keys = ("connections", "messages_per_s", "target", "cpu_us_per_message", "p50_ms", "p99_ms")
    head = ("connections", "messages/s", "target", "CPU µs a message", "p50 ms", "p99 ms")
    return markdown(head, [[row[key] for key in keys] for row in rows])


def _parts(rows: Sequence[Mapping[str, Any]]) -> str:
    head = ("", "part", "µs once", "times", "µs a message")
    keys = ("where", "part", "us", "times", "us_per_message")
    return markdown(head, [[row[key] for key in keys] for row in rows])


def _files(result: Mapping[str, Any]) -> str:
    head = (
        f"one file of {result['size_mib']:,} MiB",
        "MB/s",
        "CPU s in all",
        "peak MiB in all",
        "ours to theirs",
    )
    keys = ("way", "mb_per_s", "cpu_s", "peak_mib", "ours_to_theirs")
    text = markdown(head, [[row[key] for key in keys] for row in result["rows"]])
    return text + "\n\nTarget: 121 MB/s, reaching for 197." + _skipped(result)


def _growth(result: Mapping[str, Any]) -> str:
    parts = [_growth_table(result["by_ledger"]), _growth_table(result["by_facilities"])]
    scans = dict.fromkeys(
        text for rows in ("by_ledger", "by_facilities") for row in result[rows] for text in row["scans"]
    )
    if result["not_flat"]:
        parts.append("Not flat: " + "; ".join(result["not_flat"]) + ".")
    if scans:
        parts.append("Reads a whole table: " + "; ".join(scans) + ".")
    return "\n\n".join(parts)


def _growth_table(rows: Sequence[Mapping[str, Any]]) -> str:
    names = [name for name in rows[0] if name.endswith("_us")]
    head = ["µs", *(f"{row['ledger']:,} messages, {row['facilities']:,} facilities" for row in rows)]
    return markdown(
        head, [[name.removesuffix("_us").replace("_", " "), *(row[name] for row in rows)] for name in names]
    )


def _peers(result: Mapping[str, Any]) -> str:
    head = (
        "",
        "messages/s",
        "p50 ms",
        "p99 ms",
        "CPU µs a message",
        "ours to theirs",
        "durable before the answer",
    )
    keys = ("peer", "messages_per_s", "p50_ms", "p99_ms", "cpu_us", "ours_to_theirs", "durable")
    return markdown(head, [[row[key] for key in keys] for row in result["rows"]]) + _skipped(result)


def _skipped(result: Mapping[str, Any]) -> str:
    return "".join(f"\n\nSkipped {text}." for text in result["skipped"])


TABLES: dict[str, tuple[str, Callable[[Any], str]]] = {
    "hub": ("The hub alone", _facts(_HUB)),
    "path": ("From MLLP to MLLP", _facts(_PATH)),
    "mllp": ("A node's gateway", _mllp),
    "parts": ("Parts of a message's way", _parts),
    "idle": ("Nodes that only stay connected", _facts(_IDLE)),
    "files": ("Files", _files),
    "growth": ("Growth", _growth),
    "peers": ("Peers", _peers),
}


def table(name: str, result: Any) -> str:
    """Return the table of one benchmark's result."""
    return TABLES[name][1](result)


def all_tables(kept: Mapping[str, Any]) -> str:
    """Return every kept result under its heading, then the machine; in a fixed order."""
    if not kept:
        return "Nothing has been measured yet: `make bench`."
    parts = []
    for name, (title, _) in TABLES.items():
        if name in kept:
            command = f"`python -m benchmarks {name}`, {kept[name]['date']}"
            parts.append(f"### {title}\n\n{command}\n\n{table(name, kept[name]['result'])}")
    machines: dict[str, list[str]] = {}
    for name in TABLES:
        if name in kept:
            facts = "; ".join(f"{key}: {value}" for key, value in kept[name]["on"].items())
            machines.setdefault(facts, []).append(name)
    parts.append(
        "### Machine\n\n" + "\n".join(f"- {', '.join(names)}: {facts}" for facts, names in machines.items())
    )
    return "\n\n".join(parts)
