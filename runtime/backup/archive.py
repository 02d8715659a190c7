"""How a backup lies in its file: a beginning that anybody may read, sealed chunks, a seal.

::

    beginning   8 bytes "WASLBAK1", 4 bytes length, JSON (Beginning): whose, when, for which recovery key
    chunks      STREAM as in crypto.filestream, under a key that hangs on the beginning
    seal        32 bytes over beginning and chunks (crypto.recovery): which home made it

Inside the chunks stand frames of a type byte, a 4-byte length and their bytes: ENTRY begins a file (its
path), DATA is some of it, and MANIFEST, the last, says of every file its size and SHA-256. A reader needs
the memory of one chunk, finds a cut, a change or an exchange of two chunks where it happens, and
holds nothing for whole before the manifest and the seal have agreed with what it saw.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator
from typing import BinaryIO, Final, Protocol

import msgspec
from msgspec import Struct

from crypto import recovery
from crypto.errors import CryptoError
from crypto.filestream import CHUNK_BYTES, SEALED_CHUNK_BYTES, ChunkOpener, ChunkSealer, RootHash, leaf_hash
from crypto.primitives import AEAD_TAG_BYTES

MAGIC: Final = b"WASLBAK1"
BEGINNING_BYTES: Final = 4_096
"""The JSON of a beginning is shorter."""
FRAME_BYTES: Final = 64 * 1_024 * 1_024
"""The manifest is shorter: about 150 bytes a file."""
PIECE_BYTES: Final = 1_048_576
PATH_CHARS: Final = 1_024
_LENGTH: Final = struct.Struct(">I")
_FRAME: Final = struct.Struct(">BI")
_ENTRY: Final = 1
_DATA: Final = 2
_MANIFEST: Final = 3


class BackupError(Exception):
    """A backup that cannot be made, or is not what it should be; the text says what to do."""


class Beginning(Struct, frozen=True):
    """What stands at the front of a backup, unsealed; its change makes the rest unreadable."""

    what: str
    """``hub`` or ``node``."""
    name: str
    """The hub's name or the node's facility, for people."""
    made_ms: int
    software: str
    recovery: str
    """Fingerprint of the recovery key that opens it."""
    link: bytes
    """The home's public link key, 32 bytes."""
    wrapped: bytes
    """The content key, sealed for the recovery key."""
    version: int = 1


class Filed(Struct, frozen=True):
    """One file of a backup: its path in the home."""

    path: str
    size: int
    sha256: str


class Manifest(Struct, frozen=True):
    """What a backup holds. ``rows``: of each table, as they were in the database's moment."""

    files: tuple[Filed, ...]
    database: str
    """The path of the database among the files."""
    engine: str
    """``sqlite`` (a database file) or ``postgresql`` (an archive of pg_dump)."""
    schema: str
    rows: dict[str, int]


class Sink(Protocol):
    """Takes the files of a backup, one after the other."""

    def begin(self, path: str) -> None:
        """Begin a file."""

    def data(self, piece: bytes) -> None:
        """Take some of it."""

    def end(self) -> None:
        """Take note that it is whole."""


class ArchiveWriter:
    """Writes one backup into an open file; :meth:`finish` is what makes it one."""

    def __init__(self, file: BinaryIO, beginning: Beginning, content_key: bytes, seal_key: bytes) -> None:
        self._file = file
        self._seal_key = seal_key
        text = msgspec.json.encode(beginning)
        if len(text) > BEGINNING_BYTES:
            raise BackupError(f"the beginning has {len(text)} bytes, at most {BEGINNING_BYTES} are possible")
        self._beginning = MAGIC + _LENGTH.pack(len(text)) + text
        self._sealer = ChunkSealer(recovery.chunk_key(content_key, self._beginning))
        self._root = RootHash()
        self._plain = bytearray()
        self._index = 0
        self._files: list[Filed] = []
        file.write(self._beginning)

    def add(self, path: str, pieces: Iterable[bytes]) -> Filed:
        """Write one file; returns what the manifest will say of it."""
        self._frame(_ENTRY, path.encode("utf-8"))
        digest, size = hashlib.sha256(), 0
        for piece in pieces:
            self._frame(_DATA, piece)
            digest.update(piece)
            size += len(piece)
        filed = Filed(path, size, digest.hexdigest())
        self._files.append(filed)
        return filed

    def finish(self, *, database: str, engine: str, schema: str, rows: dict[str, int]) -> Manifest:
        """Write the manifest and the seal."""
        manifest = Manifest(tuple(self._files), database, engine, schema, rows)
        self._frame(_MANIFEST, msgspec.json.encode(manifest))
        self._chunk(bytes(self._plain), last=True)
        self._file.write(recovery.seal(self._seal_key, self._beginning, self._root.digest()))
        return manifest

    def _frame(self, kind: int, payload: bytes) -> None:
        self._plain += _FRAME.pack(kind, len(payload))
        self._plain += payload
        start = 0
        # A full chunk stays until more comes: only what comes last is sealed as the last one.
        while len(self._plain) - start > CHUNK_BYTES:
            self._chunk(bytes(self._plain[start : start + CHUNK_BYTES]), last=False)
            start += CHUNK_BYTES
        del self._plain[:start]

    def _chunk(self, plain: bytes, *, last: bool) -> None:
        sealed = self._sealer.seal(self._index, last, plain)
        self._root.add(leaf_hash(self._index, sealed))
        self._file.write(sealed)
        self._index += 1


def read_beginning(file: BinaryIO) -> tuple[Beginning, bytes]:
    """Return a backup's beginning and its bytes; :class:`BackupError` for any other file."""
    head = file.read(len(MAGIC) + _LENGTH.size)
    if len(head) < len(MAGIC) + _LENGTH.size or not head.startswith(MAGIC):
        raise BackupError("this is no backup of Wasl: it does not begin with WASLBAK1")
    (length,) = _LENGTH.unpack_from(head, len(MAGIC))
    text = file.read(min(length, BEGINNING_BYTES + 1))
    if length > BEGINNING_BYTES or len(text) != length:
        raise BackupError("the backup ends in its first bytes, or these are damaged: use another copy of it")
    try:
        beginning = msgspec.json.decode(text, type=Beginning)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as fault:
        raise BackupError(f"the backup's beginning is damaged ({fault}): use another copy of it") from None
    if beginning.version != 1:
        raise BackupError(f"a backup of form {beginning.version}; this program reads form 1: use a newer one")
    return beginning, head + text


def read_archive(
    file: BinaryIO, beginning: bytes, size_bytes: int, content_key: bytes, seal_key: bytes, sink: Sink
) -> Manifest:
    """Stream what follows the beginning into ``sink``, check everything, return the manifest.

    What ``sink`` was given is not to be relied on before this returns. Raises :class:`BackupError` naming
    what is wrong; OSError.
    """
    reader = _Chunks(file, beginning, size_bytes, content_key)
    seen: list[Filed] = []
    manifest: Manifest | None = None
    open_file: _OpenFile | None = None
    for kind, payload in _frames(reader.plain()):
        if manifest is not None:
            raise BackupError("something follows the backup's manifest: it was not made by this program")
        if kind == _DATA and open_file is not None:
            open_file.data(payload)
            continue
        if open_file is not None:
            seen.append(open_file.end())
            open_file = None
        if kind == _ENTRY:
            open_file = _OpenFile(_path(payload), sink)
        elif kind == _MANIFEST:
            manifest = _manifest(payload)
        else:
            raise BackupError(f"a frame of unknown type {kind} in the backup: use a newer program")
    if manifest is None or tuple(seen) != manifest.files:
        raise BackupError("the backup's files are not those that its manifest names: use another copy of it")
    try:
        recovery.check_seal(seal_key, beginning, reader.root(), reader.seal)
    except CryptoError as fault:
        raise BackupError(f"{fault}: somebody else made this backup, do not use it") from None
    return manifest


class _OpenFile:
    """One file on its way to the sink."""

    def __init__(self, path: str, sink: Sink) -> None:
        self._path, self._sink = path, sink
        self._digest, self._size = hashlib.sha256(), 0
        sink.begin(path)

    def data(self, piece: bytes) -> None:
        self._digest.update(piece)
        self._size += len(piece)
        self._sink.data(piece)

    def end(self) -> Filed:
        self._sink.end()
        return Filed(self._path, self._size, self._digest.hexdigest())


class _Chunks:
    """The plain bytes of an archive, chunk by chunk, and the hash over what was sealed."""

    def __init__(self, file: BinaryIO, beginning: bytes, size_bytes: int, content_key: bytes) -> None:
        self._file = file
        self._left = size_bytes - len(beginning) - recovery.SEAL_BYTES
        self._opener = ChunkOpener(recovery.chunk_key(content_key, beginning))
        self._root = RootHash()
        self.seal = b""

    def root(self) -> bytes:
        return self._root.digest()

    def plain(self) -> Iterator[bytes]:
        if self._left < AEAD_TAG_BYTES:
            raise BackupError("the backup ends before its first chunk: use another copy of it")
        index = 0
        while self._left > 0:
            sealed = self._file.read(min(SEALED_CHUNK_BYTES, self._left))
            self._left -= len(sealed)
            if not sealed:
                raise BackupError("the backup became shorter while it was read: is it still being copied?")
            try:
                plain = self._opener.open(index, self._left == 0, sealed)
            except CryptoError:
                raise BackupError(
                    f"chunk {index} of the backup is damaged, or the file was cut off: use another copy of it"
                ) from None
            self._root.add(leaf_hash(index, sealed))
            yield plain
            index += 1
        self.seal = self._file.read(recovery.SEAL_BYTES)


def _frames(chunks: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield (type, bytes) of each frame; what a frame of data holds comes in pieces as it arrives."""
    waiting = bytearray()
    kind, left = 0, -1
    for chunk in chunks:
        waiting += chunk
        while True:
            if left < 0:
                if len(waiting) < _FRAME.size:
                    break
                kind, left = _FRAME.unpack_from(waiting)
                del waiting[: _FRAME.size]
                if left > FRAME_BYTES:
                    raise BackupError(
                        f"a frame of {left} bytes in the backup, at most {FRAME_BYTES} are possible"
                    )
            if kind == _DATA and waiting and left:
                piece = bytes(waiting[:left])
                del waiting[: len(piece)]
                left -= len(piece)
                yield kind, piece
            if len(waiting) < left or (kind == _DATA and left):
                break
            if kind != _DATA:
                yield kind, bytes(waiting[:left])
                del waiting[:left]
            left = -1
    if waiting or left >= 0:
        raise BackupError("the backup ends inside a frame: it was not made by this program")


def _path(payload: bytes) -> str:
    """Return an entry's path; it may not lead out of the home."""
    text = payload.decode("utf-8", "replace")
    parts = text.split("/")
    if len(text) > PATH_CHARS or any(part in {"", ".", ".."} for part in parts) or "\0" in text:
        raise BackupError(f"a file of the backup is called {text!r}, which is no place in a home")
    return text


def _manifest(payload: bytes) -> Manifest:
    try:
        return msgspec.json.decode(payload, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as fault:
        raise BackupError(f"the backup's manifest does not read ({fault})") from None
