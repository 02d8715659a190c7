"""Records: encrypted runs of whole frames, each behind a 2-byte big-endian length.

:class:`RecordWriter` is the sending half of a session. Frames wait in two lanes; every
waiting frame goes before any chunk, as many as fit into each record. :class:`RecordReader`
is the receiving half: it holds at most one record, and nothing before its length is known
to be allowed.

Both change keys by REKEY, the last frame of its record. The writer does so when its owner
asks or after ``REKEY_RECORDS``; the reader refuses to go on for ever without.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from crypto.noise import CipherState
from protocols.link import frames as f
from protocols.link import limits
from protocols.link.errors import LocalError, RemoteError

LENGTH_BYTES: Final = 2


class RecordWriter:
    """What waits to be sent, and the cipher that it will be sent under."""

    __slots__ = ("_bulk", "_cipher", "_frames", "_plain", "_records", "pending_bytes", "rekey_due")

    def __init__(self) -> None:
        self._plain: list[bytes] = []
        self._frames: list[bytes] = []
        self._bulk: list[bytes] = []
        self._cipher: CipherState | None = None
        self._records = 0
        self.pending_bytes = 0
        self.rekey_due = False

    @property
    def encrypting(self) -> bool:
        """The handshake is done on this side."""
        return self._cipher is not None

    @property
    def bulk_waiting(self) -> int:
        """Chunks that wait."""
        return len(self._bulk)

    def rest(self) -> None:
        """Hold less memory until the next record."""
        if self._cipher is not None:
            self._cipher.rest()

    def start(self, cipher: CipherState) -> None:
        """Encrypt frames from now on."""
        self._cipher = cipher

    def put_packet(self, data: bytes) -> None:
        """Queue handshake bytes, which are not encrypted here."""
        self._plain.append(data)

    def check_room(self, data: bytes) -> None:
        """Raise :class:`LocalError` if one more frame would be too much to hold."""
        if self.pending_bytes + len(data) > limits.PENDING_BYTES:
            raise LocalError(f"{self.pending_bytes} bytes wait already, at most {limits.PENDING_BYTES}")

    def put(self, data: bytes) -> None:
        """Queue an encoded frame."""
        self.pending_bytes += len(data)
        self._frames.append(data)

    def put_bulk(self, data: bytes) -> None:
        """Queue an encoded chunk behind every frame."""
        self._bulk.append(data)

    def drop_bulk(self) -> None:
        """Forget waiting chunks."""
        self._bulk.clear()

    def take(self, bulk_records: int, *, may_rekey: bool) -> bytes:
        """Return every waiting frame, then at most ``bulk_records`` chunks, sealed; REKEY between them.

        REKEY goes behind the frames because READY must be the first and END the last.
        """
        out, self._plain = self._plain, []
        cipher = self._cipher
        if cipher is not None:
            if self._frames:
                frames, self._frames = self._frames, []
                for parts in _records(frames):
                    self._seal(cipher, parts, out)
                self.pending_bytes = 0
            if self.rekey_due and may_rekey:
                self._seal(cipher, [f.encode_frame(f.Rekey())], out)
                cipher.rekey()
                self._records = 0
                self.rekey_due = False
            for _ in range(min(bulk_records, len(self._bulk))):
                self._seal(cipher, [self._bulk.pop(0)], out)
        return b"".join(out)

    def _seal(self, cipher: CipherState, parts: list[bytes], out: list[bytes]) -> None:
        record = cipher.encrypt(parts[0] if len(parts) == 1 else b"".join(parts))
        out.append(len(record).to_bytes(LENGTH_BYTES, "big"))
        out.append(record)
        self._records += 1
        if self._records >= limits.REKEY_RECORDS:
            self.rekey_due = True


def _records(frames: list[bytes]) -> Iterator[list[bytes]]:
    """Yield runs of whole frames, each as long as one record takes."""
    start, room = 0, limits.RECORD_PLAIN_BYTES
    for at, frame in enumerate(frames):
        if len(frame) > room:
            yield frames[start:at]
            start, room = at, limits.RECORD_PLAIN_BYTES
        room -= len(frame)
    yield frames[start:]


class RecordReader:
    """The bytes of a peer, cut into packets and opened."""

    __slots__ = ("_cipher", "_received", "_records")

    def __init__(self) -> None:
        self._received = bytearray()
        self._cipher: CipherState | None = None
        self._records = 0

    def __len__(self) -> int:
        """Return how many bytes are here and not yet taken."""
        return len(self._received)

    @property
    def decrypting(self) -> bool:
        """The handshake is done on this side."""
        return self._cipher is not None

    def rest(self) -> None:
        """Hold less memory until the next record."""
        if self._cipher is not None:
            self._cipher.rest()

    def start(self, cipher: CipherState) -> None:
        """Decrypt records from now on."""
        self._cipher = cipher

    def feed(self, data: bytes) -> None:
        """Take bytes from the peer."""
        self._received += data

    def drop(self) -> None:
        """Forget everything."""
        self._received.clear()

    def peek(self, size_bytes: int) -> bytes | None:
        """Return the first bytes without taking them; None if fewer are here."""
        return bytes(self._received[:size_bytes]) if len(self._received) >= size_bytes else None

    def take(self, size_bytes: int) -> bytes | None:
        """Take exactly so many bytes; None if fewer are here."""
        data = self.peek(size_bytes)
        if data is not None:
            del self._received[:size_bytes]
        return data

    def next_packet(self, bound_bytes: int) -> bytes | None:
        """Take one length-prefixed packet; None if it is not complete, RemoteError if it is too long."""
        head = self.peek(LENGTH_BYTES)
        if head is None:
            return None
        length = int.from_bytes(head, "big")
        if length > bound_bytes:
            raise RemoteError("too-large", f"packet of {length} bytes, at most {bound_bytes}")
        received, end = self._received, LENGTH_BYTES + length
        if len(received) < end:
            return None
        with memoryview(received) as view:  # a record is large: it is copied once
            packet = bytes(view[LENGTH_BYTES:end])
        del received[:end]
        return packet

    def next_record(self) -> bytes | None:
        """Take and open one record; None if it is not complete.

        Raises CryptoError if it is not authentic, RemoteError after too many under one key.
        """
        assert self._cipher is not None
        record = self.next_packet(limits.RECORD_BYTES)
        if record is None:
            return None
        plain = self._cipher.decrypt(record)
        self._records += 1
        if self._records > limits.RECORDS_WITHOUT_REKEY:
            raise RemoteError("rekey", f"{self._records} records under one key")
        return plain

    def rekey(self) -> None:
        """Use the next key from the next record on."""
        assert self._cipher is not None
        self._cipher.rekey()
        self._records = 0
