"""The hub's signed word on how long its log is and what is in it, and a node's signature beside it.

A checkpoint is the MessagePack array ``[payload, signature]``; ``payload`` is the encoded array ``[1,
origin, size, root, at_ms, key]``: the hub's name, how many entries, the root over them
(:mod:`protocols.audit.tree`), the hub's time, and the public key that signs. Signed is the Ed25519
signature over ``DOMAIN`` and ``payload``. The key inside says only which key to look for; whether it is the
hub's is for the reader, who has it from elsewhere: a node keeps the one that it saw first, an auditor is
given it.

A node that has seen that one checkpoint grew out of another countersigns: its signing key over
``WITNESS_DOMAIN`` and the encoded array ``[facility, payload]``.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from crypto.errors import CryptoError
from crypto.keys import SigningPrivateKey, SigningPublicKey
from protocols.audit.tree import HASH_BYTES
from protocols.errors import RemoteProtocolError
from protocols.link.limits import CHECKPOINT_BYTES, SIGNATURE_BYTES

VERSION: Final = 1
DOMAIN: Final = b"wasl checkpoint v1\x00"
WITNESS_DOMAIN: Final = b"wasl witness v1\x00"
ORIGIN_CHARS: Final = 63
_KEY_BYTES: Final = 32


class CheckpointFault(RemoteProtocolError):  # noqa: N818 - as its base says it
    """Bytes that are no checkpoint, or not signed by whom they should be."""

    wire_code = "bad-checkpoint"


class Checkpoint(Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """What is signed. ``at_ms``: UTC milliseconds."""

    version: Annotated[int, Meta(ge=VERSION, le=VERSION)]
    origin: Annotated[str, Meta(max_length=ORIGIN_CHARS)]
    size: Annotated[int, Meta(ge=1, le=1 << 62)]
    root: Annotated[bytes, Meta(min_length=HASH_BYTES, max_length=HASH_BYTES)]
    at_ms: Annotated[int, Meta(ge=0, le=1 << 62)]
    key: Annotated[bytes, Meta(min_length=_KEY_BYTES, max_length=_KEY_BYTES)]


class _Signed(Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    payload: bytes
    signature: Annotated[bytes, Meta(min_length=SIGNATURE_BYTES, max_length=SIGNATURE_BYTES)]


def issue(key: SigningPrivateKey, *, origin: str, size: int, root: bytes, at_ms: int) -> bytes:
    """Return a signed checkpoint, at most ``CHECKPOINT_BYTES``."""
    payload = _ENCODER.encode(Checkpoint(VERSION, origin, size, root, at_ms, bytes(key.public)))
    return _ENCODER.encode(_Signed(payload, key.sign(DOMAIN + payload)))


def verify(blob: bytes, key: SigningPublicKey | None = None) -> Checkpoint:
    """Return what a checkpoint says, signed by ``key``, or without one, by the key that it names.

    Raises :class:`CheckpointFault`.
    """
    signed, found = _parse(blob)
    if key is not None and bytes(key) != found.key:
        raise CheckpointFault(
            f"the checkpoint is signed by key {found.key.hex()}, expected is {bytes(key).hex()}"
        )
    try:
        SigningPublicKey(found.key).verify(signed.signature, DOMAIN + signed.payload)
    except CryptoError:
        raise CheckpointFault(f"the signature of checkpoint {found.size} is wrong") from None
    return found


def countersign(key: SigningPrivateKey, facility: str, blob: bytes) -> bytes:
    """Return a witness's signature of a checkpoint; raises :class:`CheckpointFault` for what is none."""
    return key.sign(_witnessed(facility, blob))


def countersigned(key: SigningPublicKey, facility: str, blob: bytes, signature: bytes) -> bool:
    """Say whether ``signature`` is that of the facility's node for this checkpoint."""
    try:
        key.verify(signature, _witnessed(facility, blob))
    except CryptoError:
        return False
    return True


def _witnessed(facility: str, blob: bytes) -> bytes:
    return WITNESS_DOMAIN + _ENCODER.encode((facility, _parse(blob)[0].payload))


def _parse(blob: bytes) -> tuple[_Signed, Checkpoint]:
    if len(blob) > CHECKPOINT_BYTES:
        raise CheckpointFault(f"a checkpoint has at most {CHECKPOINT_BYTES} bytes, not {len(blob)}")
    try:
        signed = _SIGNED.decode(blob)
        return signed, _CHECKPOINT.decode(signed.payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        raise CheckpointFault(f"this is no checkpoint: {problem}") from None


_ENCODER: Final = msgspec.msgpack.Encoder()
_SIGNED: Final = msgspec.msgpack.Decoder(_Signed)
_CHECKPOINT: Final = msgspec.msgpack.Decoder(Checkpoint)
