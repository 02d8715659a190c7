"""A backup's file: what was written comes out, and nothing that was changed, cut or exchanged does."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto import recovery
from crypto.filestream import CHUNK_BYTES, SEALED_CHUNK_BYTES
from crypto.keys import LinkPrivateKey, SealingPrivateKey
from runtime.backup.archive import (
    ArchiveWriter,
    BackupError,
    Beginning,
    Manifest,
    read_archive,
    read_beginning,
)

KEEPER = SealingPrivateKey(bytes(range(32)))
HOME = LinkPrivateKey(bytes(range(1, 33)))
CONTENT_KEY = bytes(range(2, 34))
SEAL_KEY = recovery.seal_key_of_home(HOME, KEEPER.public)
BEGINNING = Beginning("hub", "hub", 1, "test", KEEPER.fingerprint(), bytes(HOME.public), b"wrapped")


class Kept:
    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self._path = ""

    def begin(self, path: str) -> None:
        self._path = path
        self.files[path] = b""

    def data(self, piece: bytes) -> None:
        self.files[self._path] += piece

    def end(self) -> None:
        pass


def written(files: dict[str, list[bytes]]) -> bytes:
    file = io.BytesIO()
    archive = ArchiveWriter(file, BEGINNING, CONTENT_KEY, SEAL_KEY)
    for path, pieces in files.items():
        archive.add(path, pieces)
    archive.finish(database="hub.db", engine="sqlite", schema="0001", rows={"spool": 3})
    return file.getvalue()


def read(data: bytes) -> tuple[Manifest, dict[str, bytes]]:
    file, kept = io.BytesIO(data), Kept()
    _, head = read_beginning(file)
    return read_archive(file, head, len(data), CONTENT_KEY, SEAL_KEY, kept), kept.files


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["hub.db", "keys", "a/b", "attachments/00/x.sealed"]),
        st.lists(st.sampled_from([b"", b"x", bytes(100), bytes(CHUNK_BYTES - 7), bytes(CHUNK_BYTES + 1)])),
    )
)
def test_what_was_written_comes_out(files: dict[str, list[bytes]]) -> None:
    manifest, found = read(written(files))
    assert found == {path: b"".join(pieces) for path, pieces in files.items()}
    assert manifest.rows == {"spool": 3}
    assert [one.path for one in manifest.files] == list(files)


def test_every_changed_byte_is_found() -> None:
    data = written({"hub.db": [bytes(300)], "keys": [b"secret"]})
    for place in range(0, len(data), 7):
        spoiled = bytearray(data)
        spoiled[place] ^= 1
        with pytest.raises(BackupError):
            read(bytes(spoiled))


def test_every_cut_is_found() -> None:
    data = written({"hub.db": [bytes(CHUNK_BYTES * 2)]})
    for length in [*range(0, 300, 13), len(data) - SEALED_CHUNK_BYTES, len(data) - 33, len(data) - 1]:
        with pytest.raises(BackupError):
            read(data[:length])
    with pytest.raises(BackupError):
        read(data + b"\0")


def test_two_chunks_do_not_change_places() -> None:
    data = written({"hub.db": [bytes(CHUNK_BYTES * 3)]})
    _, head = read_beginning(io.BytesIO(data))
    at = len(head)
    first, second = (
        data[at : at + SEALED_CHUNK_BYTES],
        data[at + SEALED_CHUNK_BYTES : at + 2 * SEALED_CHUNK_BYTES],
    )
    with pytest.raises(BackupError, match="chunk 0"):
        read(head + second + first + data[at + 2 * SEALED_CHUNK_BYTES :])


def test_somebody_who_has_only_the_public_key_makes_no_backup() -> None:
    """The content key opens it, but the seal is not that of the home which it names."""
    file = io.BytesIO()
    forger = LinkPrivateKey(bytes(32))
    archive = ArchiveWriter(file, BEGINNING, CONTENT_KEY, recovery.seal_key_of_home(forger, KEEPER.public))
    archive.finish(database="hub.db", engine="sqlite", schema="0001", rows={})
    with pytest.raises(BackupError, match="somebody else"):
        read(file.getvalue())


@pytest.mark.parametrize("path", ["/etc/passwd", "../keys", "a/../../b", "", "a//b", "./a", "a\0b"])
def test_no_path_leads_out_of_the_home(path: str) -> None:
    with pytest.raises(BackupError, match="no place in a home"):
        read(written({path: [b"x"]}))
