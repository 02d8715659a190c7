"""The attachment store on a real disk: what was acknowledged stays, what is read is what came."""

import os
import random
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from crypto.filestream import CHUNK_BYTES, SEALED_CHUNK_BYTES, RootHash, chunk_count, leaf_hash, sealed_size
from hub.files import core
from hub.files.core import AttachmentFiles
from hub.files.errors import (
    AttachmentMissing,
    BadChunk,
    Conflict,
    Damaged,
    OutOfOrder,
    RootMismatch,
    TooManyUploads,
)
from hub.files.layout import MAX_SIZE_BYTES, Header, decode_header, decode_mark, encode_mark, storage_key
from hub.files.store import AttachmentStore
from runtime import disk
from runtime.executors import ClockExecutor
from runtime.storage_errors import StorageFailed, StorageFull

LABO = "labo"
ID = bytes(range(16))


class Attachment:
    """A content as it arrives: sealed chunks and the announced root."""

    def __init__(self, size_bytes: int, seed: int = 1) -> None:
        self.size_bytes = size_bytes
        count, total = chunk_count(size_bytes), sealed_size(size_bytes)
        data = random.Random(seed).randbytes(total)
        self.chunks = [data[n * SEALED_CHUNK_BYTES : (n + 1) * SEALED_CHUNK_BYTES] for n in range(count)]
        root = RootHash()
        for index, chunk in enumerate(self.chunks):
            root.add(leaf_hash(index, chunk))
        self.root = root.digest()
        self.header = Header(LABO, ID, size_bytes, self.root)

    def open(self, files: AttachmentFiles, facility: str = LABO, attachment_id: bytes = ID) -> int:
        return files.open_upload(facility, attachment_id, self.size_bytes, self.root)

    def store(self, files: AttachmentFiles, facility: str = LABO, attachment_id: bytes = ID) -> None:
        self.open(files, facility, attachment_id)
        for index, chunk in enumerate(self.chunks):
            files.append(facility, attachment_id, index, [chunk])
        files.finish(facility, attachment_id)


THREE = Attachment(2 * CHUNK_BYTES + 100)


class Now:
    def __init__(self) -> None:
        self.ms = 1_700_000_000_000

    def __call__(self) -> int:
        return self.ms


def _descriptors_below(directory: Path) -> list[int]:
    links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    return [int(link.name) for link in links if link.resolve().is_relative_to(directory)]


@pytest.fixture(autouse=True)
def _forgotten_stores(tmp_path: Path) -> Iterator[None]:
    """Close what the stores of "killed" processes hold open."""
    yield
    for descriptor in _descriptors_below(tmp_path):
        os.close(descriptor)


@pytest.fixture
def now() -> Now:
    return Now()


@pytest.fixture
def files(tmp_path: Path, now: Now) -> AttachmentFiles:
    return AttachmentFiles(tmp_path / "files", now_ms=now, floor_bytes=0)


def again(files: AttachmentFiles, *, max_open: int = 128) -> AttachmentFiles:
    """Open the store as the next process does; the former one is simply forgotten, as after SIGKILL."""
    return AttachmentFiles(files._directory, now_ms=files._now_ms, floor_bytes=0, max_open=max_open)


def path_of(files: AttachmentFiles, suffix: str, facility: str = LABO, attachment_id: bytes = ID) -> Path:
    return files._path(storage_key(facility, attachment_id), suffix)


def flip(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))


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
    assert files._reserved == {}
    THREE.store(files)
    assert files.read(LABO, ID, 0, 3) == THREE.chunks


def test_resume_after_a_kill_goes_on_where_it_was(files: AttachmentFiles) -> None:
    THREE.open(files)
    files.append(LABO, ID, 0, THREE.chunks[:1])
    files.sync(LABO, ID)
    files.append(LABO, ID, 1, THREE.chunks[1:2])
    store = again(files)
    assert THREE.open(store) == 2
    store.append(LABO, ID, 2, THREE.chunks[2:])
    store.finish(LABO, ID)
    assert store.read(LABO, ID, 0, 3) == THREE.chunks


@pytest.mark.parametrize("lost_bytes", [1, 99, SEALED_CHUNK_BYTES])
def test_a_torn_tail_is_dropped(files: AttachmentFiles, lost_bytes: int) -> None:
    THREE.open(files)
    files.append(LABO, ID, 0, THREE.chunks[:2])
    path = path_of(files, ".part")
    os.truncate(path, path.stat().st_size - lost_bytes)
    store = again(files)
    assert THREE.open(store) == 1
    store.append(LABO, ID, 1, THREE.chunks[1:])
    store.finish(LABO, ID)
    assert store.read(LABO, ID, 0, 3) == THREE.chunks


def test_a_file_cut_below_its_mark_believes_only_what_it_checks(files: AttachmentFiles) -> None:
    THREE.open(files)
    files.append(LABO, ID, 0, THREE.chunks)
    assert files.sync(LABO, ID) == 3
    os.truncate(path_of(files, ".part"), THREE.header.chunk_end(1) + 5)
    assert THREE.open(again(files)) == 1


def test_below_the_mark_nothing_is_read_again(
    files: AttachmentFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening a huge upload after a crash costs what was not synced, not all of it."""
    big = Attachment(20 * CHUNK_BYTES)
    big.open(files)
    files.append(LABO, ID, 0, big.chunks[:15])
    files.sync(LABO, ID)
    files.append(LABO, ID, 15, big.chunks[15:18])
    hashed: list[int] = []

    def noted(index: int, chunk: bytes) -> bytes:
        hashed.append(index)
        return leaf_hash(index, chunk)

    monkeypatch.setattr("hub.files.upload.leaf_hash", noted)
    assert big.open(again(files)) == 18
    assert hashed == [15, 16, 17]


class PowerCut:
    """Remembers what each fdatasync made durable; afterwards any page may be old or new."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.durable: dict[Path, bytes] = {}
        monkeypatch.setattr(disk, "sync_file", self._sync_file)

    def _sync_file(self, descriptor: int, path: Path) -> None:
        os.fdatasync(descriptor)
        self.durable[path] = path.read_bytes()

    def happens(self, path: Path, chance: random.Random) -> None:
        old, new = self.durable.get(path, b""), path.read_bytes()
        length = chance.choice([len(old), len(new), chance.randint(min(len(old), len(new)), len(new))])
        pages = range(0, length, 4096)
        old, new = old.ljust(length, b"\0"), new.ljust(length, b"\0")
        path.write_bytes(b"".join(chance.choice((old, new))[at : at + 4096] for at in pages)[:length])


@pytest.mark.parametrize("seed", range(60))
def test_power_cuts_take_nothing_acknowledged(
    files: AttachmentFiles, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """An acknowledgement means durable; and what is counted as stored is whole."""
    chance, cut = random.Random(seed), PowerCut(monkeypatch)
    attachment = Attachment(12 * CHUNK_BYTES + 5, seed)
    path, acknowledged, store = path_of(files, ".part"), 0, files
    while True:
        position = attachment.open(store)
        assert position >= acknowledged
        acknowledged = position
        for _ in range(chance.randint(0, 6)):
            count = chance.randint(1, 3)
            position = store.append(LABO, ID, position, attachment.chunks[position : position + count])
            if chance.random() < 0.4:
                acknowledged = store.sync(LABO, ID)
        if position == len(attachment.chunks):
            break
        cut.happens(path, chance)
        store = again(store)
    store.finish(LABO, ID)
    assert store.read(LABO, ID, 0, 64) == attachment.chunks


class Crash(BaseException):
    """The process ends here."""


@contextmanager
def crash_after(system_calls: int) -> Iterator[list[str]]:
    """Let that many system calls that change the disk happen; the next one never does."""
    done: list[str] = []
    names = ("open", "pwrite", "pwritev", "fdatasync", "fsync", "rename", "ftruncate", "utime", "unlink")
    with pytest.MonkeyPatch.context() as patch:
        for name in names:
            real = getattr(os, name)

            def call(*args: Any, _name: str = name, _real: Any = real, **kwargs: Any) -> Any:
                if len(done) >= system_calls:
                    raise Crash
                done.append(_name)
                return _real(*args, **kwargs)

            patch.setattr(os, name, call)
        yield done


def test_a_crash_at_any_system_call_of_an_upload(tmp_path: Path, now: Now) -> None:
    """From open_upload to finish: stop before each call; the next process always brings it to its end."""
    for system_calls in range(100):
        files = AttachmentFiles(tmp_path / str(system_calls), now_ms=now, floor_bytes=0)
        acknowledged = 0
        with crash_after(system_calls) as seen:
            try:
                THREE.open(files)
                files.append(LABO, ID, 0, THREE.chunks[:2])
                acknowledged = files.sync(LABO, ID)
                files.append(LABO, ID, 2, THREE.chunks[2:])
                files.finish(LABO, ID)
            except Crash:
                pass
            else:
                break
        store = again(files)
        position = THREE.open(store)
        assert position >= acknowledged
        store.append(LABO, ID, position, THREE.chunks[position:])
        store.finish(LABO, ID)
        assert store.read(LABO, ID, 0, 3) == THREE.chunks
        assert [found.complete for found in store.files()] == [True]
    assert "rename" in seen
    assert system_calls > 12


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, ".")
from tests.hub.files.test_store import Attachment, AttachmentFiles, CHUNK_BYTES, ID, LABO
attachment = Attachment(300 * CHUNK_BYTES)
files = AttachmentFiles(Path(sys.argv[1]), now_ms=lambda: 0, floor_bytes=0)
position = attachment.open(files)
while position < 300:
    position = files.append(LABO, ID, position, attachment.chunks[position:position + 2])
    if position % 4 == 0:
        print(files.sync(LABO, ID), flush=True)
files.finish(LABO, ID)
"""


def test_kill_9_in_the_middle_of_an_upload(tmp_path: Path) -> None:
    attachment, acknowledged = Attachment(300 * CHUNK_BYTES), 0
    for lines in (3, 10, 20):
        with subprocess.Popen(
            [sys.executable, "-c", KILLED, str(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[3],
        ) as process:
            assert process.stdout is not None
            heard = [process.stdout.readline() for _ in range(lines)]
            process.send_signal(signal.SIGKILL)
            heard += process.stdout.readlines()
        assert int(heard[0]) > acknowledged
        acknowledged = max(int(line) for line in heard if line.endswith("\n"))
        store = AttachmentFiles(tmp_path, now_ms=lambda: 0, floor_bytes=0)
        assert attachment.open(store) >= acknowledged
    position = attachment.open(store)
    for first in range(position, 300, 50):
        store.append(LABO, ID, first, attachment.chunks[first : first + 50])
    store.finish(LABO, ID)
    assert store.read(LABO, ID, 250, 50) == attachment.chunks[250:]


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
    assert len(_descriptors_below(tmp_path)) == 4
    files.close()
    assert _descriptors_below(tmp_path) == []


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
    monkeypatch.setattr(core, "MAX_UPLOADS_PER_FACILITY", 3)
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
    assert set(files._reserved) == {storage_key(LABO, ids["running"])}
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
