"""Sealing at the door: every size, hostile names, files that change, full disks, what nobody owns."""

from __future__ import annotations

import io
import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError

from crypto import filestream
from crypto.primitives import blake2b
from nodes.link import files
from nodes.link.errors import NoRoom, Refused
from nodes.link.files import NAME_BYTES, OUTGOING, Prepared, Source, safe_name
from nodes.link.reading import plain_chunks, read_sealed, sealed_chunks
from protocols.link import limits
from runtime.home import free_bytes
from runtime.storage_errors import DatabaseLocked, StorageFailed
from tests.nodes.fixtures import EPOCH_MS, fail_syncs

CHUNK = filestream.CHUNK_BYTES


def source(content: bytes, name: str = "a.bin", size_bytes: int | None = None) -> Source:
    size_bytes = len(content) if size_bytes is None else size_bytes
    return Source(name, "application/octet-stream", io.BytesIO(content), size_bytes)


def prepare(home: Path, body: bytes = b"", *sources: Source) -> Prepared:
    return files.prepare(home, body, sources, floor_bytes=0)


def left(home: Path) -> list[str]:
    """Return what lies in outgoing/."""
    return [path.name for path in (home / OUTGOING).glob("*")]


@pytest.mark.parametrize(
    "size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK - 1, 2 * CHUNK, 2 * CHUNK + 1, 5 * CHUNK]
)
def test_sizes_around_the_chunk(tmp_path: Path, size: int) -> None:
    plain = os.urandom(size)
    prepared = prepare(tmp_path, b"body", source(plain))
    (file,) = prepared.files
    assert file.named is not None
    assert (file.ref.size, file.named.digest, prepared.body) == (size, blake2b(plain), b"body")
    path = tmp_path / file.path
    assert path.stat().st_size == filestream.sealed_size(size)
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_sealed(path, prepared.content_key, file.ref) == plain
    root = filestream.RootHash()
    for index, chunk in enumerate(sealed_chunks(path, 0, 100)):
        root.add(filestream.leaf_hash(index, chunk))
    assert root.digest() == file.ref.root


@pytest.mark.parametrize("size", [0, 1, limits.INLINE_BODY_BYTES])
def test_a_small_body_stays_inside_and_touches_no_disk(tmp_path: Path, size: int) -> None:
    prepared = prepare(tmp_path, b"b" * size)
    assert (prepared.body, prepared.body_outside, prepared.files) == (b"b" * size, False, ())
    assert not (tmp_path / OUTGOING).exists()


@pytest.mark.parametrize("size", [limits.INLINE_BODY_BYTES + 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_a_large_body_is_the_first_file(tmp_path: Path, size: int) -> None:
    body = os.urandom(size)
    prepared = prepare(tmp_path, body, source(b"x"))
    first, second = prepared.files
    assert (prepared.body, prepared.body_outside, prepared.body_digest) == (b"", True, blake2b(body))
    assert (first.named is None, second.named is None) == (True, False)
    assert read_sealed(tmp_path / first.path, prepared.content_key, first.ref) == body


def test_nothing_plain_reaches_the_disk(tmp_path: Path) -> None:
    prepared = prepare(tmp_path, b"", source(b"SECRET" * 50_000, "SECRET.txt"))
    data = (tmp_path / prepared.files[0].path).read_bytes()
    assert b"SECRET" not in data
    assert "SECRET" not in prepared.files[0].path


def test_two_files_of_one_content_share_nothing(tmp_path: Path) -> None:
    prepared = prepare(tmp_path, b"", source(b"x" * 100), source(b"x" * 100))
    one, two = prepared.files
    assert one.ref.id != two.ref.id
    assert (tmp_path / one.path).read_bytes() != (tmp_path / two.path).read_bytes()


def test_progress_tells_every_plain_byte(tmp_path: Path) -> None:
    told: list[int] = []
    files.prepare(tmp_path, b"", [source(b"x" * (CHUNK + 7))], floor_bytes=0, progress=told.append)
    assert told == [CHUNK, 7]


# ── files that change while they are read ──────────────────────────────────────────────────


@pytest.mark.parametrize("real", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
@pytest.mark.parametrize("claimed", [0, 1, CHUNK, CHUNK + 1, 2 * CHUNK, 4 * CHUNK])
def test_a_file_of_another_size_is_refused(tmp_path: Path, real: int, claimed: int) -> None:
    if real == claimed:
        return
    with pytest.raises(Refused, match=r"'a.bin' changed its size") as caught:
        prepare(tmp_path, b"", source(b"good"), source(b"x" * real, size_bytes=claimed))
    assert caught.value.code == "file-changed"
    assert left(tmp_path) == []


class _Failing(io.BytesIO):
    def read(self, size: int | None = -1) -> bytes:
        del size
        raise OSError(5, "Input/output error")


def test_a_file_that_cannot_be_read_leaves_nothing(tmp_path: Path) -> None:
    broken = Source("b", "text/plain", _Failing(), 10)
    with pytest.raises(OSError, match="Input/output"):
        prepare(tmp_path, b"", source(b"good"), broken)
    assert left(tmp_path) == []


@pytest.mark.parametrize("call", ["fdatasync", "fsync"])
@pytest.mark.parametrize("body", [b"", b"b" * (limits.INLINE_BODY_BYTES + 1)])
def test_a_failed_sync_seals_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, body: bytes
) -> None:
    prepare(tmp_path, b"", source(b"before"))
    before = left(tmp_path)
    fail_syncs(monkeypatch, call)
    with pytest.raises(StorageFailed, match=call):
        prepare(tmp_path, body, source(b"x"))
    assert left(tmp_path) == before


class _Short(io.BytesIO):
    """A pipe or a network file: each read may bring less than was asked for."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(min(1_000, size or 0))


def test_a_stream_that_reads_short_is_sealed_whole(tmp_path: Path) -> None:
    plain = os.urandom(2 * CHUNK + 5)
    prepared = prepare(tmp_path, b"", Source("a", "text/plain", _Short(plain), len(plain)))
    (file,) = prepared.files
    assert read_sealed(tmp_path / file.path, prepared.content_key, file.ref) == plain


# ── bounds ─────────────────────────────────────────────────────────────────────────────────


def test_33_files_are_refused(tmp_path: Path) -> None:
    many = [source(b"") for _ in range(limits.ATTACHMENTS + 1)]
    with pytest.raises(Refused) as caught:
        prepare(tmp_path, b"", *many)
    assert caught.value.code == "too-many-files"
    assert len(prepare(tmp_path, b"", *many[1:]).files) == limits.ATTACHMENTS


def test_a_file_over_the_bound_is_refused_unread(tmp_path: Path) -> None:
    with pytest.raises(Refused) as caught:
        prepare(tmp_path, b"", source(b"", size_bytes=limits.ATTACHMENT_MAX_BYTES + 1))
    assert caught.value.code == "too-large"


def test_no_room_is_said_before_anything_is_written(tmp_path: Path) -> None:
    free = free_bytes(tmp_path)
    with pytest.raises(NoRoom, match="make room on this disk") as caught:
        files.prepare(tmp_path, b"", [source(b"x")], floor_bytes=2 * free)
    assert caught.value.code == "no-room"
    with pytest.raises(NoRoom):
        prepare(tmp_path, b"", source(b"", size_bytes=2 * free))
    with pytest.raises(NoRoom):
        files.prepare(tmp_path, b"tiny", floor_bytes=2 * free)
    assert left(tmp_path) == []


# ── names ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("scan.dcm", "scan.dcm"),
        ("تقرير.pdf", "تقرير.pdf"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("/etc/passwd", "_etc_passwd"),
        ("..", "file"),
        (".", "file"),
        ("", "file"),
        ("   ", "file"),
        (".bashrc", "bashrc"),
        (". ./x", "_x"),
        ("a\0b\nc\x1b[31m", "a_b_c_[31m"),
        ("C:\\x\\y.txt", "C__x_y.txt"),
        ("evil\u202efdp.exe", "evil_fdp.exe"),
        ("a\udcffb", "a_b"),
        ("x" * 300 + ".dcm", "x" * (NAME_BYTES - 4) + ".dcm"),
        ("x." + "y" * 300, "x." + "y" * (NAME_BYTES - 2)),
    ],
)
def test_hostile_names(name: str, safe: str) -> None:
    assert safe_name(name) == safe


@given(st.text(max_size=400))
def test_every_name_becomes_harmless_and_stays_so(name: str) -> None:
    safe = safe_name(name)
    assert 1 <= len(safe.encode("utf-8")) <= NAME_BYTES
    assert not safe.startswith(".")
    assert not set(safe) & set('/\\\0:*?"<>|')
    assert safe.isprintable()
    assert safe_name(safe) == safe


def test_a_name_of_a_megabyte_is_cut_at_once() -> None:
    began_s = time.perf_counter()
    assert len(safe_name("é" * 1_000_000).encode()) <= NAME_BYTES
    assert time.perf_counter() - began_s < 2


# ── what nobody owns ───────────────────────────────────────────────────────────────────────


def _age(path: Path, seconds: float) -> None:
    then_s = EPOCH_MS / 1000 - seconds
    os.utime(path, (then_s, then_s))


def test_orphans_are_old_and_owned_by_nobody(tmp_path: Path) -> None:
    prepared = prepare(tmp_path, b"", source(b"owned"), source(b"old"), source(b"young"))
    owned, old, young = (tmp_path / file.path for file in prepared.files)
    _age(owned, 100)
    _age(old, 100)
    _age(young, 40)
    found = files.orphans(tmp_path, OUTGOING, {prepared.files[0].path}, now_ms=EPOCH_MS, older_than_s=50)
    assert found == [old]
    assert young.exists()


def test_no_directory_has_no_orphans(tmp_path: Path) -> None:
    assert files.orphans(tmp_path, OUTGOING, set(), now_ms=EPOCH_MS, older_than_s=0) == []


def test_discard_takes_only_what_is_named(tmp_path: Path) -> None:
    prepared = prepare(tmp_path, b"", source(b"1"), source(b"2"))
    files.discard(tmp_path, prepared.files[:1])
    files.discard(tmp_path, prepared.files[:1])
    assert left(tmp_path) == [Path(prepared.files[1].path).name]


@pytest.mark.parametrize(
    ("error", "stay"),
    [
        (Refused("too-long", "x"), False), (DatabaseLocked("x"), False), (StorageFailed("EIO"), True),
        (KeyboardInterrupt(), True), (SystemExit(1), True), (CancelledError(), True), (None, True),
    ],
)  # fmt: skip
def test_files_stay_unless_their_message_was_certainly_refused(
    tmp_path: Path, error: BaseException | None, stay: bool
) -> None:
    prepared = prepare(tmp_path, b"", source(b"1"), source(b"2"))

    def put() -> None:
        with files.discarded_if_refused(tmp_path, prepared.files, unsure=(CancelledError,)):
            if error is not None:
                raise error

    if error is None:
        put()
    else:
        with pytest.raises(type(error)):
            put()
    assert len(left(tmp_path)) == (2 if stay else 0)


# ── reading back ───────────────────────────────────────────────────────────────────────────


def test_a_damaged_sealed_file_is_found_out(tmp_path: Path) -> None:
    from crypto.errors import DecryptionFailed  # noqa: PLC0415 - only here

    prepared = prepare(tmp_path, b"", source(os.urandom(2 * CHUNK)))
    (file,) = prepared.files
    path = tmp_path / file.path
    data = bytearray(path.read_bytes())
    data[CHUNK + 40] ^= 1
    path.write_bytes(data)
    with pytest.raises(DecryptionFailed):
        list(plain_chunks(path, prepared.content_key, file.ref))
    path.write_bytes(data[: CHUNK // 2])
    with pytest.raises(DecryptionFailed):
        list(plain_chunks(path, prepared.content_key, file.ref))


def test_sealed_chunks_are_read_from_anywhere(tmp_path: Path) -> None:
    prepared = prepare(tmp_path, b"", source(os.urandom(3 * CHUNK + 1)))
    path = tmp_path / prepared.files[0].path
    every = sealed_chunks(path, 0, 10)
    assert [len(chunk) for chunk in every] == [CHUNK + 16] * 3 + [17]
    assert sealed_chunks(path, 2, 1) == every[2:3]
    assert sealed_chunks(path, 3, 5) == every[3:]
    assert sealed_chunks(path, 4, 5) == []
