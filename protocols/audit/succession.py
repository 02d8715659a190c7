"""One audit key takes the place of another: the old one signs the name of the new one.

``pack([payload, signature])``; ``payload`` = ``pack([1, origin, key, next, at_ms])``, ``signature`` by
``key`` over "wasl audit key v1" || 0x00 || payload. The statement stands in the audit log itself, in an
entry ``audit.key-rotated``; every checkpoint that covers this entry is signed by the next key, and by no
other. Whoever knows one key of the chain follows it to the latest. The other way is not offered: who has the
newest key only cannot be told by it which keys signed before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from crypto.errors import CryptoError
from crypto.keys import KEY_BYTES, SigningPrivateKey, SigningPublicKey
from protocols.audit.checkpoint import ORIGIN_CHARS, VERSION, CheckpointFault
from protocols.link.limits import CHECKPOINT_BYTES, SIGNATURE_BYTES

DOMAIN: Final = b"wasl audit key v1\x00"
ACTION: Final = "audit.key-rotated"
"""Of the entry that has the statement, in hexadecimal, as its detail ``STATEMENT``."""
STATEMENT: Final = "statement"

_Key = Annotated[bytes, Meta(min_length=KEY_BYTES, max_length=KEY_BYTES)]


class Succession(Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """What is signed. ``at_ms``: UTC milliseconds."""

    version: Annotated[int, Meta(ge=VERSION, le=VERSION)]
    origin: Annotated[str, Meta(max_length=ORIGIN_CHARS)]
    key: _Key
    next: _Key
    at_ms: Annotated[int, Meta(ge=0, le=1 << 62)]


class _Signed(Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    payload: bytes
    signature: Annotated[bytes, Meta(min_length=SIGNATURE_BYTES, max_length=SIGNATURE_BYTES)]


def issue(key: SigningPrivateKey, following: SigningPublicKey, *, origin: str, at_ms: int) -> bytes:
    """Return the signed statement, at most ``CHECKPOINT_BYTES``."""
    payload = _ENCODER.encode(Succession(VERSION, origin, bytes(key.public), bytes(following), at_ms))
    return _ENCODER.encode(_Signed(payload, key.sign(DOMAIN + payload)))


def verify(blob: bytes) -> Succession:
    """Return what a statement says, signed by the key that it says; raises :class:`CheckpointFault`."""
    if len(blob) > CHECKPOINT_BYTES:
        raise CheckpointFault(f"a change of the audit key has at most {CHECKPOINT_BYTES} bytes")
    try:
        signed = _SIGNED.decode(blob)
        found = _SUCCESSION.decode(signed.payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        raise CheckpointFault(f"this is no change of the audit key: {problem}") from None
    try:
        SigningPublicKey(found.key).verify(signed.signature, DOMAIN + signed.payload)
    except CryptoError:
        raise CheckpointFault("the change of the audit key is not signed by the key before") from None
    return found


def follow(key: SigningPublicKey, blobs: Sequence[bytes], origin: str) -> tuple[SigningPublicKey, ...]:
    """Return the keys from ``key`` on, in order; raises :class:`CheckpointFault` for a chain that breaks.

    Statements before the one that ``key`` signed are passed over.
    """
    keys = [key]
    for blob in blobs:
        found = verify(blob)
        if found.origin != origin:
            raise CheckpointFault(f"a change of the audit key of {found.origin!r}, not of {origin!r}")
        if found.key == bytes(keys[-1]):
            keys.append(SigningPublicKey(found.next))
        elif len(keys) > 1:
            raise CheckpointFault("a change of the audit key that does not follow the one before")
    return tuple(keys)


_ENCODER: Final = msgspec.msgpack.Encoder()
_SIGNED: Final = msgspec.msgpack.Decoder(_Signed)
_SUCCESSION: Final = msgspec.msgpack.Decoder(Succession)
