"""One directory of attachments under several hub processes: an upload is with one of them at a time."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from crypto.filestream import CHUNK_BYTES
from hub.files.core import AttachmentFiles
from hub.files.errors import AttachmentMissing, BeingUploaded, TooManyUploads
from tests.hub.files.attachment import ID, LABO, Attachment

NOW_MS = 1_790_000_000_000
ROOT = Path(__file__).parents[3]


def store(directory: Path) -> AttachmentFiles:
    return AttachmentFiles(directory, now_ms=lambda: NOW_MS, floor_bytes=0, shared=True)


@pytest.fixture
def scan() -> Attachment:
    return Attachment(5 * CHUNK_BYTES)


def put(files: AttachmentFiles, scan: Attachment, first: int, until: int) -> None:
    files.append(LABO, ID, first, scan.chunks[first:until])


def test_what_one_has_in_hand_the_other_leaves_alone(tmp_path: Path, scan: Attachment) -> None:
    """Two that cut off and append to one file would leave a hole in it that no leaf tells of."""
    one, other = store(tmp_path / "files"), store(tmp_path / "files")
    scan.open(one)
    put(one, scan, 0, 2)
    with pytest.raises(BeingUploaded, match="offer it again"):
        scan.open(other)
    assert other.has(LABO, ID, scan.size_bytes, scan.root) is False
    put(one, scan, 2, 3)
    assert one.sync(LABO, ID) == 3


def test_what_one_lets_go_the_other_goes_on_with(tmp_path: Path, scan: Attachment) -> None:
    one, other = store(tmp_path / "files"), store(tmp_path / "files")
    scan.open(one)
    put(one, scan, 0, 2)
    one.let_go(LABO, ID)
    assert scan.open(other) == 2
    put(other, scan, 2, 5)
    other.finish(LABO, ID)
    assert one.has(LABO, ID, scan.size_bytes, scan.root)
    assert one.read(LABO, ID, 0, 5) == scan.chunks
    assert scan.open(one) == 5


def between_opening_and_locking(monkeypatch: pytest.MonkeyPatch, then: Callable[[], object]) -> None:
    """Let the next one who locks an upload be held up before, while something happens."""
    real = fcntl.flock

    def held_up(descriptor: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", real)
        then()
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", held_up)


def test_what_was_finished_while_another_opened_it_is_left_alone(
    tmp_path: Path, scan: Attachment, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = store(tmp_path / "files"), store(tmp_path / "files")
    scan.open(one)
    put(one, scan, 0, 5)
    one.let_go(LABO, ID)

    def finish() -> None:
        one.finish(LABO, ID)
        one.close()

    between_opening_and_locking(monkeypatch, finish)
    with pytest.raises(BeingUploaded):
        scan.open(other)
    assert scan.open(other) == 5
    other.finish(LABO, ID)
    assert other.read(LABO, ID, 0, 5) == scan.chunks


def test_what_was_finished_while_another_began_it_is_not_emptied(
    tmp_path: Path, scan: Attachment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of it was there when the other looked: it would begin in what is now the finished file."""
    one, other = store(tmp_path / "files"), store(tmp_path / "files")

    def finish() -> None:
        one.finish(LABO, ID)
        one.close()

    def upload() -> int:
        scan.open(one)
        put(one, scan, 0, 5)
        one.let_go(LABO, ID)
        between_opening_and_locking(monkeypatch, finish)
        return 1 << 40

    monkeypatch.setattr(other._room, "left_bytes", upload)
    with pytest.raises(BeingUploaded):
        scan.open(other)
    assert other.read(LABO, ID, 0, 5) == scan.chunks


HOLDER = """
import os, sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from tests.hub.files.test_shared import *
files, scan = store(Path(sys.argv[1])), Attachment(5 * CHUNK_BYTES)
scan.open(files)
put(files, scan, 0, 3)
files.sync(LABO, ID)
print("holds", flush=True)
sys.stdin.read()
"""


def test_the_lock_dies_with_its_process(tmp_path: Path, scan: Attachment) -> None:
    """After SIGKILL the upload goes on elsewhere at once, from the first chunk that is not durable."""
    directory = tmp_path / "files"
    other = store(directory)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(directory), str(ROOT)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"holds\n"
        with pytest.raises(BeingUploaded):
            scan.open(other)
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
        assert scan.open(other) == 3
    put(other, scan, 3, 5)
    other.finish(LABO, ID)


def test_a_process_that_starts_leaves_alone_what_another_has_just_begun(
    tmp_path: Path, scan: Attachment
) -> None:
    one = store(tmp_path / "files")
    scan.open(one)
    (part,) = (tmp_path / "files").rglob("*.part")
    header = part.read_bytes()
    with part.open("r+b") as file:
        file.truncate(0)  # as it is for an instant, before the header is written
    store(tmp_path / "files")
    assert part.exists()
    part.write_bytes(header)


def test_what_another_has_removed_is_gone_here_too(tmp_path: Path, scan: Attachment) -> None:
    """An open file outlives its name: without a look at its links it would be promised for ever."""
    one, other = store(tmp_path / "files"), store(tmp_path / "files")
    scan.store(one)
    assert other.has(LABO, ID, scan.size_bytes, scan.root)
    assert one.delete(LABO, ID)
    assert other.has(LABO, ID, scan.size_bytes, scan.root) is False
    with pytest.raises(AttachmentMissing):
        other.read(LABO, ID, 0, 1)
    scan.open(other)
    assert scan.open(other) == 0


def test_what_others_have_ended_counts_no_more(
    tmp_path: Path, scan: Attachment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a process found at its start would keep room, and a facility's turn, until the next start."""
    monkeypatch.setattr("hub.files.room.MAX_UPLOADS_PER_FACILITY", 2)
    one, ids = store(tmp_path / "files"), [bytes([n]) * 16 for n in range(3)]
    for attachment_id in ids[:2]:
        scan.open(one, attachment_id=attachment_id)
        one.let_go(LABO, attachment_id)
    other = store(tmp_path / "files")
    with pytest.raises(TooManyUploads):
        scan.open(other, attachment_id=ids[2])
    scan.store(one, attachment_id=ids[0])
    one.delete(LABO, ids[1])
    room = other.room_bytes()
    assert scan.open(other, attachment_id=ids[2]) == 0
    assert other.room_bytes() > room


def test_what_is_let_go_keeps_what_it_was_promised(
    tmp_path: Path, scan: Attachment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes on without being asked again for room: else each session's end would make place for more."""
    monkeypatch.setattr("hub.files.room.MAX_UPLOADS_PER_FACILITY", 2)
    one, ids = store(tmp_path / "files"), [bytes([n]) * 16 for n in range(3)]
    for attachment_id in ids[:2]:
        scan.open(one, attachment_id=attachment_id)
        one.let_go(LABO, attachment_id)
    with pytest.raises(TooManyUploads):
        scan.open(one, attachment_id=ids[2])
    assert scan.open(one, attachment_id=ids[1]) == 0


@pytest.mark.parametrize("again", ["is read", "is not asked for"])
def test_what_was_let_go_and_another_finished_counts_no_more(
    tmp_path: Path, scan: Attachment, monkeypatch: pytest.MonkeyPatch, again: str
) -> None:
    monkeypatch.setattr("hub.files.room.MAX_UPLOADS_PER_FACILITY", 1)
    one, other = store(tmp_path / "files"), store(tmp_path / "files")
    scan.open(one)
    one.let_go(LABO, ID)
    scan.store(other)
    if again == "is read":
        assert one.read(LABO, ID, 0, 5) == scan.chunks
    assert scan.open(one, attachment_id=bytes(16)) == 0
    assert len(list(one._room)) == 1


def test_what_another_has_removed_under_our_hand_counts_no_more(
    tmp_path: Path, scan: Attachment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process sweeps an upload that stands still; its node has a session here."""
    monkeypatch.setattr("hub.files.room.MAX_UPLOADS_PER_FACILITY", 1)
    one, other = store(tmp_path / "files"), store(tmp_path / "files")
    scan.open(one)
    other.delete(LABO, ID)
    assert scan.open(one, attachment_id=bytes(16)) == 0


def test_a_process_that_starts_while_another_finishes_an_upload(
    tmp_path: Path, scan: Attachment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was listed as an upload may be finished and renamed before it is looked at."""
    one = store(tmp_path / "files")
    scan.open(one)
    put(one, scan, 0, 5)
    counting = AttachmentFiles._reserve_found

    def finished_first(files: AttachmentFiles, path: Path) -> None:
        one.finish(LABO, ID)
        counting(files, path)

    monkeypatch.setattr(AttachmentFiles, "_reserve_found", finished_first)
    other = store(tmp_path / "files")
    assert other.read(LABO, ID, 0, 5) == scan.chunks
