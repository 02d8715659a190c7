"""An attachment on its way to disk: resumed after any byte, whole or not at all."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from crypto import filestream, sealing
from crypto.errors import DecryptionFailed
from crypto.primitives import blake2b
from nodes.link.fetching import LeftoverDamaged, PlainFile
from nodes.link.opening import Rejected
from protocols.link.envelope import AttachmentRef
from runtime.storage_errors import StorageError, StorageFailed, StorageFull
from tests.nodes.fixtures import fail_syncs
from tests.nodes.link.letters import Attached, attach

CHUNK = filestream.CHUNK_BYTES
KEY = sealing.ContentKey(b"\x09" * 32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "incoming" / "ab-0"


@contextmanager
def opened(path: Path, one: Attached, ref: AttachmentRef | None = None) -> Iterator[PlainFile]:
    file = PlainFile(path, ref or one.ref, sealing.attachment_key(KEY, one.ref.id))
    try:
        yield file
    finally:
        file.close()


def fetched(path: Path, one: Attached) -> bytes:
    """Do what a download does; returns the digest."""
    with opened(path, one) as file:
        first = file.recover()
        file.write(one.chunks[first:])
        return file.finish()


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_a_file_is_brought_whole(path: Path, size: int) -> None:
    one = attach(KEY, os.urandom(size))
    assert fetched(path, one) == blake2b(one.plain)
    assert path.read_bytes() == one.plain
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "left", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK - 1, 2 * CHUNK, 2 * CHUNK + 7, 2 * CHUNK + 100]
)
def test_it_is_taken_up_after_any_number_of_bytes(path: Path, left: int) -> None:
    """A crash may leave any length; at most one chunk is sent again, and the whole is still checked."""
    one = attach(KEY, os.urandom(2 * CHUNK + 100))
    path.parent.mkdir()
    path.write_bytes(one.plain[:left])
    with opened(path, one) as file:
        first = file.recover()
        assert first == min(left // CHUNK, 2)
        assert (file.next, file.total) == (first, 3)
        assert path.stat().st_size == first * CHUNK
        assert file.write(one.chunks[first:]) == 3
        assert file.finish() == blake2b(one.plain)
    assert path.read_bytes() == one.plain


def test_a_file_that_was_complete_is_checked_again(path: Path) -> None:
    one = attach(KEY, os.urandom(2 * CHUNK))
    fetched(path, one)
    with opened(path, one) as file:
        assert file.recover() == 1
        file.write(one.chunks[1:])
        assert file.finish() == blake2b(one.plain)


def test_bytes_beyond_the_end_are_cut(path: Path) -> None:
    one = attach(KEY, b"short")
    path.parent.mkdir()
    path.write_bytes(b"z" * (3 * CHUNK))
    assert fetched(path, one) == blake2b(b"short")
    assert path.read_bytes() == b"short"


def test_a_damaged_leftover_is_not_the_senders_fault(path: Path) -> None:
    """After a power cut a length may be there without its bytes: fetch anew, do not return the message."""
    one = attach(KEY, os.urandom(3 * CHUNK))
    path.parent.mkdir()
    path.write_bytes(one.plain[:CHUNK] + bytes(CHUNK))
    with opened(path, one) as file:
        first = file.recover()
        file.write(one.chunks[first:])
        with pytest.raises(LeftoverDamaged):
            file.finish()
        file.discard()
    assert fetched(path, one) == blake2b(one.plain)


def test_a_wrong_root_is_the_senders_fault(path: Path) -> None:
    one = attach(KEY, os.urandom(CHUNK + 1))
    with opened(path, one, msgspec.structs.replace(one.ref, root=bytes(32))) as file:
        file.recover()
        file.write(one.chunks)
        with pytest.raises(Rejected) as caught:
            file.finish()
    assert (caught.value.code, caught.value.alarming) == ("bad-attachment", True)


def test_a_file_that_ends_early_has_another_root(path: Path) -> None:
    one = attach(KEY, os.urandom(3 * CHUNK))
    with opened(path, one) as file:
        file.recover()
        file.write(one.chunks[:2])
        with pytest.raises(Rejected):
            file.finish()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda chunks: [chunks[0][:-1], *chunks[1:]],
        lambda chunks: [bytes(len(chunks[0])), *chunks[1:]],
        lambda chunks: [chunks[1], chunks[0], chunks[2]],
        lambda chunks: [chunks[0], chunks[0]],
        lambda chunks: [chunks[2]],
        lambda _chunks: [b""],
        lambda chunks: [chunks[0] + b"\0"],
    ],
)
def test_a_chunk_that_is_not_this_one_is_not_written(path: Path, spoil: object) -> None:
    one = attach(KEY, os.urandom(3 * CHUNK))
    with opened(path, one) as file:
        file.recover()
        with pytest.raises(DecryptionFailed):
            file.write(spoil(one.chunks))  # type: ignore[operator]  # a lambda above
    assert one.plain.startswith(path.read_bytes())


def test_a_chunk_of_another_attachment_is_not_written(path: Path) -> None:
    one, other = attach(KEY, b"x" * 100), attach(KEY, b"x" * 100)
    with opened(path, one) as file:
        file.recover()
        with pytest.raises(DecryptionFailed):
            file.write(other.chunks)


def test_a_disk_that_fills_in_the_middle_of_a_chunk_is_said(path: Path) -> None:
    """A nearly full disk writes a part and reports no error: the part must not pass for the whole."""
    one = attach(KEY, os.urandom(CHUNK + 1_000))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with opened(path, one) as file:
        file.recover()
        resource.setrlimit(resource.RLIMIT_FSIZE, (CHUNK + 500, hard))
        try:
            with pytest.raises(StorageFull, match="File too large"):
                file.write(one.chunks)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert fetched(path, one) == blake2b(one.plain)


@pytest.mark.parametrize("call", ["fdatasync", "fsync"])
def test_a_failed_sync_is_no_end_of_a_file(path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    one = attach(KEY, os.urandom(CHUNK + 1))
    with opened(path, one) as file:
        file.recover()
        file.write(one.chunks)
        fail_syncs(monkeypatch, call)
        with pytest.raises(StorageFailed, match=call):
            file.finish()


def test_an_old_leftover_is_in_use_again(path: Path) -> None:
    """Housekeeping removes what was left alone for a week; what is being fetched is not."""
    one = attach(KEY, os.urandom(2 * CHUNK))
    path.parent.mkdir()
    path.write_bytes(one.plain[:CHUNK])
    os.utime(path, (0, 0))
    with opened(path, one) as file:
        file.recover()
        assert path.stat().st_mtime > 1_000_000


def test_a_link_in_the_place_of_the_file_is_not_followed(path: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").write_bytes(b"precious")
    path.parent.mkdir()
    path.symlink_to(tmp_path / "precious")
    with opened(path, attach(KEY, b"x")) as file, pytest.raises(StorageError, match="symbolic"):
        file.recover()
    assert (tmp_path / "precious").read_bytes() == b"precious"


def test_discard_and_close_may_come_twice(path: Path) -> None:
    with opened(path, attach(KEY, b"x")) as file:
        file.recover()
        for _ in range(2):
            file.discard()
            file.close()
    assert not path.exists()
