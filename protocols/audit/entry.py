"""One line of the audit log as bytes, and its hash.

An entry is the MessagePack array ``[1, number, at_ms, actor, action, subject, details, previous]``. There is
one encoding of each entry: integers and strings in their shortest form, as MessagePack's specification asks.
``details`` is one string, JSON as :func:`details_text` writes it; it is hashed as it stands in the table, so
nobody needs to agree on how to write JSON in order to check an entry.

The hash is SHA-256 over a zero byte and those bytes. That is RFC 6962's hash of a leaf (section 2.1): the
chain (``previous`` is the hash of the entry before) and the Merkle tree have their hashes in common. The
first entry has number 1 and ``previous`` 32 zero bytes; it is leaf 0 of the tree.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final

import msgspec

VERSION: Final = 1
HASH_BYTES: Final = 32
NO_ENTRY: Final = bytes(HASH_BYTES)
"""What the first entry has for the hash of the one before."""
MAX_TEXT_CHARS: Final = 200
"""Of an actor, an action, a subject."""
MAX_DETAILS_BYTES: Final = 4_096
LEAF: Final = b"\x00"


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One entry; ``details`` is JSON text, times are UTC milliseconds of the hub's clock."""

    number: int
    at_ms: int
    actor: str
    action: str
    subject: str
    details: str
    previous: bytes

    def encoded(self) -> bytes:
        """Return the canonical bytes."""
        return _ENCODER.encode(
            (VERSION, self.number, self.at_ms, self.actor, self.action, self.subject, self.details,
             self.previous)
        )  # fmt: skip

    def hash(self) -> bytes:
        """Return the hash that the next entry carries, and the leaf that the tree has: 32 bytes."""
        return hashlib.sha256(LEAF + self.encoded()).digest()


def details_text(details: Mapping[str, str]) -> str:
    """Return details as they are kept: a JSON object, sorted by key, without spaces, characters unescaped."""
    return msgspec.json.encode(dict(details), order="sorted").decode("utf-8")


_ENCODER: Final = msgspec.msgpack.Encoder()
