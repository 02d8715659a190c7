"""A thousand power failures: what was acknowledged is there afterwards; and what leaves a sync out is caught.

More of them: ``python -m tests.torture powerfail --runs 100000``.
"""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import Engine

from hub.files.layout import MARK_OFFSET, encode_mark
from hub.files.upload import AttachmentFile
from runtime import disk, transactions
from tests.powerfail import campaign, databases
from tests.powerfail.attachments import WORKS
from tests.powerfail.campaign import CRASHES, SHARES, STORES, Run
from tests.powerfail.disk import Sync, SyncNames, Trace, Write, crashes
from tests.powerfail.driver import recorded_engine
from tests.powerfail.syscalls import DIRECTORY_SYNC, FILE_SYNC, recorded

_RECORDINGS = 5
_PRAGMAS = (
    "journal_mode", "synchronous", "foreign_keys", "mmap_size", "temp_store", "cache_size",
    "wal_autocheckpoint", "journal_size_limit", "locking_mode", "page_size",
)  # fmt: skip


def bad_recordings(found: list[Run]) -> int:
    """Return how many recordings have a crash that broke a promise."""
    return len({run.seed for run in found if run.faults})


@pytest.mark.parametrize("kind", SHARES)
def test_what_was_acknowledged_survives_a_power_failure(kind: str) -> None:
    with campaign.place() as root:
        found = list(campaign.runs(kind, 0, SHARES[kind], root))
    assert len(found) == SHARES[kind]
    assert [str(run) for run in found if run.faults] == []


def test_there_are_a_thousand_of_these_runs() -> None:
    assert sum(SHARES.values()) == 1_000
    assert set(SHARES) == set(STORES) | set(WORKS)


# ── proof that it can fail ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", STORES)
@pytest.mark.parametrize("synchronous", ["NORMAL", "OFF"])
def test_a_weaker_setting_of_the_database_loses_acknowledged_rows(kind: str, synchronous: str) -> None:
    with campaign.place() as root:
        found = list(campaign.runs(kind, 0, _RECORDINGS * CRASHES, root, synchronous=synchronous))
    assert bad_recordings(found) >= 0.8 * _RECORDINGS
    assert any("rows lost" in fault for run in found for fault in run.faults)


@pytest.mark.parametrize("kind", WORKS)
@pytest.mark.parametrize("left_out", [FILE_SYNC, DIRECTORY_SYNC])
def test_a_sync_that_is_left_out_is_caught(kind: str, left_out: str) -> None:
    with campaign.place() as root:
        found = list(campaign.runs(kind, 0, 3 * CRASHES, root, leave_out=frozenset({left_out})))
    assert bad_recordings(found) >= 2


def test_a_mark_before_the_sync_that_it_speaks_of_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is acknowledged early: the next process believes the mark, and chunks that are not there."""

    def sync(file: AttachmentFile) -> int:
        if file.durable < file.next_chunk:
            mark = encode_mark(file.header.key, file.next_chunk)
            disk.write_all(file._descriptor, [mark], MARK_OFFSET)
            disk.sync_file(file._descriptor, file.path)
            disk.sync_directory(file.path.parent)
            file.durable = file.next_chunk
        return file.durable

    monkeypatch.setattr(AttachmentFile, "sync", sync)
    with campaign.place() as root:
        found = list(campaign.runs("hub", 0, 2 * CRASHES, root))
    assert any("cannot be ended" in fault for run in found for fault in run.faults)


# ── the instruments ────────────────────────────────────────────────────────────────────────


def pragmas(engine: Engine) -> dict[str, object]:
    return transactions.transact(
        engine, lambda c: {name: c.exec_driver_sql(f"PRAGMA {name}").scalar() for name in _PRAGMAS}
    )


def test_the_recorded_database_is_set_as_the_product_sets_it(tmp_path: Path) -> None:
    (tmp_path / "recorded").mkdir()
    engine = transactions.open_engine(f"sqlite:///{tmp_path / 'product.db'}")
    product = pragmas(engine)
    engine.dispose()
    with recorded_engine(tmp_path / "recorded" / "hub.db") as (engine, _trace):
        assert pragmas(engine) == product
    assert (product["journal_mode"], product["synchronous"]) == ("wal", 2)


@pytest.mark.parametrize("kind", WORKS)
def test_recordings_of_files_are_complete(kind: str, tmp_path: Path) -> None:
    for seed in range(3):
        root = tmp_path / str(seed)
        root.mkdir(mode=0o700)
        with recorded(root) as recorder:
            WORKS[kind]().record(root, Random(seed), recorder.trace.note)
        assert recorder.complete()


@pytest.mark.parametrize("kind", STORES)
def test_recordings_of_databases_are_complete(kind: str, tmp_path: Path) -> None:
    """What was written and synced makes the very file that SQLite left."""
    store = STORES[kind]()
    (tmp_path / "home").mkdir()
    database = tmp_path / "home" / store.file
    store.make(database)
    trace = databases.record(store, database, Random(1))
    assert trace.names == {store.file: 1}, "the log is copied and removed at the end"
    trace.acts += [Sync(1), SyncNames(".")]
    ((_, image),) = crashes(trace, [len(trace.acts)], Random(0))
    assert image == {store.file: database.read_bytes()}


def test_the_disk_keeps_what_was_synced_and_may_lose_the_rest(tmp_path: Path) -> None:
    old, new = b"old" * 1_000, b"new" * 1_000
    with recorded(tmp_path) as recorder:
        descriptor = os.open(tmp_path / "a", os.O_WRONLY | os.O_CREAT)
        os.pwrite(descriptor, old, 0)
        os.fsync(descriptor)
        directory = os.open(tmp_path, os.O_RDONLY)
        os.fsync(directory)
        os.pwrite(descriptor, new, 0)
        os.close(descriptor)
        os.close(directory)
        (tmp_path / "a").rename(tmp_path / "b")
    acts, found = recorder.trace.acts, set()
    assert [type(act) for act in acts[:4]] == [type(acts[0]), Write, Sync, SyncNames]
    for seed in range(200):
        ((_, image),) = crashes(recorder.trace, [len(acts)], Random(seed))
        ((name, content),) = image.items()
        assert content is not None
        for at in range(0, len(old), 512):
            assert content[at : at + 512] in (old[at : at + 512], new[at : at + 512])
        found.add((name, content == old, content == new))
    assert found == {
        (name, *which) for name in "ab" for which in ((True, False), (False, True), (False, False))
    }


def test_nothing_is_certain_before_a_sync(tmp_path: Path) -> None:
    trace = Trace.on(tmp_path)
    inode = trace.opened("a")
    trace.acts.append(Write(inode, 0, b"x" * 600))
    images = [image for seed in range(100) for _, image in crashes(trace, [2], Random(seed))]
    contents = {image.get("a") for image in images}
    assert {None, b"", b"x" * 600, b"x" * 512 + bytes(88)} <= contents
