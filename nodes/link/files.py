"""Attachments on their way out: sealed once, when they are put, and kept as the chunks that will travel.

Sealing at the door means that the file may change or vanish afterwards, that its root is
known before the message is signed, and that a repeat after a crash sends the same bytes.
A body too large for one record takes the same way, as the first attachment.

Sealed files lie in ``outgoing/`` of the home, one file each, chunk after chunk. They are
durable before :func:`prepare` returns; a file that no message came to own (a crash in
between) is found by :func:`orphans` and removed later.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Self

from config.fields import size_text
from crypto import filestream
from crypto.primitives import blake2b, blake2b_stream, random_bytes
from crypto.sealing import ContentKey, attachment_key
from nodes.link.errors import NoRoom, Refused
from protocols.link import limits
from protocols.link.envelope import AttachmentRef, NamedFile
from runtime import disk
from runtime.home import free_bytes
from runtime.storage_errors import StorageFailed

OUTGOING: Final = "outgoing"
DISK_FLOOR_BYTES: Final = 500 * 1_024 * 1_024
NAME_BYTES: Final = 200
"""File names are cut to this, so that a suffix of ours still fits the 255 of file systems."""
DIGEST_CHUNKS: Final = 16
_SUFFIX_CHARS: Final = 16
_UNSAFE: Final = frozenset('/\\:*?"<>|\0')


@dataclass(frozen=True, slots=True)
class Source:
    """A file to attach: its name for the receiver, its media type, its bytes, its size."""

    name: str
    media_type: str
    stream: BinaryIO
    size_bytes: int


@dataclass(frozen=True, slots=True)
class SealedFile:
    """One sealed attachment. ``named`` is None for an outside body; ``path`` is relative to the home."""

    ref: AttachmentRef
    named: NamedFile | None
    path: str


@dataclass(frozen=True, slots=True)
class Prepared:
    """A body and its files under one content key. ``body`` is empty if it is the first file instead."""

    content_key: ContentKey
    body: bytes
    body_outside: bool
    files: tuple[SealedFile, ...]
    body_digest: bytes


def safe_name(name: str) -> str:
    """Return a file name that is harmless on any system: no separators, control signs or leading dots."""
    flat = "".join("_" if sign in _UNSAFE or not sign.isprintable() else sign for sign in name)
    flat = flat.strip(" ").lstrip(". ") or "file"
    stem, dot, suffix = flat.rpartition(".")
    if not stem or len(suffix) > _SUFFIX_CHARS:
        stem, dot, suffix = flat, "", ""
    stem = stem[:NAME_BYTES]
    while len((stem + dot + suffix).encode("utf-8")) > NAME_BYTES:
        stem = stem[:-1]
    return (stem + dot + suffix).rstrip(" ")


def prepare(
    home: Path,
    body: bytes,
    sources: Sequence[Source] = (),
    *,
    floor_bytes: int = DISK_FLOOR_BYTES,
    progress: Callable[[int], object] = lambda _count: None,
) -> Prepared:
    """Seal ``sources`` (and a large ``body``) into the home. Blocking; durable when it returns.

    ``progress`` is told the plain bytes of each chunk as it is done. Raises :class:`Refused`
    for too many or too large files, :class:`NoRoom` before the disk falls under the floor,
    StorageError (StorageFailed: nothing may be tried again in this process).
    """
    if len(sources) > limits.ATTACHMENTS:
        raise Refused(
            "too-many-files", f"{len(sources)} attachments, at most {limits.ATTACHMENTS} are allowed"
        )
    for source in sources:
        if source.size_bytes > limits.ATTACHMENT_MAX_BYTES:
            raise Refused(
                "too-large",
                f"{source.name!r} has {size_text(source.size_bytes)}, at most "
                f"{size_text(limits.ATTACHMENT_MAX_BYTES)} are possible",
            )
    outside = len(body) > limits.INLINE_BODY_BYTES
    total_bytes = sum(source.size_bytes for source in sources) + (len(body) if outside else 0)
    check_room(home, total_bytes, floor_bytes)
    if not sources and not outside:
        return inline(body)
    content_key = ContentKey.generate()
    sealed: list[SealedFile] = []
    try:
        if outside:
            sealed.append(_seal(home, content_key, None, _slices(body), len(body), progress))
        for source in sources:
            chunks = _chunks(source.stream)
            sealed.append(_seal(home, content_key, source, chunks, source.size_bytes, progress))
        disk.sync_directory(home / OUTGOING)
    except BaseException:
        discard(home, sealed)
        raise
    return Prepared(content_key, b"" if outside else body, outside, tuple(sealed), blake2b(body))


def inline(body: bytes) -> Prepared:
    """Return a body of at most ``INLINE_BODY_BYTES`` alone: nothing of it goes to a file."""
    return Prepared(ContentKey.generate(), body, body_outside=False, files=(), body_digest=blake2b(body))


def discard(home: Path, files: Iterable[SealedFile]) -> None:
    """Remove sealed files that no message owns."""
    for file in files:
        (home / file.path).unlink(missing_ok=True)


@contextlib.contextmanager
def discarded_if_refused(
    home: Path, files: Iterable[SealedFile], *, unsure: tuple[type[Exception], ...] = ()
) -> Iterator[None]:
    """Put a message inside: if that is refused, its sealed files go.

    They stay whenever the message may be committed all the same: the disk failed during COMMIT, or whoever
    waited was interrupted (``unsure`` names what interrupts besides Ctrl-C). If it is not, nobody owns them,
    and :func:`orphans` finds them.
    """
    try:
        yield
    except Exception as error:
        if not isinstance(error, (StorageFailed, *unsure)):
            discard(home, files)
        raise


def orphans(home: Path, directory: str, owned: set[str], *, now_ms: int, older_than_s: float) -> list[Path]:
    """Return files in a directory of the home, so old at ``now_ms``, whose path in it is not ``owned``."""
    if not (home / directory).is_dir():
        return []
    before_s = now_ms / 1000 - older_than_s
    found = []
    for path in (home / directory).iterdir():
        with contextlib.suppress(FileNotFoundError):  # a command beside the daemon tidies up after itself
            if str(path.relative_to(home)) not in owned and path.stat().st_mtime < before_s:
                found.append(path)
    return found


def check_room(home: Path, needed_bytes: int, floor_bytes: int) -> None:
    """Raise :class:`NoRoom` if ``needed_bytes`` more would leave less than the floor."""
    free = free_bytes(home)
    if free - needed_bytes < floor_bytes:
        raise NoRoom(
            "no-room",
            f"{size_text(needed_bytes)} are needed, {size_text(free)} are free and {size_text(floor_bytes)} "
            "must stay free (disk.floor): make room on this disk, then send again",
        )


def own_directory(directory: Path) -> Path:
    """Make a directory of the home if need be, durably: what is synced in it must be found again."""
    if not directory.is_dir():
        directory.mkdir(mode=0o700, exist_ok=True)
        disk.sync_directory(directory.parent)
    return directory


def _seal(
    home: Path,
    content_key: ContentKey,
    source: Source | None,
    chunks: Iterator[bytes],
    size_bytes: int,
    progress: Callable[[int], object],
) -> SealedFile:
    identifier = random_bytes(limits.ID_BYTES)
    sealer = filestream.ChunkSealer(attachment_key(content_key, identifier))
    root, digest = filestream.RootHash(), _Digest()
    path = own_directory(home / OUTGOING) / identifier.hex()
    count = filestream.chunk_count(size_bytes)
    changed = Refused("file-changed", f"{_title(source)} changed its size while it was being read")
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as sealed_file, digest:
            for index in range(count):
                plain = next(chunks, b"")
                if len(plain) != filestream.chunk_length(size_bytes, index):
                    raise changed
                sealed = sealer.seal(index, index == count - 1, plain)
                root.add(filestream.leaf_hash(index, sealed))
                digest.add(plain)
                with disk.saying(path):
                    sealed_file.write(sealed)
                progress(len(plain))
            if next(chunks, b""):
                raise changed
            with disk.saying(path):
                sealed_file.flush()
            disk.sync_file(descriptor, path)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    named = None
    if source is not None:
        named = NamedFile(safe_name(source.name), source.media_type, digest.value)
    ref = AttachmentRef(identifier, size_bytes, root.digest())
    return SealedFile(ref, named, f"{OUTGOING}/{identifier.hex()}")


class _Digest:
    """The digest of the plain bytes, computed in a thread of its own, beside the sealing: each takes as long.

    ``DIGEST_CHUNKS`` chunks are with it, and no more gathered. ``value`` is there when the block has ended.
    """

    def __init__(self) -> None:
        self._stream = blake2b_stream()
        self._thread = ThreadPoolExecutor(1)
        self._gathered: list[bytes] = []
        self._running: Future[None] | None = None
        self.value = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._hand_over()
        self._settle()
        self._thread.shutdown()
        self.value = self._stream.digest()

    def add(self, plain: bytes) -> None:
        """Take the next plain bytes."""
        self._gathered.append(plain)
        if len(self._gathered) >= DIGEST_CHUNKS:
            self._hand_over()

    def _settle(self) -> None:
        if self._running is not None:
            self._running.result()

    def _hand_over(self) -> None:
        self._settle()
        gathered, self._gathered = self._gathered, []
        self._running = self._thread.submit(_update, self._stream, gathered)


def _update(stream: hashlib.blake2b, pieces: list[bytes]) -> None:
    for piece in pieces:
        stream.update(piece)


def _title(source: Source | None) -> str:
    return "the body" if source is None else f"{source.name!r}"


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    while chunk := stream.read(filestream.CHUNK_BYTES):
        while len(chunk) < filestream.CHUNK_BYTES and (
            more := stream.read(filestream.CHUNK_BYTES - len(chunk))
        ):
            chunk += more
        yield chunk


def _slices(body: bytes) -> Iterator[bytes]:
    for start in range(0, len(body), filestream.CHUNK_BYTES):
        yield body[start : start + filestream.CHUNK_BYTES]
