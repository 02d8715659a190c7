"""What the attachment store keeps open, what room it promises, and what it throws away."""

import os
import resource
from pathlib import Path
from typing import Any

import pytest

from crypto.filestream import SEALED_CHUNK_BYTES, RootHash, chunk_count, leaf_hash, sealed_size
from hub.files import room
from hub.files.core import AttachmentFiles
from hub.files.errors import (
    AttachmentMissing,
    TooManyUploads,
)
from hub.files.layout import Header, decode_header, decode_mark, encode_mark, storage_key
from runtime.storage_errors import StorageFailed, StorageFull
from tests.hub.files.attachment import ID, LABO, THREE, Now, PowerCut, again, descriptors_below, path_of


def test_few_files_are_open_and_none_is_forgotten(tmp_path: Path, now: Now) -> None:
    files = AttachmentFiles(tmp_path, now_ms=now, floor_bytes=0, max_open=4)
    ids = [bytes([n]) * 16 for n in range(20)]
    for attachment_id in ids:
        THREE.open(files, attachment_id=attachment_id)
    for index, chunk in enumerate(THREE.chunks):
        for attachment_id in ids:
            assert files.append(LABO, attachment_id, index, [chunk]) == index + 1
            assert len(files._open) <= 4
    for attachment_id in ids:
        files.finish(LABO, attachment_id)
    assert all(files.read(LABO, attachment_id, 0, 3) == THREE.chunks for attachment_id in ids)
    assert len(descriptors_below(tmp_path)) == 4
    files.close()
    assert descriptors_below(tmp_path) == []


def test_a_file_is_synced_before_it_is_closed_to_make_room(
    tmp_path: Path, now: Now, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Linux reports a failed write-back to those who have the file open; closed earlier, nobody hears."""
    cut = PowerCut(monkeypatch)
    files = AttachmentFiles(tmp_path, now_ms=now, floor_bytes=0, max_open=1)
    THREE.open(files)
    files.append(LABO, ID, 0, THREE.chunks[:2])
    assert cut.durable == {}
    THREE.open(files, "cardio")
    assert list(cut.durable) == [path_of(files, ".part")]


def test_unfinished_uploads_of_a_facility_are_bounded(
    files: AttachmentFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "MAX_UPLOADS_PER_FACILITY", 3)
    ids = [bytes([n]) * 16 for n in range(4)]
    for attachment_id in ids[:3]:
        THREE.open(files, attachment_id=attachment_id)
    for store in (files, again(files)):
        with pytest.raises(TooManyUploads, match="labo has 3 unfinished"):
            THREE.open(store, attachment_id=ids[3])
        assert THREE.open(store, attachment_id=ids[0]) == 0  # going on is no new one
        THREE.open(store, "cardio", ids[3])
    store.append(LABO, ids[0], 0, THREE.chunks)
    store.finish(LABO, ids[0])
    assert THREE.open(store, attachment_id=ids[3]) == 0


def test_room_is_promised_once(tmp_path: Path, now: Now) -> None:
    free = AttachmentFiles(tmp_path, now_ms=now, floor_bytes=0).room_bytes()
    files = AttachmentFiles(tmp_path, now_ms=now, floor_bytes=free - 50_000_000)
    room = files.room_bytes()
    files.open_upload(LABO, ID, 30_000_000, bytes(32))
    assert room - files.room_bytes() > 29_000_000
    with pytest.raises(StorageFull, match=r"30000000 bytes were announced.*make room"):
        files.open_upload(LABO, bytes(16), 30_000_000, bytes(32))
    assert files.open_upload(LABO, ID, 30_000_000, bytes(32)) == 0
    store = AttachmentFiles(tmp_path, now_ms=now, floor_bytes=free - 50_000_000)
    with pytest.raises(StorageFull):  # a promise survives the process
        store.open_upload(LABO, bytes(16), 30_000_000, bytes(32))
    store.delete(LABO, ID)
    assert store.open_upload(LABO, bytes(16), 30_000_000, bytes(32)) == 0


def test_a_full_disk_stores_nothing_of_the_call_and_goes_on_later(
    files: AttachmentFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    THREE.open(files)
    files.append(LABO, ID, 0, THREE.chunks[:1])

    def full(descriptor: int, parts: list[bytes], offset: int) -> int:
        if len(parts[0]) < 1000:
            raise OSError(28, "No space left on device")
        return os.pwrite(descriptor, parts[0][:1000], offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwritev", full)
        patch.setattr("runtime.disk.os.pwrite", _no_room_after_a_part())
        with pytest.raises(StorageFull, match="make room"):
            files.append(LABO, ID, 1, THREE.chunks[1:])
    for store in (files, again(files)):
        assert THREE.open(store) == 1
    files.append(LABO, ID, 1, THREE.chunks[1:])
    files.finish(LABO, ID)
    assert files.read(LABO, ID, 0, 3) == THREE.chunks


def _no_room_after_a_part() -> Any:
    real, calls = os.pwrite, [0]

    def pwrite(descriptor: int, data: bytes, offset: int) -> int:
        calls[0] += 1
        if calls[0] > 2:
            raise OSError(28, "No space left on device")
        return real(descriptor, data[:5000], offset)

    return pwrite


def test_short_writes_are_completed(files: AttachmentFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    real_pwritev, real_pwrite = os.pwritev, os.pwrite
    monkeypatch.setattr(os, "pwritev", lambda fd, parts, at: real_pwritev(fd, [parts[0][:777]], at))
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: real_pwrite(fd, data[:10_000], at))
    THREE.store(files)
    assert files.read(LABO, ID, 0, 3) == THREE.chunks


def test_a_failed_sync_is_never_tried_again(files: AttachmentFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    THREE.open(files)
    files.append(LABO, ID, 0, THREE.chunks)

    def fail(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", fail)
        with pytest.raises(StorageFailed, match="fdatasync: No space"):
            files.sync(LABO, ID)
    for call in (lambda: files.sync(LABO, ID), lambda: files.finish(LABO, ID), lambda: THREE.open(files)):
        with pytest.raises(StorageFailed, match="nothing is tried again"):
            call()


def test_sweep_removes_what_is_old_and_not_wanted(files: AttachmentFiles, now: Now) -> None:
    ids = {name: bytes([n]) * 16 for n, name in enumerate(("kept", "orphan", "stalled", "fresh", "running"))}
    for name in ("kept", "orphan"):
        THREE.store(files, attachment_id=ids[name])
    for name in ("stalled", "running"):
        THREE.open(files, attachment_id=ids[name])
    now.ms += 100_000
    THREE.store(files, attachment_id=ids["fresh"])
    files.append(LABO, ids["running"], 0, THREE.chunks[:1])
    files.sync(LABO, ids["running"])
    assert files.sweep(set(), 200_000) == []
    removed = files.sweep({storage_key(LABO, ids["kept"])}, 50_000)
    assert {found.key for found in removed} == {storage_key(LABO, ids[n]) for n in ("orphan", "stalled")}
    assert {(found.key, found.complete) for found in files.files()} == {
        (storage_key(LABO, ids["kept"]), True),
        (storage_key(LABO, ids["fresh"]), True),
        (storage_key(LABO, ids["running"]), False),
    }
    assert set(files._room) == {storage_key(LABO, ids["running"])}
    assert {found.age_ms for found in files.files() if found.key == storage_key(LABO, ids["kept"])} == {
        100_000
    }


def test_what_was_just_asked_after_is_not_swept(files: AttachmentFiles, now: Now) -> None:
    """Its message is on its way into the spool, and was not there when the sweep began."""
    ids = {name: bytes([n]) * 16 for n, name in enumerate(("asked", "offered", "asked wrongly"))}
    for identifier in ids.values():
        THREE.store(files, attachment_id=identifier)
    now.ms += 100_000
    assert files.has(LABO, ids["asked"], THREE.size_bytes, THREE.root)
    assert THREE.open(files, attachment_id=ids["offered"]) == 3
    assert not files.has(LABO, ids["asked wrongly"], THREE.size_bytes + 1, THREE.root)
    removed = files.sweep(set(), 50_000)
    assert [found.key for found in removed] == [storage_key(LABO, ids["asked wrongly"])]
    assert files.read(LABO, ids["asked"], 0, 1) == THREE.chunks[:1]


def test_delete_is_idempotent(files: AttachmentFiles) -> None:
    THREE.open(files)
    assert files.delete(LABO, ID)
    assert not files.delete(LABO, ID)
    THREE.store(files)
    assert files.delete(LABO, ID)
    with pytest.raises(AttachmentMissing):
        files.read(LABO, ID, 0, 1)


def test_memory_is_flat(files: AttachmentFiles) -> None:
    """300 MB through the store costs no more than a few calls' worth of memory."""
    size_bytes = 300_000_000
    count = chunk_count(size_bytes)
    chunk = bytes(SEALED_CHUNK_BYTES)
    last = chunk[: sealed_size(size_bytes) - (count - 1) * SEALED_CHUNK_BYTES]
    root = RootHash()
    for index in range(count):
        root.add(leaf_hash(index, chunk if index < count - 1 else last))
    files.open_upload(LABO, ID, size_bytes, root.digest())
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for index in range(0, count, 16):
        batch = [chunk if n < count - 1 else last for n in range(index, min(index + 16, count))]
        files.append(LABO, ID, index, batch)
    files.finish(LABO, ID)
    for index in range(0, count, 16):
        files.read(LABO, ID, index, 16)
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib
    files.delete(LABO, ID)
    assert grown_kib < 16 * 1024


def test_header_and_mark_survive_only_whole() -> None:
    header = Header("chu-أ", ID, 7, THREE.root)
    data = header.encode()
    assert decode_header(data) == header
    for offset in range(len(data)):
        assert decode_header(data[:offset] + bytes([data[offset] ^ 4]) + data[offset + 1 :]) is None
    assert decode_header(data[:-1]) is None
    mark = encode_mark(header.key, 77)
    assert decode_mark(header.key, mark) == 77
    assert decode_mark(storage_key(LABO, ID), mark) == decode_mark(header.key, mark[:-1]) == 0
    for offset in range(len(mark)):
        assert decode_mark(header.key, mark[:offset] + bytes([mark[offset] ^ 4]) + mark[offset + 1 :]) == 0
