"""The attachment store after kills, power cuts and crashes: what was acknowledged stays."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from crypto.filestream import CHUNK_BYTES, SEALED_CHUNK_BYTES, leaf_hash
from hub.files.core import AttachmentFiles
from tests.hub.files.attachment import ID, LABO, THREE, Attachment, Now, PowerCut, again, path_of


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
from crypto.filestream import CHUNK_BYTES
from hub.files.core import AttachmentFiles
from tests.hub.files.attachment import PowerCut, ID, LABO, Attachment
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
