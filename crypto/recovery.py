r"""Keys of a backup: sealed so that the machine that makes one cannot read it afterwards.

Whoever keeps a network draws one ``RecoveryKey`` and puts its private half away from every server. A home
that makes a backup draws a content key for it, seals that for the public half, and forgets it. What is in the
backup is closed chunk by chunk as in ``crypto.filestream``.

A sealed box says nothing about who closed it, so anybody with the public half could make a backup that opens.
Hence the *seal* at a backup's end: a keyed hash over its beginning and all of its chunks, under a key that
only two can compute, the home by its link key and the keeper by the recovery key (X25519 between the two).
It shows that this very home made it, to the keeper and to nobody else::

    seal key = BLAKE2b-256(X25519(link, recovery) | link public | recovery public, person "wasl bak seal")
    seal     = BLAKE2b-256(BLAKE2b-256(beginning) | root of all chunks, key = seal key, person "wasl backup")
    chunks   : key = BLAKE2b-256(BLAKE2b-256(beginning), key = content key, person "wasl bak key")

So a beginning that was changed opens nothing. Pure: bytes in, bytes out.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

from crypto import primitives
from crypto.errors import DecryptionFailed, MalformedKey
from crypto.keys import LinkPrivateKey, LinkPublicKey, SealingPrivateKey, SealingPublicKey
from crypto.primitives import blake2b, constant_time_equal

CONTENT_KEY_BYTES: Final = 32
SEAL_BYTES: Final = 32
CHECK_BYTES: Final = 4
PUBLIC_PREFIX: Final = "wasl-backup-to-1:"
PRIVATE_PREFIX: Final = "wasl-backup-private-1:"
TEXT_CHARS: Final = 256
"""A key's text is shorter."""


def public_text(key: SealingPublicKey) -> str:
    """Return the one line that is given to servers."""
    return _text(PUBLIC_PREFIX, key.raw)


def private_text(key: SealingPrivateKey) -> str:
    """Return the one line that no server may hold."""
    return _text(PRIVATE_PREFIX, key.raw)


def parse_public(text: str) -> SealingPublicKey:
    """Read :func:`public_text`; ``MalformedKey`` says what it is instead."""
    if text.strip().startswith(PRIVATE_PREFIX):
        raise MalformedKey(
            "this is the private recovery key: take it off this machine, and give the public one"
        )
    key = SealingPublicKey(_raw(PUBLIC_PREFIX, text))
    if primitives.x25519_low_order(key.raw):
        raise MalformedKey("this recovery key has low order: nothing can be sealed for it")
    return key


def parse_private(text: str) -> SealingPrivateKey:
    """Read :func:`private_text`; ``MalformedKey`` says what it is instead."""
    if text.strip().startswith(PUBLIC_PREFIX):
        raise MalformedKey("this is the public recovery key: the private one opens backups")
    return SealingPrivateKey(_raw(PRIVATE_PREFIX, text))


def wrap(content_key: bytes, recovery: SealingPublicKey) -> bytes:
    """Return the content key sealed for the keeper."""
    return recovery.seal(content_key)


def unwrap(wrapped: bytes, recovery: SealingPrivateKey) -> bytes:
    """Return the content key; ``DecryptionFailed`` if it was sealed for another key, or changed."""
    content_key = recovery.open(wrapped)
    if len(content_key) != CONTENT_KEY_BYTES:
        raise DecryptionFailed(f"a content key has {CONTENT_KEY_BYTES} bytes, not {len(content_key)}")
    return content_key


def chunk_key(content_key: bytes, beginning: bytes) -> bytes:
    """Return the key of the chunks that follow this beginning."""
    return blake2b(blake2b(beginning), key=content_key, person=b"wasl bak key")


def seal_key_of_home(link: LinkPrivateKey, recovery: SealingPublicKey) -> bytes:
    """Return the seal key, as the home computes it."""
    return _seal_key(link.exchange(LinkPublicKey(recovery.raw)), link.public.raw, recovery.raw)


def seal_key_of_keeper(link: LinkPublicKey, recovery: SealingPrivateKey) -> bytes:
    """Return the seal key, as the keeper computes it; ``CryptoError`` for a link key of low order."""
    shared = LinkPrivateKey(recovery.raw).exchange(link)
    return _seal_key(shared, link.raw, recovery.public.raw)


def seal(key: bytes, beginning: bytes, root: bytes) -> bytes:
    """Return the seal (``SEAL_BYTES``) over a backup's beginning and the root of its chunks."""
    return blake2b(blake2b(beginning) + root, size=SEAL_BYTES, key=key, person=b"wasl backup")


def check_seal(key: bytes, beginning: bytes, root: bytes, found: bytes) -> None:
    """Raise ``DecryptionFailed`` unless ``found`` is the seal."""
    if not constant_time_equal(seal(key, beginning, root), found):
        raise DecryptionFailed("the seal is not that of the home that the backup names")


def _seal_key(shared: bytes, link: bytes, recovery: bytes) -> bytes:
    return blake2b(shared + link + recovery, person=b"wasl bak seal")


def _text(prefix: str, raw: bytes) -> str:
    return prefix + base64.urlsafe_b64encode(raw + _check(prefix, raw)).decode("ascii")


def _raw(prefix: str, text: str) -> bytes:
    line = text.strip()
    if not line.startswith(prefix) or len(line) > TEXT_CHARS:
        raise MalformedKey(f"a recovery key begins with {prefix!r}: copy the whole line that keygen printed")
    try:
        data = base64.urlsafe_b64decode(line.removeprefix(prefix).encode("ascii", "replace"))
    except (binascii.Error, ValueError):
        raise MalformedKey("the recovery key is not whole: copy the line again") from None
    raw, check = data[: primitives.KEY_BYTES], data[primitives.KEY_BYTES :]
    if len(data) != primitives.KEY_BYTES + CHECK_BYTES or not constant_time_equal(check, _check(prefix, raw)):
        raise MalformedKey("the recovery key is damaged (its check does not fit): copy the line again")
    return raw


def _check(prefix: str, raw: bytes) -> bytes:
    return blake2b(prefix.encode("ascii") + raw, size=CHECK_BYTES, person=b"wasl recovery")
