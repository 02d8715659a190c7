"""The one door to PyNaCl and ``cryptography``: no other module imports either.

What passes through is checked for size here, because several libsodium bindings trust the lengths they are
given, and comes back either as bytes or as one of our own exceptions. Everything is libsodium by way of
``nacl.bindings``, with one exception: the ChaCha20-Poly1305 of the link and of attachments comes from
``cryptography`` (OpenSSL), which took 2.6 us against 10.4 at 1 KiB and 33 against 71 at 60 KiB when both
were measured in one interleaved run. For Ed25519 and X25519 the same run had libsodium ahead. BLAKE2b is
Python's own.

This module owns no policy and no state: which key seals what, and with which nonce, is said elsewhere.
"""

import hashlib
import hmac
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from nacl import bindings, exceptions

from crypto.errors import BadSignature, CryptoError, DecryptionFailed

KEY_BYTES = 32
SIGNATURE_BYTES = 64
SIGNING_SECRET_BYTES = 64
AEAD_TAG_BYTES = 16
XCHACHA_NONCE_BYTES = 24
SEALED_BOX_OVERHEAD_BYTES = 48

_SELDOM_USES = 4
"""So many uses of a key in a row do not yet make it worth while to keep its context."""
_ANY_PRIVATE = bytes(range(KEY_BYTES))


def random_bytes(size_bytes: int) -> bytes:
    """Return ``size_bytes`` bytes from the operating system's generator."""
    return secrets.token_bytes(size_bytes)


def constant_time_equal(left: bytes, right: bytes) -> bool:
    """Compare in a time that depends on the lengths only."""
    return hmac.compare_digest(left, right)


def blake2b(data: bytes, *, size: int = 32, key: bytes = b"", person: bytes = b"") -> bytes:
    """BLAKE2b (RFC 7693) of ``data``: ``size`` 1 to 64 bytes, ``key`` up to 64, ``person`` up to 16."""
    return hashlib.blake2b(data, digest_size=size, key=key, person=person).digest()


def blake2b_stream(*, size: int = 32, key: bytes = b"", person: bytes = b"") -> "hashlib.blake2b":
    """Return a BLAKE2b object with ``update``, ``digest`` and ``copy``; parameters as for ``blake2b``."""
    return hashlib.blake2b(digest_size=size, key=key, person=person)


def sha256_stream(data: bytes = b"") -> "hashlib._Hash":
    """Return a SHA-256 object (FIPS 180-4) with ``update``, ``digest`` and ``copy``, ``data`` taken in.

    Processors compute it in half the time of BLAKE2b where they have instructions for it: 41 us against 81
    for 60 KiB. It has no personalisation: begin ``data`` with words of your own.
    """
    return hashlib.sha256(data)


def hmac_blake2b(key: bytes, data: bytes) -> bytes:
    """HMAC (RFC 2104) over BLAKE2b-512, 64 bytes: the HMAC-HASH of Noise section 4.3."""
    return hmac.digest(key, data, hashlib.blake2b)


def x25519_public(private: bytes) -> bytes:
    """Return the 32-byte public key of a 32-byte X25519 private key (RFC 7748)."""
    _expect("X25519 private key", private, KEY_BYTES)
    return bindings.crypto_scalarmult_base(private)


def x25519(private: bytes, public: bytes) -> bytes:
    """Return the 32-byte shared secret; ``CryptoError`` if it is all zero (a public key of low order)."""
    _expect("X25519 private key", private, KEY_BYTES)
    _expect("X25519 public key", public, KEY_BYTES)
    try:
        shared = bindings.crypto_scalarmult(private, public)
    except exceptions.CryptoError as error:  # libsodium refuses an all-zero result itself
        raise CryptoError("the X25519 public key has low order: no shared secret") from error
    if constant_time_equal(shared, bytes(KEY_BYTES)):  # an older libsodium returns it
        raise CryptoError("the X25519 public key has low order: no shared secret")
    return shared


def x25519_low_order(public: bytes) -> bool:
    """Tell whether nobody can agree on a secret with this 32-byte public key (RFC 7748 section 6.1)."""
    try:
        x25519(_ANY_PRIVATE, public)  # private keys are multiples of 8: one of them speaks for all
    except CryptoError:
        return True
    return False


class Aead:
    """ChaCha20-Poly1305 (RFC 8439) under one 32-byte key; the caller owns the nonces and repeats none.

    OpenSSL's context for a key takes 2.4 KiB, and 1.7 us to make. It is kept only while there is much to do:
    from the first uses in a row until :meth:`rest`.
    """

    __slots__ = ("_cipher", "_key", "_uses")

    def __init__(self, key: bytes) -> None:
        _expect("ChaCha20-Poly1305 key", key, KEY_BYTES)
        self._key = key
        self._cipher: ChaCha20Poly1305 | None = None
        self._uses = 0

    def rest(self) -> None:
        """Hold the key only."""
        self._cipher = None
        self._uses = 0

    def _made(self) -> ChaCha20Poly1305:
        cipher = ChaCha20Poly1305(self._key)
        self._uses += 1
        if self._uses > _SELDOM_USES:
            self._cipher = cipher
        return cipher

    def encrypt(self, nonce: bytes, plaintext: bytes, ad: bytes = b"") -> bytes:
        """Return the ciphertext, ``AEAD_TAG_BYTES`` longer than ``plaintext``; ``nonce`` is 12 bytes."""
        try:
            return (self._cipher or self._made()).encrypt(nonce, plaintext, ad)
        except (ValueError, OverflowError) as error:
            raise CryptoError(f"cannot encrypt: {error}") from error

    def decrypt(self, nonce: bytes, ciphertext: bytes, ad: bytes = b"") -> bytes:
        """Return the plaintext; ``DecryptionFailed`` unless key, nonce, ``ad`` and every byte are right."""
        try:
            return (self._cipher or self._made()).decrypt(nonce, ciphertext, ad)
        except InvalidTag:
            raise DecryptionFailed("the ciphertext is not authentic under this key and nonce") from None
        except (ValueError, OverflowError) as error:
            raise CryptoError(f"cannot decrypt: {error}") from error


def xchacha20poly1305_encrypt(key: bytes, nonce: bytes, plaintext: bytes, ad: bytes) -> bytes:
    """XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha): 32-byte key, 24-byte nonce, 16 bytes longer."""
    _expect("XChaCha20-Poly1305 key", key, KEY_BYTES)
    _expect("XChaCha20-Poly1305 nonce", nonce, XCHACHA_NONCE_BYTES)
    return bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(plaintext, ad, nonce, key)


def xchacha20poly1305_decrypt(key: bytes, nonce: bytes, ciphertext: bytes, ad: bytes) -> bytes:
    """Return the plaintext; ``DecryptionFailed`` unless key, nonce, ``ad`` and every byte are right."""
    _expect("XChaCha20-Poly1305 key", key, KEY_BYTES)
    _expect("XChaCha20-Poly1305 nonce", nonce, XCHACHA_NONCE_BYTES)
    if len(ciphertext) < AEAD_TAG_BYTES:
        raise DecryptionFailed(f"{len(ciphertext)} bytes are shorter than the {AEAD_TAG_BYTES}-byte tag")
    try:
        return bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(ciphertext, ad, nonce, key)
    except exceptions.CryptoError:
        raise DecryptionFailed("the ciphertext is not authentic under this key and nonce") from None


def sealed_box_seal(public: bytes, plaintext: bytes) -> bytes:
    """Seal by libsodium's ``crypto_box_seal`` for an X25519 public key; 48 bytes longer, new each time.

    Raises ``CryptoError`` for a public key of low order.
    """
    _expect("sealing public key", public, KEY_BYTES)
    try:
        return bindings.crypto_box_seal(plaintext, public)
    except exceptions.CryptoError as error:
        raise CryptoError("the sealing public key has low order: nothing can be sealed for it") from error


def sealed_box_open(private: bytes, public: bytes, sealed: bytes) -> bytes:
    """Open ``crypto_box_seal``; ``DecryptionFailed`` if it was not sealed for this key or was changed."""
    _expect("sealing private key", private, KEY_BYTES)
    _expect("sealing public key", public, KEY_BYTES)
    if len(sealed) < SEALED_BOX_OVERHEAD_BYTES:
        raise DecryptionFailed(
            f"{len(sealed)} bytes are too few: a sealed box has {SEALED_BOX_OVERHEAD_BYTES} of overhead"
        )
    try:
        return bindings.crypto_box_seal_open(sealed, public, private)
    except exceptions.CryptoError:
        raise DecryptionFailed("the box was not sealed for this key, or was changed") from None


def ed25519_keypair(seed: bytes) -> tuple[bytes, bytes]:
    """Return (32-byte public key, 64-byte expanded secret) of a 32-byte seed (RFC 8032)."""
    _expect("Ed25519 seed", seed, KEY_BYTES)
    return bindings.crypto_sign_seed_keypair(seed)


def ed25519_sign(secret: bytes, data: bytes) -> bytes:
    """Return the 64-byte signature of ``data``; ``secret`` is the expanded one of ``ed25519_keypair``."""
    _expect("Ed25519 expanded secret", secret, SIGNING_SECRET_BYTES)
    return bindings.crypto_sign(data, secret)[:SIGNATURE_BYTES]


def ed25519_verify(public: bytes, signature: bytes, data: bytes) -> None:
    """Return if ``signature`` is that of ``data`` under ``public``; ``BadSignature`` otherwise.

    libsodium also refuses keys of low order and a signature whose scalar is not reduced.
    """
    _expect("Ed25519 public key", public, KEY_BYTES)
    if len(signature) != SIGNATURE_BYTES:
        raise BadSignature(f"a signature has {SIGNATURE_BYTES} bytes, not {len(signature)}")
    try:
        bindings.crypto_sign_open(signature + data, public)
    except exceptions.CryptoError:  # BadSignatureError is one
        raise BadSignature("the signature does not belong to this key and these bytes") from None


def _expect(what: str, value: bytes, size_bytes: int) -> None:
    if len(value) != size_bytes:
        raise CryptoError(f"{what}: {size_bytes} bytes expected, {len(value)} given")
