"""What can be wrong in a benchmark without anybody seeing it: shares, ratios, tables, markers."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from benchmarks import files, growth, plot, suite, tables
from benchmarks.compare import Ratio, interleaved, ratio
from benchmarks.idle import busiest_second
from benchmarks.place import percentile
from benchmarks.processes import Skipped, need, tree

# ── figures ────────────────────────────────────────────────────────────────────────────────


def test_a_percentile_is_the_value_below_which_that_share_lies() -> None:
    values = list(range(1, 101))
    assert [percentile(values, share) for share in (0, 50, 99, 100)] == [1, 51, 100, 100]
    assert percentile([7.5], 99) == 7.5
    assert percentile([3.0, 1.0, 2.0], 50) == 2.0


def test_a_ratio_compares_neighbours_and_not_medians() -> None:
    """Both sides are slow in the second round: the ratio does not change."""
    assert ratio([200, 100, 210], [100, 50, 105]) == Ratio(2.0, 2.0, 2.0)
    assert str(ratio([100, 300], [100, 100])) == "2.00 (1.00 to 3.00)"


@pytest.mark.parametrize(("ours", "theirs"), [([], []), ([1.0], [1.0, 2.0])])
def test_rounds_without_a_neighbour_are_refused(ours: list[float], theirs: list[float]) -> None:
    with pytest.raises(ValueError, match=r"no round|longer"):
        ratio(ours, theirs)


def test_sides_take_turns_and_none_is_always_first() -> None:
    ran: list[str] = []

    def side(name: str) -> int:
        ran.append(name)
        return len(ran)

    figures = interleaved({"a": lambda: side("a"), "b": lambda: side("b")}, 3)
    assert ran == ["a", "b", "b", "a", "a", "b"]
    assert figures == {"a": [1, 4, 5], "b": [2, 3, 6]}


def test_the_busiest_second_is_counted() -> None:
    assert busiest_second([1.0, 1.9, 2.0, 2.1, 2.2, 5.0]) == 3
    assert busiest_second([]) == 0


def test_what_is_not_flat_is_named_once_for_each_size() -> None:
    rows = [
        {"ledger": 1_000, "facilities": 10, "a_us": 10.0, "b_us": 5.0, "scans": []},
        {"ledger": 9_000, "facilities": 10, "a_us": 15.0, "b_us": 7.6, "scans": []},
    ]
    (named,) = growth.not_flat(rows)
    assert named.startswith("b_us: 5.0 to 7.6 at 9,000 messages")


def test_ours_is_compared_with_each_way_and_not_with_itself() -> None:
    def figure(rate: float) -> files.Figure:
        return files.Figure(rate, 1.0, 50.0)

    rows = files.rows_of({"wasl": [figure(100), figure(120)], "scp": [figure(200), figure(60)]})
    assert [(row.way, row.mb_per_s, row.ours_to_theirs) for row in rows] == [
        ("wasl", 110.0, ""),
        ("scp", 130.0, "1.25 (0.50 to 2.00)"),
    ]


def test_a_large_file_has_its_size_and_does_not_repeat(tmp_path: Path) -> None:
    size_bytes = 2 * files.MIB + 7
    data = files.make_file(tmp_path / "scan", size_bytes).read_bytes()
    assert len(data) == size_bytes
    assert data[: files.MIB] != data[files.MIB : 2 * files.MIB]


def test_what_is_not_installed_is_skipped_and_says_how_to_install_it() -> None:
    with pytest.raises(Skipped, match="no-such-broker is not installed: apt-get install it"):
        need("no-such-broker", "apt-get install it")
    assert need("sh", "").endswith("/sh")


def test_a_process_tree_begins_with_its_root() -> None:
    assert tree(1)[0] == 1
    assert max(Counter(tree(1)).values()) == 1


# ── tables ─────────────────────────────────────────────────────────────────────────────────

PAGE = f"# Page\n\nbefore\n\n{tables.BEGIN}\nold\n{tables.END}\n\nafter\n"


def test_only_what_stands_between_the_markers_changes() -> None:
    once = tables.between_markers(PAGE, "| new |")
    assert once == f"# Page\n\nbefore\n\n{tables.BEGIN}\n\n| new |\n\n{tables.END}\n\nafter\n"
    assert tables.between_markers(once, "| new |") == once


@pytest.mark.parametrize(
    "page",
    [
        "no markers",
        tables.BEGIN,
        tables.END,
        f"{tables.END}\n{tables.BEGIN}",
        f"{PAGE}{tables.BEGIN}",
        f"{PAGE}{PAGE}",
    ],
)
def test_a_page_without_one_pair_of_markers_is_left_alone(page: str) -> None:
    with pytest.raises(tables.MarkerError, match="benchmarks: begin"):
        tables.between_markers(page, "new")


def test_numbers_stand_right_and_bars_are_escaped() -> None:
    text = tables.markdown(["way", "MB/s"], [["a|b", 1_234.5], ["c", 7]])
    assert text.splitlines() == ["| way | MB/s |", "| --- | ---: |", "| a\\|b | 1,234 |", "| c | 7 |"]


def kept() -> dict[str, Any]:
    """Return results as the benchmarks print them."""
    growing = {"ledger": 1_000, "facilities": 100, "accept_us": 12.5, "scans": ["track: SCAN spool"]}
    results: dict[str, Any] = {
        "hub": {"durable_messages_per_s": 20_123, "p99_ms_at_200": 2.5},
        "path": {"messages_per_s": 3_100, "target": 3_000},
        "mllp": [
            {"connections": 8, "messages_per_s": 7_001, "target": 7_000, "cpu_us_per_message": 90.0,
             "p50_ms": 1.0, "p99_ms": 2.0}
        ],
        "parts": [
            {"where": "hub", "part": "SUBMIT read", "us": 0.3, "times": 2, "us_per_message": 0.6}
        ],
        "idle": {"nodes": 10_000, "hub_mib": 158.1},
        "files": {
            "size_mib": 1_024,
            "rows": [
                {"way": "wasl", "mb_per_s": 130.0, "cpu_s": 9.1, "peak_mib": 300.0, "ours_to_theirs": ""},
                {"way": "scp", "mb_per_s": 200.0, "cpu_s": 6.0, "peak_mib": 40.0, "ours_to_theirs": "0.65"},
            ],
            "skipped": ["magic-wormhole: not installed"],
        },
        "growth": {"by_ledger": [growing], "by_facilities": [growing], "not_flat": []},
        "peers": {
            "rows": [
                {"peer": name, "durable": "yes", "messages_per_s": 9.0, "p50_ms": 1.0, "p99_ms": 2.0,
                 "cpu_us": 3.0, "ours_to_theirs": ""}
                for name in ("wasl-hub", "rabbitmq-quorum", "python-hl7-mllp (1 connections)")
            ],
            "skipped": [],
        },
    }  # fmt: skip
    return {
        name: {"date": "2026-01-02", "on": {"memory": "8 GiB"}, "result": one}
        for name, one in results.items()
    }


def test_every_benchmark_has_its_table() -> None:
    assert list(tables.TABLES) == list(suite.FULL) == list(suite.QUICK)
    text = tables.all_tables(kept())
    for said in (
        "| durable messages/s | 20,123 | 20,000, reaching for 30,000 |",
        "| 8 | 7,001 | 7,000 | 90.0 | 1.0 | 2.0 |",
        "| hub with all of them, MiB | 158.1 | under 160 for 10,000 |",
        "| scp | 200.0 | 6.0 | 40.0 | 0.65 |",
        "Skipped magic-wormhole: not installed.",
        "Reads a whole table: track: SCAN spool.",
        "| rabbitmq-quorum | 9.0 | 1.0 | 2.0 | 3.0 |  | yes |",
        "| hub | SUBMIT read | 0.3 | 2 | 0.6 |",
        "- hub, path, mllp, parts, idle, files, growth, peers: memory: 8 GiB",
    ):
        assert said in text, said


def test_what_was_not_measured_has_no_table() -> None:
    one = {"hub": kept()["hub"]}
    assert "### Files" not in tables.all_tables(one)
    assert "make bench" in tables.all_tables({})


def test_a_result_replaces_its_own_kind_only(tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    suite.keep(path, "hub", {"durable_messages_per_s": 1})
    suite.keep(path, "path", {"messages_per_s": 2})
    suite.keep(path, "hub", {"durable_messages_per_s": 3})
    found = json.loads(path.read_text())
    assert {name: one["result"] for name, one in found.items()} == {
        "hub": {"durable_messages_per_s": 3},
        "path": {"messages_per_s": 2},
    }
    assert set(found["hub"]["on"]) == set(suite.machine())


def test_a_page_is_redrawn_with_the_picture_that_there_is(tmp_path: Path) -> None:
    page, pictures = tmp_path / "page.md", tmp_path / "pictures"
    page.write_text(PAGE)
    suite.redraw({}, page, pictures)
    assert "![" not in page.read_text()
    pictures.mkdir()
    (pictures / "performance.svg").write_text("<svg/>")
    suite.redraw({}, page, pictures)
    assert "](pictures/performance.svg)" in page.read_text()


def test_the_pages_own_markers_are_there() -> None:
    tables.between_markers(suite.PAGE.read_text(encoding="utf-8"), "")


def test_the_plot_is_drawn_as_png_and_svg(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is in requirements-bench.txt only")
    png, svg = plot.draw(kept(), tmp_path)
    assert png.read_bytes().startswith(b"\x89PNG")
    first = svg.read_bytes()
    assert ET.fromstring(first).tag.endswith("svg")
    plot.draw(kept(), tmp_path)
    assert svg.read_bytes() == first, "the same figures give the same picture"


def test_there_is_nothing_to_draw_of_nothing(tmp_path: Path) -> None:
    assert plot.draw({}, tmp_path) == []
    assert [title for title, _ in plot.panels(kept())] == [
        "messages/s, broker or hub", "messages/s, MLLP server", "MB/s, one file",
    ]  # fmt: skip
