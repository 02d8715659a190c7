"""How one attachment lies in its file: a header, a mark, the leaves, the sealed chunks. Pure.

::

    offset 0      header   512 bytes: who owns it, its id, size and root; written once; ends with its checksum
    offset 4096   mark     16 bytes: how many chunks were known to be durable; rewritten in place, checksummed
    offset 8192   leaves   32 bytes for each chunk
    data_offset   chunks   SEALED_CHUNK_BYTES each, the last one shorter; starts on the next 4096

One file and not two, because then one fdatasync covers a chunk with its leaf and one rename finishes an
upload. Header and mark are on pages of their own: rewriting one cannot tear the other. The mark may be
older than the truth, never newer, because it is written after the sync that it speaks of.

A file's name is the hex of :func:`storage_key`, a hash over facility and id together, so that the ids of one
facility can neither meet nor reveal those of another, and no foreign byte becomes part of a path.
"""

import hashlib
import struct
from dataclasses import dataclass

from crypto.filestream import HASH_BYTES, SEALED_CHUNK_BYTES, chunk_count, sealed_size
from hub.files.errors import BadChunk

ID_BYTES = 16
KEY_BYTES = 32
MAX_FACILITY_BYTES = 255
MAX_SIZE_BYTES = 2**40
"""Plaintext bytes of one attachment: 1 TiB."""
HEADER_BYTES = 512
MARK_OFFSET = 4_096
MARK_BYTES = 16
LEAVES_OFFSET = 8_192

_PAGE_BYTES = 4_096
_MAGIC = b"WASLATT1"
_FIELDS = struct.Struct(f">8sQ{HASH_BYTES}s{ID_BYTES}sB{MAX_FACILITY_BYTES}s")
_CHECKSUM_BYTES = 16
_MARK = struct.Struct(">Q8s")


def storage_key(owner_facility: str, attachment_id: bytes) -> bytes:
    """Return the 32 bytes under which the attachment is stored; raises BadChunk beyond the bounds."""
    facility = owner_facility.encode()
    if not 0 < len(facility) <= MAX_FACILITY_BYTES or len(attachment_id) != ID_BYTES:
        raise BadChunk(
            f"an attachment is named by a facility of 1 to {MAX_FACILITY_BYTES} bytes and an id of"
            f" {ID_BYTES}, not {len(facility)} and {len(attachment_id)}"
        )
    return hashlib.blake2b(attachment_id + facility, digest_size=KEY_BYTES, person=b"wasl file").digest()


@dataclass(frozen=True, slots=True)
class Header:
    """What was announced about an attachment, and where things are in its file."""

    owner_facility: str
    attachment_id: bytes
    size_bytes: int
    """Plaintext bytes."""
    root: bytes

    @property
    def key(self) -> bytes:
        """The storage key."""
        return storage_key(self.owner_facility, self.attachment_id)

    @property
    def chunks(self) -> int:
        """How many chunks the whole attachment has, at least one."""
        return chunk_count(self.size_bytes)

    @property
    def data_offset(self) -> int:
        """Where chunk 0 begins."""
        return -(-(LEAVES_OFFSET + self.chunks * HASH_BYTES) // _PAGE_BYTES) * _PAGE_BYTES

    @property
    def file_bytes(self) -> int:
        """The length of the whole file."""
        return self.data_offset + sealed_size(self.size_bytes)

    def chunk_end(self, count: int) -> int:
        """Return the offset behind the first ``count`` chunks."""
        return min(self.data_offset + count * SEALED_CHUNK_BYTES, self.file_bytes)

    def encode(self) -> bytes:
        """Return ``HEADER_BYTES`` bytes."""
        facility = self.owner_facility.encode()
        fields = _FIELDS.pack(_MAGIC, self.size_bytes, self.root, self.attachment_id, len(facility), facility)
        padded = fields.ljust(HEADER_BYTES - _CHECKSUM_BYTES, b"\0")
        return padded + _checksum(padded)


def check_header(header: Header) -> None:
    """Raise BadChunk unless an attachment may be announced like this."""
    storage_key(header.owner_facility, header.attachment_id)
    if not 0 <= header.size_bytes <= MAX_SIZE_BYTES or len(header.root) != HASH_BYTES:
        raise BadChunk(
            f"an attachment has 0 to {MAX_SIZE_BYTES} bytes and a root of {HASH_BYTES},"
            f" not {header.size_bytes} and {len(header.root)}"
        )


def decode_header(data: bytes) -> Header | None:
    """Return the header, None if it is not whole; ``data`` is our own, checked for accidents."""
    padded, checksum = data[:-_CHECKSUM_BYTES], data[-_CHECKSUM_BYTES:]
    if len(data) != HEADER_BYTES or _checksum(padded) != checksum:
        return None
    magic, size_bytes, root, attachment_id, length, facility = _FIELDS.unpack_from(padded)
    if magic != _MAGIC:
        return None
    try:
        return Header(facility[:length].decode(), attachment_id, size_bytes, root)
    except UnicodeDecodeError:
        return None


def encode_mark(key: bytes, durable: int) -> bytes:
    """Return ``MARK_BYTES`` bytes that say: the first ``durable`` chunks of this attachment are durable."""
    return _MARK.pack(durable, _mark_checksum(key, durable))


def decode_mark(key: bytes, data: bytes) -> int:
    """Return the number of durable chunks; 0 if there is no whole mark of this attachment."""
    if len(data) != MARK_BYTES:
        return 0
    durable, checksum = _MARK.unpack(data)
    assert isinstance(durable, int)
    return durable if checksum == _mark_checksum(key, durable) else 0


def _mark_checksum(key: bytes, durable: int) -> bytes:
    return hashlib.blake2b(durable.to_bytes(8, "big"), key=key, digest_size=8).digest()


def _checksum(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_CHECKSUM_BYTES).digest()
