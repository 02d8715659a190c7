"""An attachment as it arrives, and the store as the next process finds it."""

import os
import random
from pathlib import Path

import pytest

from crypto.filestream import CHUNK_BYTES, SEALED_CHUNK_BYTES, RootHash, chunk_count, leaf_hash, sealed_size
from hub.files.core import AttachmentFiles
from hub.files.layout import Header, storage_key
from runtime import disk

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


def descriptors_below(directory: Path) -> list[int]:
    links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    return [int(link.name) for link in links if link.resolve().is_relative_to(directory)]


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
