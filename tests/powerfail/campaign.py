"""Power failures by number: recordings by seed, some crashes of each, and what came of them.

A *run* is one crash of one recording, and everything that is checked after it. Some recordings of a database
begin on the disk that an earlier crash left, so that recovery itself is at risk.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from tests.powerfail import databases
from tests.powerfail.attachments import WORKS
from tests.powerfail.databases import Promise, Store
from tests.powerfail.disk import Trace, crashes, write_image
from tests.powerfail.stores import HubStore, NodeStore
from tests.powerfail.syscalls import recorded

STORES: Final[dict[str, type[Store]]] = {"hub.db": HubStore, "node.db": NodeStore}
SHARES: Final = {"hub.db": 300, "node.db": 300, "hub": 150, "outgoing": 100, "incoming": 100, "private": 50}
"""Of a thousand runs."""
CRASHES: Final = 25
"""Runs from one recording."""
_AGAIN: Final = 0.3
_MEMORY: Final = Path("/dev/shm")


@dataclass(frozen=True, slots=True)
class Run:
    """One crash; ``faults`` is empty if every promise was kept."""

    kind: str
    seed: int
    point: int
    faults: tuple[str, ...]

    def __str__(self) -> str:
        """Return it for people, so that it can be repeated."""
        return f"{self.kind}, seed {self.seed}, crash after act {self.point}: {'; '.join(self.faults)}"


@contextmanager
def place() -> Iterator[Path]:
    """Yield an empty directory, in memory where there is one: the syncs that count are those recorded."""
    root = Path(tempfile.mkdtemp(prefix="wasl-powerfail-", dir=_MEMORY if _MEMORY.is_dir() else None))
    try:
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


def runs(
    kind: str,
    first_seed: int,
    count: int,
    root: Path,
    *,
    synchronous: str | None = None,
    leave_out: frozenset[str] = frozenset(),
) -> Iterator[Run]:
    """Do ``count`` runs of a kind, from recordings with the seeds from ``first_seed`` on.

    ``synchronous`` weakens the databases, ``leave_out`` (:mod:`tests.powerfail.syscalls`) the files: then
    faults are expected.
    """
    seeds = range(first_seed, first_seed + -(-count // CRASHES))
    if kind in STORES:
        found = _database_runs(kind, seeds, root, synchronous)
    else:
        found = _file_runs(kind, seeds, root, leave_out)
    for _, run in zip(range(count), found, strict=False):
        yield run


def _points(trace: Trace, random: Random) -> list[int]:
    return sorted(random.randint(1, len(trace.acts)) for _ in range(CRASHES))


def _database_runs(kind: str, seeds: range, root: Path, synchronous: str | None) -> Iterator[Run]:
    store = STORES[kind]()
    template, work, image = (root / name for name in ("template", "work", "image"))
    template.mkdir()
    store.make(template / store.file)
    kept: tuple[Promise, ...] = ()
    for seed in seeds:
        random = Random(f"{kind} {seed}")
        if not (kept and random.random() < _AGAIN):
            kept = ()
            shutil.rmtree(work, ignore_errors=True)
            shutil.copytree(template, work)
        trace = databases.record(store, work / store.file, random, synchronous=synchronous, kept=kept)
        for point, faults in databases.judged(store, trace, _points(trace, random), image, random):
            yield Run(kind, seed, point, tuple(faults))
            if not faults and random.random() < 1 / CRASHES:
                shutil.rmtree(work)
                shutil.copytree(image, work)
                kept = tuple(promise for noted in trace.notes(point) for promise in noted.promises)
    shutil.rmtree(template)


def _file_runs(kind: str, seeds: range, root: Path, leave_out: frozenset[str]) -> Iterator[Run]:
    work, image = root / "work", root / "image"
    for seed in seeds:
        random = Random(f"{kind} {seed}")
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(mode=0o700)
        keeper = WORKS[kind]()
        with recorded(work, leave_out=leave_out) as recorder:
            keeper.record(work, random, recorder.trace.note)
        trace = recorder.trace
        for point, left in crashes(trace, _points(trace, random), random):
            write_image(left, image)
            yield Run(kind, seed, point, tuple(keeper.faults(image, list(trace.notes(point)))))
