"""Sealed files of our own, read back: for people who look at what they sent, and for sending again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from crypto import filestream
from crypto.sealing import ContentKey, attachment_key
from protocols.link.envelope import AttachmentRef


def sealed_chunks(path: Path, first: int, count: int) -> list[bytes]:
    """Return sealed chunks ``first`` … of a sealed file, at most ``count``; fewer at its end. Blocking."""
    with path.open("rb") as file:
        file.seek(first * filestream.SEALED_CHUNK_BYTES)
        data = file.read(count * filestream.SEALED_CHUNK_BYTES)
    step = filestream.SEALED_CHUNK_BYTES
    return [data[start : start + step] for start in range(0, len(data), step)]


def plain_chunks(path: Path, content_key: ContentKey, ref: AttachmentRef) -> Iterator[bytes]:
    """Yield the plain bytes of a sealed file, chunk by chunk; ``DecryptionFailed`` if it was damaged."""
    opener = filestream.ChunkOpener(attachment_key(content_key, ref.id))
    total = filestream.chunk_count(ref.size)
    with path.open("rb") as file:
        for index in range(total):
            yield opener.open(index, index == total - 1, file.read(filestream.SEALED_CHUNK_BYTES))


def read_sealed(path: Path, content_key: ContentKey, ref: AttachmentRef) -> bytes:
    """Return the whole plain content; for bodies, which are bounded, not for scans."""
    return b"".join(plain_chunks(path, content_key, ref))
