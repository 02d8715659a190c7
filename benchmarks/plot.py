"""The plot of ``docs/performance.md``: rates of ours and of others, as PNG and SVG.

matplotlib is a requirement of the benchmarks only (``requirements-bench.txt``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.processes import Skipped

NAME = "performance"
OURS, THEIRS = "#1b7f5c", "#9aa5b1"


def panels(kept: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, float]]]]:
    """Return what there is to draw: titles, and a name and a rate for each bar; ours begin with ``wasl``."""
    found = []
    if "peers" in kept:
        measured = kept["peers"]["result"]["rows"]
        rows = [(row["peer"], float(row["messages_per_s"])) for row in measured]
        brokers = [row for row in rows if "mllp" not in row[0]]
        gateways = [row for row in rows if "mllp" in row[0]]
        found += [("messages/s, broker or hub", brokers), ("messages/s, MLLP server", gateways)]
    if "files" in kept:
        files = [(row["way"], float(row["mb_per_s"])) for row in kept["files"]["result"]["rows"]]
        found.append(("MB/s, one file", files))
    return [(title, rows) for title, rows in found if rows]


def draw(kept: Mapping[str, Any], folder: Path) -> list[Path]:
    """Draw the panels into ``folder``; returns the files, none if there is nothing.

    Raises Skipped without matplotlib.
    """
    drawn = panels(kept)
    if not drawn:
        return []
    try:
        matplotlib = import_module("matplotlib")
        matplotlib.use("Agg")
        pyplot = import_module("matplotlib.pyplot")
    except ImportError:
        raise Skipped("matplotlib is not installed: pip install -r requirements-bench.txt") from None
    matplotlib.rcParams["svg.hashsalt"] = NAME  # the same figures give the same file
    heights = [len(rows) + 1 for _, rows in drawn]
    figure, axes = pyplot.subplots(
        len(drawn), 1, figsize=(8, 0.42 * sum(heights) + 0.6), height_ratios=heights, squeeze=False
    )
    for (title, rows), (axis,) in zip(drawn, axes, strict=True):
        _bars(axis, title, rows)
    figure.tight_layout()
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{NAME}.png", folder / f"{NAME}.svg"]
    figure.savefig(paths[0], dpi=110, metadata={"Software": None})
    figure.savefig(paths[1], metadata={"Date": None, "Creator": None})
    pyplot.close(figure)
    return paths


def _bars(axis: Any, title: str, rows: Sequence[tuple[str, float]]) -> None:
    names = [name for name, _ in rows]
    colours = [OURS if name.startswith("wasl") else THEIRS for name in names]
    bars = axis.barh(names, [rate for _, rate in rows], color=colours)
    axis.bar_label(bars, labels=[f"{rate:,.0f}" for _, rate in rows], padding=4, fontsize=9)
    axis.invert_yaxis()
    axis.margins(x=0.15)
    axis.set_title(title, loc="left", fontsize=10)
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=9)
