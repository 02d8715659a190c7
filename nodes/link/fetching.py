"""Attachments on their way in: WANT, CHUNK, and plain files under ``incoming/``.

Each chunk is opened the moment it comes (its tag proves that it is this chunk of this
attachment) and its plain bytes are written at their place; nothing larger than a window of
chunks is ever in memory. After a crash the file itself says how far it got: its whole
chunks are sealed again with the same key, which gives the very bytes that the hub holds,
so the root over all chunks is still checked at the end, and so is the digest of the plain
bytes that the sender signed. Only then, synced to disk, does the message get committed.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from crypto import filestream
from crypto.errors import CryptoError
from crypto.primitives import blake2b_stream
from crypto.sealing import attachment_key
from nodes.link.arrivals import StoredBody
from nodes.link.core import INCOMING, LinkCore
from nodes.link.files import own_directory, safe_name
from nodes.link.inbox import ReceivedFile
from nodes.link.opening import Opened, Rejected
from protocols.link import frames as f
from protocols.link import limits
from protocols.link.envelope import AttachmentRef
from protocols.link.errors import RemoteError
from runtime import crash, disk
from runtime.clock import sleep
from runtime.home import free_bytes
from runtime.logs import event
from runtime.storage_errors import StorageError
from runtime.tasks import spawn

if TYPE_CHECKING:
    from nodes.link.session import NodeSession

WANT_MORE_BELOW: Final = limits.CHUNK_WINDOW // 2
ROOM_RETRY_S: Final = 10.0

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Fetched:
    """The files of one message, on disk and durable; paths are relative to the home."""

    body_path: StoredBody | None
    files: tuple[ReceivedFile, ...]


class LeftoverDamaged(StorageError):  # noqa: N818 - past tense states the outcome
    """The part of a file that an earlier attempt left is not what was sent; it is fetched anew."""


class PlainFile:
    """One attachment being written; blocking, for a worker thread."""

    def __init__(self, path: Path, ref: AttachmentRef, key: bytes) -> None:
        self._path = path
        self._ref = ref
        self._total = filestream.chunk_count(ref.size)
        self._opener = filestream.ChunkOpener(key)
        self._sealer = filestream.ChunkSealer(key)
        self._root = filestream.RootHash()
        self._digest = blake2b_stream()
        self._next = 0
        self._recovered = 0
        self._descriptor = -1

    @property
    def next(self) -> int:
        """The first chunk that is not here yet."""
        return self._next

    @property
    def total(self) -> int:
        """How many chunks there are."""
        return self._total

    def recover(self) -> int:
        """Open, take up the whole chunks that an earlier attempt left, return the next to ask for."""
        with disk.saying(self._path):
            return self._recover()

    def _recover(self) -> int:
        own_directory(self._path.parent)
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        os.utime(self._descriptor)  # in use again: housekeeping takes only what was left alone for long
        size_bytes = os.fstat(self._descriptor).st_size
        whole = min(size_bytes // filestream.CHUNK_BYTES, self._total - 1)
        for index in range(whole):
            plain = os.pread(self._descriptor, filestream.CHUNK_BYTES, index * filestream.CHUNK_BYTES)
            self._count(index, plain, self._sealer.seal(index, False, plain))  # noqa: FBT003 - not the last
        os.ftruncate(self._descriptor, whole * filestream.CHUNK_BYTES)
        self._recovered = whole
        return self._next

    def write(self, chunks: list[bytes]) -> int:
        """Open and write the next chunks; raises CryptoError for one that is not authentic, StorageError."""
        first, last = self._next, self._total - 1
        plain = [self._opener.open(index, index == last, one) for index, one in enumerate(chunks, first)]
        with disk.saying(self._path):
            disk.write_all(self._descriptor, plain, first * filestream.CHUNK_BYTES)
        for index, (one, sealed) in enumerate(zip(plain, chunks, strict=True), first):
            self._count(index, one, sealed)
        return self._next

    def finish(self) -> bytes:
        """Check the whole and make it durable; returns the digest of the plain bytes.

        Raises Rejected if the sender signed another root, and LeftoverDamaged if that cannot be told
        because part of the file was here before: a power cut may have spoiled it. StorageFailed ends us.
        """
        if self._root.digest() != self._ref.root:
            if self._recovered:
                raise LeftoverDamaged(f"{self._path}: what an earlier attempt left is damaged")
            raise Rejected("bad-attachment", "the root over all chunks is another one", alarming=True)
        with disk.saying(self._path):
            disk.sync_file(self._descriptor, self._path)
            disk.sync_directory(self._path.parent)
        return self._digest.digest()

    def discard(self) -> None:
        """Remove the file."""
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _count(self, index: int, plain: bytes, sealed: bytes) -> None:
        self._root.add(filestream.leaf_hash(index, sealed))
        self._digest.update(plain)
        self._next = index + 1


@dataclass(slots=True)
class _Download:
    ref: AttachmentRef
    file: PlainFile
    done: Deferred[bytes]
    expected: int = 0
    until: int = 0
    waiting: list[bytes] = field(default_factory=list)
    running: bool = False


class Fetching:
    """The storing side of attachments in one session; ``limits.TRANSFERS`` at once."""

    def __init__(self, core: LinkCore, session: NodeSession) -> None:
        self._core = core
        self._session = session
        self._downloads: dict[bytes, _Download] = {}
        self._slots: list[Deferred[None]] = []
        self._gone: Callable[[], BaseException] | None = None

    async def fetch(self, opened: Opened) -> Fetched:
        """Bring all files of a message; raises Rejected if they are not what was signed.

        Not done if the session ends: the hub delivers again, and what is on disk counts.
        """
        envelope, content = opened.envelope, opened.content
        # Named after all that was signed: no other message can reach into a file that was delivered.
        stem = opened.digest.hex()
        names = [f"{INCOMING}/{stem}-{position}" for position in range(len(envelope.attachments))]
        missing = zip(envelope.attachments, names, strict=True)
        needed_bytes = sum(ref.size - _here_bytes(self._core.home / name, ref) for ref, name in missing)
        await self._room(needed_bytes, opened.remaining_ms / 1000)
        body_path: StoredBody | None = None
        files: list[ReceivedFile] = []
        for position, (ref, name) in enumerate(zip(envelope.attachments, names, strict=True)):
            digest = await self._one(ref, self._core.home / name, attachment_key(opened.content_key, ref.id))
            if envelope.body_outside and position == 0:
                body_path = StoredBody(name, digest)
                continue
            named = content.files[position - envelope.body_outside]
            if named.digest != digest:
                raise Rejected("bad-attachment", f"{named.name!r} is not what was signed", alarming=True)
            files.append(ReceivedFile(safe_name(named.name), named.media_type, ref.size, digest, name))
        return Fetched(body_path, tuple(files))

    async def _room(self, needed_bytes: int, remaining_s: float) -> None:
        """Wait until the disk has room, as long as the message has time: it stays at the hub meanwhile."""
        clock = self._core.clock
        until_s = clock.monotonic_s() + remaining_s
        while free_bytes(self._core.home) - needed_bytes < self._core.floor_bytes:
            if clock.monotonic_s() >= until_s:
                raise Rejected("expired", f"no room for {needed_bytes} bytes in time", alarming=False)
            event(_LOG, logging.WARNING, "no-room-for-attachment", needed_bytes=needed_bytes)
            await sleep(self._core.clock, ROOM_RETRY_S)
            if self._gone is not None:
                raise self._gone()

    async def _one(self, ref: AttachmentRef, path: Path, key: bytes) -> bytes:
        # Ids are the senders' choice: two of one id are fetched one after the other.
        while len(self._downloads) >= limits.TRANSFERS or ref.id in self._downloads:
            slot: Deferred[None] = Deferred()
            self._slots.append(slot)
            await slot
        if self._gone is not None:
            raise self._gone()
        worker = self._core.file_worker
        download = _Download(ref, PlainFile(path, ref, key), Deferred(), running=True)
        self._downloads[ref.id] = download
        try:
            download.expected = await worker.run(download.file.recover)
            download.running = False
            self._ask(download, download.expected)
            await download.done
            return await worker.run(download.file.finish)
        except LeftoverDamaged:
            await worker.run(download.file.discard)
            raise
        except Rejected:
            await worker.run(download.file.discard)
            raise
        except CryptoError as problem:
            await worker.run(download.file.discard)
            raise Rejected("bad-attachment", str(problem), alarming=True) from None
        finally:
            self._close(download.file)
            self._downloads.pop(ref.id, None)
            if self._slots:
                self._slots.pop(0).callback(None)

    def _close(self, file: PlainFile) -> None:
        """Close in the worker's line, behind what still writes: the number may be another file's next."""
        try:
            self._core.file_worker.run(file.close).addErrback(_close_failed)
        except RuntimeError:  # the worker was stopped: nothing writes any more
            file.close()

    def _ask(self, download: _Download, have: int) -> None:
        total = download.file.total
        if have >= total:
            if not download.done.called:
                download.done.callback(b"")
            return
        until = min(have + limits.CHUNK_WINDOW, total)
        if until > download.until and download.until - have <= WANT_MORE_BELOW:
            download.until = until
            self._session.say(f.Want(download.ref.id, have, until))

    def chunk(self, frame: f.Chunk) -> None:
        """Take the next chunk of an attachment that was asked for."""
        download = self._downloads.get(frame.id)
        if download is None:
            return
        if frame.index != download.expected or frame.index >= download.until:
            raise RemoteError("out-of-turn", f"chunk {frame.index}, wanted is {download.expected}")
        if len(frame.data) > filestream.SEALED_CHUNK_BYTES:
            raise RemoteError("too-large", f"chunk of {len(frame.data)} bytes")
        download.expected += 1
        download.waiting.append(frame.data)
        if not download.running:
            download.running = True
            spawn(self._run(download), self._session.failed)

    async def _run(self, download: _Download) -> None:
        try:
            while download.waiting:
                chunks, download.waiting = download.waiting, []
                have = await self._core.file_worker.run(partial(download.file.write, chunks))
                crash.reached("node-chunks-written")
                self._ask(download, have)
        except (CryptoError, StorageError) as problem:
            self._fail(download, problem)
        finally:
            download.running = False

    def refused(self, frame: f.FileRefused) -> bool:
        """Ask again later, or give the message back: it will not come. False if the file is not ours."""
        download = self._downloads.get(frame.id)
        if download is None:
            return False
        event(_LOG, logging.WARNING, "attachment-not-sent", code=frame.code, text=frame.text)
        if frame.retry_after_ms:
            self._core.clock.call_later(frame.retry_after_ms / 1000, self._ask_again, download)
        else:
            # Waiting for nothing would hold one of the few transfers for as long as the session lasts.
            self._fail(download, Rejected(frame.code, frame.text, alarming=False))
        return True

    def _ask_again(self, download: _Download) -> None:
        if self._downloads.get(download.ref.id) is download and self._session.ready:
            download.until = 0
            self._ask(download, download.expected)

    def _fail(self, download: _Download, problem: BaseException) -> None:
        if not download.done.called:
            download.done.errback(problem)

    def lost(self, gone: Callable[[], BaseException]) -> None:
        """End every download, and those that wait for a turn: the session is gone, the files stay."""
        self._gone = gone
        slots, self._slots = self._slots, []
        for slot in slots:
            slot.errback(gone())
        for download in list(self._downloads.values()):
            download.waiting.clear()
            self._fail(download, gone())


def _here_bytes(path: Path, ref: AttachmentRef) -> int:
    """Return how much of a file an earlier attempt has left on the disk: it needs no room any more."""
    try:
        return min(path.stat().st_size, ref.size)
    except FileNotFoundError:
        return 0


def _close_failed(failure: Failure) -> None:
    event(_LOG, logging.WARNING, "attachment-not-closed", error=failure.getErrorMessage())
