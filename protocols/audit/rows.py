"""What became of messages, as leaves: one for each acceptance and one for each event.

A leaf is an encoded MessagePack array. Its first element says what it is:

- ``[1, number, id, facility, digest, sender, recipients, kind, priority, size, files, accepted_ms, due]``:
  the hub accepted a message. ``digest`` is the sender's commitment to envelope and sealed content, ``due``
  is when it expires.
- ``[2, number, facility, id, recipient, state, code, at_ms, receipt]``: news of a message; ``receipt`` is the
  SHA-256 of the recipient's signed receipt, or empty if the hub itself speaks.
- ``[0, kind, number]``: there was no row of this kind (1 or 2) with this number.

Content is in neither, nor anything about a patient. A batch of leaves has a Merkle root of its own
(:mod:`protocols.audit.tree`), which an entry of the log carries.
"""

from __future__ import annotations

import hashlib
from typing import Final

from msgspec import Struct, msgpack

ABSENT: Final = 0
ACCEPTED: Final = 1
EVENT: Final = 2


class Acceptance(Struct, frozen=True, gc=False):
    """A row of the ledger."""

    number: int
    id: bytes
    facility: str
    digest: bytes
    sender: str
    recipients: str
    kind: str
    priority: int
    size: int
    files: int
    accepted_ms: int
    expires_ms: int

    def leaf(self) -> bytes:
        """Return the bytes of the leaf."""
        return _ENCODER.encode(
            (ACCEPTED, self.number, self.id, self.facility, self.digest, self.sender, self.recipients,
             self.kind, self.priority, self.size, self.files, self.accepted_ms, self.expires_ms)
        )  # fmt: skip


class Outcome(Struct, frozen=True, gc=False):
    """A row of the events; ``receipt`` is the receipt itself."""

    number: int
    facility: str
    id: bytes
    recipient: str
    state: int
    code: str
    at_ms: int
    receipt: bytes

    def leaf(self) -> bytes:
        """Return the bytes of the leaf."""
        receipt = hashlib.sha256(self.receipt).digest() if self.receipt else b""
        return _ENCODER.encode(
            (EVENT, self.number, self.facility, self.id, self.recipient, self.state, self.code, self.at_ms,
             receipt)
        )  # fmt: skip


def absent_leaf(kind: int, number: int) -> bytes:
    """Return the leaf of a number that no row has."""
    return _ENCODER.encode((ABSENT, kind, number))


_ENCODER: Final = msgpack.Encoder()
