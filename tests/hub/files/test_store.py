"""The attachment store on a real disk: what was acknowledged stays, what is read is what came."""

import os
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from crypto.filestream import CHUNK_BYTES
from hub.files.core import AttachmentFiles
from hub.files.errors import (
    AttachmentMissing,
    BadChunk,
    Conflict,
    Damaged,
    OutOfOrder,
    RootMismatch,
)
from hub.files.layout import MAX_SIZE_BYTES
from hub.files.store import AttachmentStore
from runtime.executors import ClockExecutor
from runtime.storage_errors import StorageFailed
from tests.hub.files.attachment import ID, LABO, THREE, Attachment, Now, again, flip, path_of


@pytest.mark.parametrize(
    "size_bytes", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 130 * CHUNK_BYTES + 7]
)
def test_what_is_read_is_what_came(files: AttachmentFiles, size_bytes: int) -> None:
    attachment = Attachment(size_bytes)
    assert attachment.open(files) == 0
    count = len(attachment.chunks)
    for first in range(0, count, 50):
        expected = min(first + 50, count)
        assert files.append(LABO, ID, first, attachment.chunks[first : first + 50]) == expected
    assert files.sync(LABO, ID) == count
    files.finish(LABO, ID)
    files.finish(LABO, ID)
    assert attachment.open(files) == count
    for store in (files, again(files)):
        found = [chunk for first in range(0, count, 40) for chunk in store.read(LABO, ID, first, 40)]
        assert found == attachment.chunks
        assert store.sync(LABO, ID) == store.append(LABO, ID, 0, attachment.chunks[:1]) == count
    assert path_of(files, ".sealed").stat().st_size == attachment.header.file_bytes


def test_order(files: AttachmentFiles) -> None:
    THREE.open(files)
    with pytest.raises(OutOfOrder, match="chunk 1 came, 0 is the next"):
        files.append(LABO, ID, 1, THREE.chunks[1:])
    assert files.append(LABO, ID, 0, THREE.chunks[:2]) == 2
    assert files.append(LABO, ID, 0, THREE.chunks[:1]) == 2  # stored already: ignored
    with pytest.raises(OutOfOrder, match="2 of 3 chunks"):
        files.finish(LABO, ID)
    assert files.append(LABO, ID, 1, THREE.chunks[1:]) == 3  # one known, one new
    files.finish(LABO, ID)
    assert files.read(LABO, ID, 0, 3) == THREE.chunks


def test_chunks_and_arguments_out_of_bounds(files: AttachmentFiles) -> None:
    THREE.open(files)
    for wrong in (THREE.chunks[0][:-1], THREE.chunks[0] + b"x", b"", THREE.chunks[2]):
        with pytest.raises(BadChunk, match=r"chunk 0 of 3 has \d+ bytes, not 61456"):
            files.append(LABO, ID, 0, [wrong])
    files.append(LABO, ID, 0, THREE.chunks)
    for first, chunks in ((3, [b"x"]), (3, [b""]), (-1, [b"x"]), (0, [b""] * 65)):
        with pytest.raises(BadChunk):
            files.append(LABO, ID, first, chunks)
    files.finish(LABO, ID)
    for first, count in ((3, 1), (-1, 2), (0, 0), (0, 65)):
        with pytest.raises(BadChunk):
            files.read(LABO, ID, first, count)
    assert files.read(LABO, ID, 2, 64) == THREE.chunks[2:]
    for facility, attachment_id, size_bytes, root in (
        ("", ID, 1, THREE.root),
        ("x" * 256, ID, 1, THREE.root),
        (LABO, ID[:15], 1, THREE.root),
        (LABO, ID, -1, THREE.root),
        (LABO, ID, MAX_SIZE_BYTES + 1, THREE.root),
        (LABO, ID, 1, THREE.root[:31]),
    ):
        with pytest.raises(BadChunk):
            files.open_upload(facility, attachment_id, size_bytes, root)


def test_same_id_with_other_content_is_a_conflict(files: AttachmentFiles) -> None:
    THREE.open(files)
    for store in (files, again(files)):
        for size_bytes, root in ((THREE.size_bytes + 1, THREE.root), (THREE.size_bytes, bytes(32))):
            with pytest.raises(Conflict, match="announced before"):
                store.open_upload(LABO, ID, size_bytes, root)
    files.append(LABO, ID, 0, THREE.chunks)
    files.finish(LABO, ID)
    with pytest.raises(Conflict):
        files.open_upload(LABO, ID, THREE.size_bytes, bytes(32))


def test_facilities_neither_see_nor_meet_each_other(files: AttachmentFiles) -> None:
    other = Attachment(100, seed=2)
    THREE.store(files)
    with pytest.raises(AttachmentMissing):
        files.read("cardio", ID, 0, 1)
    assert not files.delete("cardio", ID)
    other.store(files, "cardio")
    assert files.read(LABO, ID, 0, 3) == THREE.chunks
    assert files.read("cardio", ID, 0, 3) == other.chunks
    assert files.delete("cardio", ID)
    assert files.read(LABO, ID, 0, 3) == THREE.chunks


def test_facility_names_are_no_paths(files: AttachmentFiles, tmp_path: Path) -> None:
    THREE.store(files, "../../../etc/\0passwd")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["files"]


def test_missing(files: AttachmentFiles) -> None:
    for call in (
        lambda: files.append(LABO, ID, 0, []),
        lambda: files.sync(LABO, ID),
        lambda: files.finish(LABO, ID),
        lambda: files.read(LABO, ID, 0, 1),
    ):
        with pytest.raises(AttachmentMissing):
            call()
    THREE.open(files)
    with pytest.raises(AttachmentMissing, match="not finished"):
        files.read(LABO, ID, 0, 1)


def test_other_chunks_than_announced_discard_the_upload(files: AttachmentFiles) -> None:
    THREE.open(files)
    files.append(LABO, ID, 0, Attachment(THREE.size_bytes, seed=9).chunks)
    with pytest.raises(RootMismatch, match="send it again from chunk 0"):
        files.finish(LABO, ID)
    assert list(files.files()) == []
    assert list(files._room) == []
    THREE.store(files)
    assert files.read(LABO, ID, 0, 3) == THREE.chunks


@pytest.mark.parametrize("where", ["header", "leaf", "chunk", "cut", "grown"])
@pytest.mark.parametrize("reopened", [True, False])
def test_damage_is_found_and_put_aside(files: AttachmentFiles, where: str, reopened: bool) -> None:
    THREE.store(files)
    path = path_of(files, ".sealed")
    if where == "cut":
        os.truncate(path, path.stat().st_size - 1)
    elif where == "grown":
        os.truncate(path, path.stat().st_size + 1)
    else:
        flip(path, {"header": 20, "leaf": 8192 + 2 * 32, "chunk": THREE.header.chunk_end(3) - 1}[where])
    store = again(files) if reopened else files
    if not reopened and where in {"header", "grown"}:
        assert store.read(LABO, ID, 0, 3) == THREE.chunks  # what is handed out is unharmed
        return
    if where in {"leaf", "chunk"}:
        assert store.read(LABO, ID, 0, 2) == THREE.chunks[:2]
    with pytest.raises(Damaged, match=path.name):
        store.read(LABO, ID, 0, 3)
    with pytest.raises(AttachmentMissing):
        store.read(LABO, ID, 0, 1)
    quarantined = list((path.parents[1] / "quarantine").iterdir())
    assert [found.name.partition("-")[0] for found in quarantined] == [path.stem]
    THREE.store(store)  # sent again, it is as good as new
    assert store.read(LABO, ID, 0, 3) == THREE.chunks


def test_an_upload_without_a_whole_header(files: AttachmentFiles) -> None:
    """Empty or zero: the power was cut before its first sync. Anything else: put aside, never trusted."""
    for data in (b"", bytes(100), bytes(9000)):
        path_of(files, ".part").write_bytes(data)
        store = again(files)
        assert list(store.files()) == []
        assert not list((store._directory / "quarantine").iterdir())
    path_of(files, ".part").write_bytes(b"what is this" * 1000)
    store = again(files)
    assert list(store.files()) == []
    assert len(list((store._directory / "quarantine").iterdir())) == 1
    assert THREE.open(store) == 0


def test_the_asynchronous_face(tmp_path: Path, now: Now, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls made without waiting run in their order; a failed disk asks for the end of the process."""
    clock, fatal, fired = Clock(), list[BaseException](), list[Any]()
    store = AttachmentStore(
        tmp_path, executor=ClockExecutor(clock, 0.01), now_ms=now, on_fatal=fatal.append, floor_bytes=0
    )
    calls: list[Deferred[Any]] = [
        store.open_upload(LABO, ID, THREE.size_bytes, THREE.root),
        store.append(LABO, ID, 0, THREE.chunks),
        store.sync(LABO, ID),
        store.finish(LABO, ID),
        store.read(LABO, ID, 0, 3),
        store.delete(LABO, ID),
        store.sweep(set(), 0),
    ]
    for call in calls:
        call.addBoth(fired.append)
    clock.pump([0.01] * 12)
    assert fired == [0, 3, 3, None, THREE.chunks, True, []]

    def fail(_descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", fail)
    store.open_upload(LABO, ID, THREE.size_bytes, THREE.root)
    store.append(LABO, ID, 0, THREE.chunks)
    failed = store.sync(LABO, ID)
    failed.addErrback(lambda failure: fired.append(failure.type))
    clock.pump([0.01] * 5)
    assert fired[-1] is StorageFailed
    assert len(fatal) == 1
    closed = Deferred.fromCoroutine(store.close())
    closed.addErrback(lambda failure: fired.append(failure.type))
    clock.pump([0.01] * 5)
    assert fired[-1] is StorageFailed
