"""One attachment's open file: an upload that grows, or a finished attachment that is read.

An upload's file is ``<key>.part``. ``append`` writes chunks and then their leaves, without any sync;
``sync`` makes all of it durable and only then answers a number that may be acknowledged; then it leaves a
*mark* of that number in the file. Opened again after a crash, what lies below the mark is trusted, what
lies above is compared with its leaves, and the tail from the first chunk that does not fit is cut off.
``finish`` compares the root over all leaves with the announced one, syncs, and renames to ``<key>.sealed``:
that rename is the moment at which the attachment exists.

Where several hub processes share a directory, an upload is locked while it is open: two that cut off and
append to the same file would leave a hole in it that no leaf tells of. A finished attachment never changes.

Not checked here: who may do what, and how much room there is (:mod:`hub.files.core`).
"""

import fcntl
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from crypto.filestream import HASH_BYTES, RootHash, leaf_hash
from hub.files.errors import BadChunk, BeingUploaded, Damaged, OutOfOrder, RootMismatch
from hub.files.layout import (
    HEADER_BYTES,
    LEAVES_OFFSET,
    MARK_BYTES,
    MARK_OFFSET,
    Header,
    decode_header,
    decode_mark,
    encode_mark,
)
from runtime import crash, disk

PART = ".part"
SEALED = ".sealed"

_LEAVES_PER_READ = 4_096


def _lock(descriptor: int, path: Path) -> None:
    """Have the upload alone until the file is closed, or this process dies; closes it if another has it.

    Or had it: between our opening and locking it may have become a finished attachment, or have gone.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        ours = os.path.samestat(os.fstat(descriptor), path.stat())
    except (BlockingIOError, FileNotFoundError):
        ours = False
    if not ours:
        os.close(descriptor)
        raise BeingUploaded(f"{path}: another hub process has this upload in hand; offer it again")


def is_free(descriptor: int) -> bool:
    """Return whether no other process has an upload in hand; it stays locked until it is closed here."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class AttachmentFile:
    """An open file; whoever makes one closes it. Not for several threads at once.

    ``next_chunk`` is the first chunk that is not stored, ``durable`` the first that is not durable.
    """

    def __init__(self, path: Path, descriptor: int, header: Header) -> None:
        self.path = path
        self.header = header
        self.next_chunk = 0
        self.durable = 0
        self.complete = path.suffix == SEALED
        self._descriptor = descriptor

    @classmethod
    def create(cls, path: Path, header: Header, *, shared: bool = False) -> "AttachmentFile":
        """Begin an upload; nothing of it is durable before the first :meth:`sync`.

        ``shared``: other processes use the directory; raises BeingUploaded if one has just begun the same.
        """
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if shared:
            _lock(descriptor, path)
        upload = cls(path, descriptor, header)
        try:
            os.ftruncate(descriptor, 0)
            disk.write_all(descriptor, [header.encode()], 0)
            disk.write_all(descriptor, [encode_mark(header.key, 0)], MARK_OFFSET)  # takes its room now
        except OSError:
            upload.close()
            path.unlink()
            raise
        return upload

    @classmethod
    def open(cls, path: Path, *, shared: bool = False) -> "AttachmentFile":
        """Open what is there; an upload is recovered. Raises FileNotFoundError, or Damaged.

        ``shared``: other processes use the directory; raises BeingUploaded if one has this upload open.
        """
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        if shared and path.suffix == PART:
            _lock(descriptor, path)
        header = decode_header(os.pread(descriptor, HEADER_BYTES, 0))
        if header is None or header.key.hex() != path.stem:
            os.close(descriptor)
            raise Damaged(f"{path}: the header is not what was written")
        file = cls(path, descriptor, header)
        try:
            file._check_length() if file.complete else file._recover()
        except BaseException:
            file.close()
            raise
        return file

    @property
    def gone(self) -> bool:
        """Whether the file was removed, by another process or by hand."""
        return os.fstat(self._descriptor).st_nlink == 0

    def append(self, first_index: int, chunks: Sequence[bytes]) -> None:
        """Store chunks that follow; those stored already are ignored. Raises OutOfOrder or BadChunk."""
        if first_index > self.next_chunk:
            raise OutOfOrder(f"{self._name}: chunk {first_index} came, {self.next_chunk} is the next one")
        new = chunks[self.next_chunk - first_index :]
        if not new:
            return
        header, first = self.header, self.next_chunk
        for index, chunk in enumerate(new, first):
            expected = header.chunk_end(index + 1) - header.chunk_end(index) if index < header.chunks else 0
            if len(chunk) != expected or not expected:
                raise BadChunk(
                    f"{self._name}: chunk {index} of {header.chunks} has {len(chunk)} bytes, not {expected}"
                )
        leaves = b"".join(leaf_hash(index, chunk) for index, chunk in enumerate(new, first))
        disk.write_all(self._descriptor, new, header.chunk_end(first))
        disk.write_all(self._descriptor, [leaves], LEAVES_OFFSET + first * HASH_BYTES)
        self.next_chunk += len(new)

    def sync(self) -> int:
        """Make everything stored durable and return :attr:`durable`; raises StorageFailed, once."""
        if self.durable < self.next_chunk:
            first = self.durable == 0
            disk.sync_file(self._descriptor, self.path)
            if first:
                disk.sync_directory(self.path.parent)
            crash.reached("attachment-synced")
            disk.write_all(self._descriptor, [encode_mark(self.header.key, self.next_chunk)], MARK_OFFSET)
            self.durable = self.next_chunk
        return self.durable

    def finish(self) -> None:
        """Make the upload a finished attachment, durably; raises OutOfOrder or RootMismatch."""
        if self.next_chunk < self.header.chunks:
            raise OutOfOrder(f"{self._name}: {self.next_chunk} of {self.header.chunks} chunks are there")
        root = RootHash()
        for leaf in self._leaves():
            root.add(leaf)
        if root.digest() != self.header.root:
            raise RootMismatch(
                f"{self._name}: the chunks are not the announced ones; send it again from chunk 0"
            )
        self.sync()
        crash.reached("attachment-checked")
        sealed = self.path.with_suffix(SEALED)
        os.rename(self.path, sealed)  # noqa: PTH104 - one system call is meant
        crash.reached("attachment-renamed")
        disk.sync_directory(sealed.parent)
        self.path, self.complete = sealed, True

    def read(self, first_index: int, count: int) -> list[bytes]:
        """Return up to ``count`` sealed chunks, each equal to its leaf; raises BadChunk, or Damaged."""
        last = min(first_index + count, self.header.chunks)
        if not 0 <= first_index < last:
            raise BadChunk(
                f"{self._name}: chunks {first_index} to {last} of {self.header.chunks} were asked for"
            )
        return [self._verified(index) for index in range(first_index, last)]

    def touch(self, now_ms: int) -> None:
        """Note when something last happened to it."""
        os.utime(self._descriptor, ns=(now_ms * 1_000_000, now_ms * 1_000_000))

    def close(self) -> None:
        """Let go of the file; what was not synced is not durable."""
        os.close(self._descriptor)

    @property
    def _name(self) -> str:
        return f"attachment {self.header.attachment_id.hex()} of {self.header.owner_facility}"

    def _check_length(self) -> None:
        length = os.fstat(self._descriptor).st_size
        if length != self.header.file_bytes:
            raise Damaged(f"{self.path}: {length} bytes long, should be {self.header.file_bytes}")
        self.next_chunk = self.durable = self.header.chunks

    def _recover(self) -> None:
        """Find out how far the upload had come, and cut off what is not whole."""
        header = self.header
        mark = decode_mark(header.key, os.pread(self._descriptor, MARK_BYTES, MARK_OFFSET))
        length = os.fstat(self._descriptor).st_size
        if mark > header.chunks or length < header.chunk_end(mark):
            mark = 0  # somebody cut the file: believe nothing
        self.durable = self.next_chunk = mark
        while self.next_chunk < header.chunks and self._chunk(self.next_chunk) is not None:
            self.next_chunk += 1
        if length > header.chunk_end(self.next_chunk):
            os.ftruncate(self._descriptor, header.chunk_end(self.next_chunk))

    def _verified(self, index: int) -> bytes:
        chunk = self._chunk(index)
        if chunk is None:
            raise Damaged(f"{self.path}: chunk {index} is not what was stored")
        return chunk

    def _chunk(self, index: int) -> bytes | None:
        """Return the chunk if it is whole and equal to its leaf."""
        start, end = self.header.chunk_end(index), self.header.chunk_end(index + 1)
        try:
            chunk = os.pread(self._descriptor, end - start, start)
            leaf = os.pread(self._descriptor, HASH_BYTES, LEAVES_OFFSET + index * HASH_BYTES)
        except OSError as error:
            raise Damaged(f"{self.path}: chunk {index} cannot be read: {error.strerror}") from error
        return chunk if len(chunk) == end - start and leaf_hash(index, chunk) == leaf else None

    def _leaves(self) -> Iterator[bytes]:
        for first in range(0, self.header.chunks, _LEAVES_PER_READ):
            count = min(_LEAVES_PER_READ, self.header.chunks - first)
            data = os.pread(self._descriptor, count * HASH_BYTES, LEAVES_OFFSET + first * HASH_BYTES)
            yield from (
                data[at : at + HASH_BYTES].ljust(HASH_BYTES, b"\0")
                for at in range(0, count * HASH_BYTES, HASH_BYTES)
            )
