"""``python -m benchmarks all``: run every benchmark, keep its figures, redraw ``docs/performance.md``.

Each runs as the command that a person would type, with ``--json``. What it prints goes into
``docs/performance.json`` under its name, beside what other runs left there, with the machine and the date: a
benchmark can be repeated alone (``--only``). ``--redraw`` runs nothing and draws from what is kept.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import sqlite3
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks import plot, tables
from benchmarks.processes import Skipped

ROOT = Path(__file__).parent.parent
KEPT = ROOT / "docs" / "performance.json"
PAGE = ROOT / "docs" / "performance.md"
PICTURES = ROOT / "docs" / "pictures"

FULL: dict[str, tuple[str, ...]] = {
    "hub": (),
    "path": (),
    "mllp": (),
    "parts": (),
    "idle": (),
    "files": (),
    "growth": ("--largest",),
    "peers": (),
}
QUICK: dict[str, tuple[str, ...]] = {
    "hub": ("--messages", "1000", "--pairs", "4", "--warm-up", "200", "--steady-s", "1"),
    "path": ("--messages", "100", "--warm-up", "20", "--steady-s", "1"),
    "mllp": ("--seconds", "0.5"),
    "parts": (),
    "idle": ("--nodes", "50", "--rest-s", "2"),
    "files": ("--size-mib", "8", "--rounds", "1"),
    "growth": ("--ledger", "1000", "5000", "--facilities", "30", "--messages", "400", "--batches", "2"),
    "peers": ("--messages", "200", "--steady-s", "1", "--mllp-s", "1", "--rounds", "1"),
}
"""Each to see that it works; the figures mean nothing."""

LIBRARIES = ("twisted", "pynacl", "cryptography", "sqlalchemy", "msgspec")


def machine() -> dict[str, str]:
    """Return what a figure depends on; no names of machines, people or places."""
    cpu = platform.machine()
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
            break
    pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    system = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    return {
        "processor": f"{cpu}, {len(os.sched_getaffinity(0))} cores",
        "memory": f"{pages / 1024**3:.0f} GiB",
        "system": f"{system}, kernel {platform.release().split('-')[0]}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "sqlite": sqlite3.sqlite_version,
        "libraries": ", ".join(f"{name} {metadata.version(name)}" for name in LIBRARIES),
    }


def run(name: str, options: Sequence[str]) -> Any:
    """Run one benchmark and return what it printed; CalledProcessError if it failed."""
    command = [sys.executable, "-m", "benchmarks", name, "--json", *options]
    print(f"{name} ...", end=" ", flush=True)
    began_s = time.monotonic()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    print(f"{time.monotonic() - began_s:.0f} s", flush=True)
    return json.loads(done.stdout)


def keep(path: Path, name: str, result: Any) -> None:
    """Put one result into the file, in the place of an earlier one."""
    kept = read(path)
    kept[name] = {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "on": machine(),
        "result": result,
    }
    path.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def read(path: Path) -> dict[str, Any]:
    """Return what is kept, nothing if there is no file yet."""
    if not path.exists():
        return {}
    kept = json.loads(path.read_text(encoding="utf-8"))
    assert isinstance(kept, dict)
    return kept


def redraw(kept: Mapping[str, Any], page: Path, pictures: Path) -> None:
    """Draw the plot, and the tables into the page; without matplotlib the plot stays as it is."""
    try:
        plot.draw(kept, pictures)
    except Skipped as reason:
        print(f"the plot was not drawn: {reason}", file=sys.stderr)
    picture = pictures / f"{plot.NAME}.svg"
    shown = (
        f"![Rates of Wasl and of others]({picture.relative_to(page.parent)})\n\n" if picture.exists() else ""
    )
    text = page.read_text(encoding="utf-8")
    page.write_text(tables.between_markers(text, shown + tables.all_tables(kept)), encoding="utf-8")


def main(arguments: Sequence[str]) -> int:
    """Run, keep, redraw."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks all", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=list(FULL), default=list(FULL), metavar="NAME")
    parser.add_argument(
        "--quick", action="store_true", help="tiny sizes: shows that all of them run; nothing is kept"
    )
    parser.add_argument("--redraw", action="store_true", help="run nothing")
    options = parser.parse_args(arguments)
    failed = []
    for name in [] if options.redraw else options.only:
        try:
            result = run(name, (QUICK if options.quick else FULL)[name])
        except (subprocess.CalledProcessError, ValueError) as error:
            print(f"{name} failed: {error}", file=sys.stderr)
            failed.append(name)
            continue
        if options.quick:
            print(tables.table(name, result))
        else:
            keep(KEPT, name, result)
    if not options.quick:
        redraw(read(KEPT), PAGE, PICTURES)
    return 1 if failed else 0
