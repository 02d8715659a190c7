"""Attachments in chunks, sealed so that no chunk can be moved, dropped, added or cut off unseen.

The construction is STREAM (Hoang, Reyhanitabar, Rogaway and Vizar, "Online Authenticated-Encryption and its
Nonce-Reuse Misuse-Resistance", 2015) in the form that age uses for its payload: each chunk is closed by
ChaCha20-Poly1305 under the attachment's own key (``sealing.attachment_key``), and its 12-byte nonce is the
chunk's index, 11 bytes big-endian, and one byte that is 1 for the last chunk and 0 before. All chunks but
the last are full; the last one is empty only if the whole file is. Sealing is deterministic, so a chunk that
is sent again is the same bytes; hence **one key closes one content**, which the sender's node sees to.

Beside the cipher stands a tree of height one: ``leaf_hash`` of every sealed chunk, and ``RootHash`` over the
leaves and their number. The root goes into the signed envelope; the hub and the receiver can check it without
the key, and resume after a cut by asking which leaves are there. Nothing here holds more than one chunk.
"""

from typing import Final

from crypto.errors import CryptoError, DecryptionFailed
from crypto.primitives import AEAD_TAG_BYTES, Aead, blake2b_stream, sha256_stream

CHUNK_BYTES = 61_440
SEALED_CHUNK_BYTES = CHUNK_BYTES + AEAD_TAG_BYTES
HASH_BYTES = 32
MAX_CHUNKS = 2**40  # 67 petabytes; far below the nonce's 2**88 and the leaf's 2**64

_INDEX_NONCE_BYTES = 11
_LAST: Final = b"\x01"
_NOT_LAST: Final = b"\x00"


def chunk_count(size_bytes: int) -> int:
    """Return how many chunks a file of ``size_bytes`` has; an empty file has one, which is empty.

    Raises ``CryptoError`` for a negative size or one of more than ``MAX_CHUNKS`` chunks.
    """
    count = max(1, -(-size_bytes // CHUNK_BYTES))
    if size_bytes < 0 or count > MAX_CHUNKS:
        raise CryptoError(f"a file of {size_bytes} bytes: 0 to {MAX_CHUNKS * CHUNK_BYTES} can be carried")
    return count


def sealed_size(size_bytes: int) -> int:
    """Return the bytes of all sealed chunks of a file of ``size_bytes`` together."""
    return size_bytes + chunk_count(size_bytes) * AEAD_TAG_BYTES


def chunk_length(size_bytes: int, index: int) -> int:
    """Return the plain bytes in chunk ``index`` of a file of ``size_bytes``; ``CryptoError`` beyond it."""
    count = chunk_count(size_bytes)
    if not 0 <= index < count:
        raise CryptoError(f"chunk {index} does not exist: a file of {size_bytes} bytes has {count}")
    return CHUNK_BYTES if index < count - 1 else size_bytes - index * CHUNK_BYTES


class ChunkSealer:
    """Seals the chunks of one attachment under its 32-byte key, in any order."""

    __slots__ = ("_aead",)

    def __init__(self, key: bytes) -> None:
        self._aead = Aead(key)

    def seal(self, index: int, last: bool, plain: bytes) -> bytes:
        """Return the sealed chunk, 16 bytes longer; the same bytes each time.

        Raises ``CryptoError`` for an index or a length that the construction does not have.
        """
        fault = _shape_fault(index, last, len(plain))
        if fault:
            raise CryptoError(fault)
        return self._aead.encrypt(_nonce(index, last), plain)


class ChunkOpener:
    """Opens the chunks of one attachment under its 32-byte key, in any order."""

    __slots__ = ("_aead",)

    def __init__(self, key: bytes) -> None:
        self._aead = Aead(key)

    def open(self, index: int, last: bool, sealed: bytes) -> bytes:
        """Return the plain chunk; ``DecryptionFailed`` unless it is this key's, at this place, unchanged."""
        fault = _shape_fault(index, last, len(sealed) - AEAD_TAG_BYTES)
        if fault:
            raise DecryptionFailed(fault)
        return self._aead.decrypt(_nonce(index, last), sealed)


def leaf_hash(index: int, sealed: bytes) -> bytes:
    """Return 32 bytes that bind one sealed chunk to its place: SHA-256 over words, 8-byte index and chunk."""
    if not 0 <= index < MAX_CHUNKS:
        raise CryptoError(f"chunk index {index}: 0 to {MAX_CHUNKS - 1} expected")
    leaf = sha256_stream(b"wasl leaf" + index.to_bytes(8, "big"))
    leaf.update(sealed)
    return leaf.digest()


class RootHash:
    """The hash over all leaves of one attachment, in order, and over their number."""

    __slots__ = ("_count", "_stream")

    def __init__(self) -> None:
        self._stream = blake2b_stream(size=HASH_BYTES, person=b"wasl root")
        self._count = 0

    def add(self, leaf: bytes) -> None:
        """Take the ``leaf_hash`` of the next chunk (32 bytes)."""
        if len(leaf) != HASH_BYTES:
            raise CryptoError(f"a leaf has {HASH_BYTES} bytes, not {len(leaf)}")
        self._stream.update(leaf)
        self._count += 1

    def digest(self) -> bytes:
        """Return the 32-byte root over what was added so far; more may be added afterwards."""
        stream = self._stream.copy()
        stream.update(self._count.to_bytes(8, "big"))
        return stream.digest()


def _nonce(index: int, last: bool) -> bytes:
    return index.to_bytes(_INDEX_NONCE_BYTES, "big") + (_LAST if last else _NOT_LAST)


def _shape_fault(index: int, last: bool, plain_bytes: int) -> str:
    """Say what is wrong with a chunk's place and length; empty if nothing is."""
    if not 0 <= index < MAX_CHUNKS:
        return f"chunk index {index}: 0 to {MAX_CHUNKS - 1} expected"
    if not last and plain_bytes != CHUNK_BYTES:
        return f"chunk {index} is not the last and has {plain_bytes} bytes: {CHUNK_BYTES} expected"
    lowest = 0 if index == 0 else 1
    if last and not lowest <= plain_bytes <= CHUNK_BYTES:
        return f"last chunk {index} has {plain_bytes} bytes: {lowest} to {CHUNK_BYTES} expected"
    return ""
