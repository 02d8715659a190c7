"""The attachment store, blocking: who owns what, how much room there is, what is open, what is thrown away.

The files lie in 256 directories by the first byte of their key (:mod:`hub.files.layout`); each is an upload
(``.part``) or finished (``.sealed``), see :mod:`hub.files.upload`. Beside them ``quarantine/`` keeps what
turned out damaged, for a person to look at; it is never read again.

Promised: what :meth:`AttachmentFiles.sync` or :meth:`~AttachmentFiles.finish` returned survives a power
cut; a chunk that is read equals the one that came; an upload is refused at its beginning if it would not
fit, counting what the other unfinished ones were promised; memory does not grow with the size of anything.

Not promised: safety in several threads at once. Use one (:mod:`hub.files.store`). After a StorageFailed every
call raises StorageFailed: the process has to end.
"""

import os
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hub.files.errors import (
    AttachmentMissing,
    BadChunk,
    BeingUploaded,
    Conflict,
    Damaged,
    RootMismatch,
    TooManyUploads,
)
from hub.files.layout import HEADER_BYTES, KEY_BYTES, Header, check_header, decode_header, storage_key
from hub.files.room import Room
from hub.files.upload import PART, SEALED, AttachmentFile, is_free
from runtime import disk
from runtime.storage_errors import StorageFailed, StorageFull

MAX_OPEN_FILES = 128
MAX_CHUNKS_PER_CALL = 64
"""Chunks in one append or read: 4 MiB of memory."""
FLOOR_BYTES = 1 << 30
"""Disk space that uploads never use: it belongs to the database and the logs."""
QUARANTINE = "quarantine"

_BLOCK_BYTES = 512
"""The unit of ``st_blocks``."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One file of the store, as found on disk."""

    key: bytes
    """``layout.storage_key`` of its owner and id."""
    complete: bool
    size_bytes: int
    """Length of the file, not of the attachment."""
    age_ms: int
    """Since the last sync, or since the finished one was last asked after; 0 if the clock went back."""


class AttachmentFiles:
    """The store in ``directory``, which is made if missing.

    One at a time may be open on it, unless all are ``shared``: then an upload is with one of them at a time.
    ``now_ms`` is the wall clock. Raises StorageError if the directory cannot be used.
    """

    def __init__(
        self,
        directory: Path,
        *,
        now_ms: Callable[[], int],
        floor_bytes: int = FLOOR_BYTES,
        max_open: int = MAX_OPEN_FILES,
        shared: bool = False,
    ) -> None:
        self._shared = shared
        self._directory = directory
        self._now_ms = now_ms
        self._max_open = max_open
        self._open: OrderedDict[bytes, AttachmentFile] = OrderedDict()
        self._room = Room(directory, floor_bytes)
        self._failure: StorageFailed | None = None
        with self._guarded():
            (directory / QUARANTINE).mkdir(mode=0o700, parents=True, exist_ok=True)
            for first_byte in range(256):
                (directory / f"{first_byte:02x}").mkdir(mode=0o700, exist_ok=True)
            disk.sync_directory(directory)
            disk.sync_directory(directory.parent)  # or a power cut takes the whole store away
            for path in list(self._paths(PART)):
                self._reserve_found(path)

    def open_upload(self, owner_facility: str, attachment_id: bytes, size_bytes: int, root: bytes) -> int:
        """Begin an upload, or go on with one; returns the next chunk to send, all before it being durable.

        The chunk count means: finished, or all there and only :meth:`finish` is missing. Raises Conflict if
        the id was announced with another size or root, TooManyUploads, StorageFull, BadChunk for bounds.
        """
        header = Header(owner_facility, attachment_id, size_bytes, root)
        check_header(header)
        with self._guarded():
            file = self._find(header.key) or self._create(header)
            if file.header != header:
                raise Conflict(
                    f"attachment {attachment_id.hex()} of {owner_facility} was announced before with"
                    f" {file.header.size_bytes} bytes, now with {size_bytes}, or with another root"
                )
            if file.complete:
                file.touch(self._now_ms())
                return file.next_chunk
            return self._sync(file)

    def append(
        self, owner_facility: str, attachment_id: bytes, first_index: int, chunks: Sequence[bytes]
    ) -> int:
        """Store sealed chunks that follow each other; returns the next chunk expected. Not durable yet.

        Chunks already stored are ignored, whatever they hold. Raises OutOfOrder for a gap, BadChunk for a
        wrong length, a negative index or more than MAX_CHUNKS_PER_CALL, AttachmentMissing, StorageFull
        (nothing stored).
        """
        if first_index < 0 or len(chunks) > MAX_CHUNKS_PER_CALL:
            raise BadChunk(
                f"{len(chunks)} chunks from {first_index}: at most {MAX_CHUNKS_PER_CALL} from 0 up"
            )
        with self._guarded():
            file = self._get(owner_facility, attachment_id)
            if not file.complete:
                file.append(first_index, chunks)
                self._promise(file)
            return file.next_chunk

    def sync(self, owner_facility: str, attachment_id: bytes) -> int:
        """Make stored chunks durable; returns the next one expected: those before it may be acknowledged."""
        with self._guarded():
            return self._sync(self._get(owner_facility, attachment_id))

    def finish(self, owner_facility: str, attachment_id: bytes) -> None:
        """Check the whole and make it a finished attachment, durably; again is no error.

        Raises OutOfOrder if chunks are missing; RootMismatch if they are not the announced ones: then the
        upload is discarded and the sender may start over.
        """
        with self._guarded():
            file = self._get(owner_facility, attachment_id)
            if file.complete:
                return
            key = file.header.key
            try:
                file.finish()
            except RootMismatch:
                self._remove(key)
                raise
            file.touch(self._now_ms())
            self._room.forget(key)

    def read(self, owner_facility: str, attachment_id: bytes, first_index: int, count: int) -> list[bytes]:
        """Return sealed chunks of a finished attachment, fewer than ``count`` at its end; each was verified.

        Raises Damaged if one is not what was stored: the file is in quarantine then, and missing from now on.
        """
        if not 0 < count <= MAX_CHUNKS_PER_CALL:
            raise BadChunk(f"{count} chunks were asked for: 1 to {MAX_CHUNKS_PER_CALL} at a time")
        with self._guarded():
            file = self._get(owner_facility, attachment_id)
            if not file.complete:
                raise AttachmentMissing(
                    f"attachment {attachment_id.hex()} of {owner_facility} is not finished"
                )
            try:
                return file.read(first_index, count)
            except Damaged:
                self._quarantine(file.path, file.header.key)
                raise

    def has(self, owner_facility: str, attachment_id: bytes, size_bytes: int, root: bytes) -> bool:
        """Return whether this very attachment is here, finished. The root alone says nothing of the size.

        Then it is young again: :meth:`sweep` leaves it to the message that is being accepted now.
        """
        header = Header(owner_facility, attachment_id, size_bytes, root)
        with self._guarded():
            try:
                file = self._find(header.key)
            except BeingUploaded:
                return False
            if file is None or not file.complete or file.header != header:
                return False
            file.touch(self._now_ms())
            return True

    def let_go(self, owner_facility: str, attachment_id: bytes) -> None:
        """Close an unfinished upload, synced: its node may go on with it at another process.

        It keeps what it was promised: nobody asks again when it goes on here.
        """
        with self._guarded():
            file = self._open.get(storage_key(owner_facility, attachment_id))
            if file is not None and not file.complete:
                self._sync(file)
                file.close()
                del self._open[file.header.key]

    def delete(self, owner_facility: str, attachment_id: bytes) -> bool:
        """Remove the attachment, finished or not; returns whether it was there. A power cut may revive it."""
        with self._guarded():
            return self._remove(storage_key(owner_facility, attachment_id))

    def files(self) -> Iterator[StoredFile]:
        """Yield every upload and finished attachment on disk, in no order."""
        now_ms = self._now_ms()
        for path in self._paths(PART, SEALED):
            try:
                found = path.stat()
            except FileNotFoundError:
                continue  # removed while we look
            age_ms = max(0, now_ms - found.st_mtime_ns // 1_000_000)
            yield StoredFile(bytes.fromhex(path.stem), path.suffix == SEALED, found.st_size, age_ms)

    def sweep(self, keep: AbstractSet[bytes], older_than_ms: int) -> list[StoredFile]:
        """Remove what is older than that and whose storage key is not in ``keep``; returns what was removed.

        The age protects what was uploaded, offered or asked after since ``keep`` was collected: let it be
        far longer than that takes.
        """
        removed = []
        with self._guarded():
            for file in self.files():
                old = file.age_ms > older_than_ms and file.key not in keep
                if old and self._remove(file.key):
                    removed.append(file)
        return removed

    def room_bytes(self) -> int:
        """Return how much more could be announced now: free space less the floor and what was promised."""
        return self._room.left_bytes()

    def close(self) -> None:
        """Sync and close every open file."""
        with self._guarded():
            while self._open:
                self._evict()

    def _create(self, header: Header) -> AttachmentFile:
        try:
            self._room.check(header)
        except (TooManyUploads, StorageFull):
            if not self._shared:
                raise
            self._forget_ended()
            self._room.check(header)
        file = AttachmentFile.create(self._path(header.key, PART), header, shared=self._shared)
        self._keep_open(file)
        self._promise(file)
        return file

    def _promise(self, file: AttachmentFile) -> None:
        header = file.header
        self._room.promise(
            header.key, header.owner_facility, header.file_bytes - header.chunk_end(file.next_chunk)
        )

    def _forget_ended(self) -> None:
        """Count no more what other processes have finished or removed."""
        for key in self._room:
            if not self._path(key, PART).exists():
                self._room.forget(key)

    def _get(self, owner_facility: str, attachment_id: bytes) -> AttachmentFile:
        file = self._find(storage_key(owner_facility, attachment_id))
        if file is None:
            raise AttachmentMissing(f"no attachment {attachment_id.hex()} of {owner_facility}")
        return file

    def _find(self, key: bytes) -> AttachmentFile | None:
        """Return the file, opened if need be; a damaged one goes to quarantine."""
        if key in self._open:
            if not (self._shared and self._open[key].gone):
                self._open.move_to_end(key)
                return self._open[key]
            self._forget(key)
        for suffix in (SEALED, PART):
            path = self._path(key, suffix)
            try:
                file = AttachmentFile.open(path, shared=self._shared)
            except FileNotFoundError:
                continue
            except Damaged:
                self._quarantine(path, key)
                raise
            self._keep_open(file)
            if not file.complete:  # another process may have begun it
                self._promise(file)
            return file
        return None

    def _keep_open(self, file: AttachmentFile) -> None:
        while len(self._open) >= self._max_open:
            self._evict()
        self._open[file.header.key] = file

    def _evict(self) -> None:
        """Close the file that was not used for longest; synced, or a write error might never be reported."""
        key, file = next(iter(self._open.items()))
        file.sync()
        file.close()
        del self._open[key]

    def _sync(self, file: AttachmentFile) -> int:
        durable = file.sync()
        if not file.complete:
            file.touch(self._now_ms())
        return durable

    def _remove(self, key: bytes) -> bool:
        self._forget(key)
        found = False
        for suffix in (PART, SEALED):
            try:
                self._path(key, suffix).unlink()
            except FileNotFoundError:
                continue
            found = True
        return found

    def _forget(self, key: bytes) -> None:
        self._room.forget(key)
        file = self._open.pop(key, None)
        if file is not None:
            file.close()

    def _quarantine(self, path: Path, key: bytes) -> None:
        self._forget(key)
        aside = self._directory / QUARANTINE / f"{path.stem}-{self._now_ms()}{path.suffix}"
        try:
            path.rename(aside)
        except FileNotFoundError:
            return  # another process was faster
        disk.sync_directory(aside.parent)
        disk.sync_directory(path.parent)

    def _reserve_found(self, path: Path) -> None:
        """Count an upload that a former process left; one without a header was never acknowledged."""
        try:
            file = path.open("rb")
        except FileNotFoundError:
            return  # another process has just finished it, or removed it
        with file:
            if self._shared and not is_free(file.fileno()):
                return  # another process has it, and counts it
            data = file.read(HEADER_BYTES)
            found = os.fstat(file.fileno())
            header, key = decode_header(data), bytes.fromhex(path.stem)
            if header is not None and header.key == key:
                remaining = max(0, header.file_bytes - found.st_blocks * _BLOCK_BYTES)
                self._room.promise(key, header.owner_facility, remaining)
            elif any(data):
                self._quarantine(path, key)
            else:
                path.unlink(missing_ok=True)

    def _path(self, key: bytes, suffix: str) -> Path:
        name = key.hex()
        return self._directory / name[:2] / (name + suffix)

    def _paths(self, *suffixes: str) -> Iterator[Path]:
        for first_byte in range(256):
            with os.scandir(self._directory / f"{first_byte:02x}") as entries:
                for entry in entries:
                    path = Path(entry.path)
                    if path.suffix in suffixes and len(path.stem) == 2 * KEY_BYTES:
                        yield path

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Say errors of the system in our own words, and let nothing happen after a failed disk."""
        if self._failure is not None:
            raise StorageFailed(
                f"the attachment store failed before, nothing is tried again: {self._failure}"
            )
        try:
            with disk.saying(self._directory):
                yield
        except StorageFailed as failure:
            self._failure = failure
            raise
