"""Keys as types: a link key cannot be taken for a signing key, and none can be printed by accident.

Six types of exactly 32 bytes: private and public, for the link (X25519), for signing (Ed25519, private = the
seed) and for sealing (X25519). They are frozen, compare in constant time and only with their own type, and
show themselves by fingerprint: the first 8 bytes of the BLAKE2b-256 of the *public* key, in hex. A private
key computes its public half once, when it is made, and keeps it. Private keys cannot be hashed, so that
none ends up as a dictionary key.

They do not know whether they may be trusted: that is for ``identity``. They do not erase themselves from
memory: Python cannot promise that.
"""

from typing import NoReturn, Self

from crypto import primitives
from crypto.errors import MalformedKey

KEY_BYTES = primitives.KEY_BYTES
FINGERPRINT_BYTES = 8


class _Key:
    """32 bytes with a type. Construct from raw bytes; ``MalformedKey`` on any other length."""

    __slots__ = ("raw",)

    raw: bytes

    def __init__(self, raw: bytes) -> None:
        if len(raw) != KEY_BYTES:
            raise MalformedKey(f"{type(self).__name__}: {KEY_BYTES} bytes expected, {len(raw)} given")
        self._keep("raw", bytes(raw))

    def _keep(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is frozen: {name} cannot be set")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is frozen: {name} cannot be deleted")

    def __bytes__(self) -> bytes:
        return self.raw

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Key) or type(other) is not type(self):
            return NotImplemented
        return primitives.constant_time_equal(self.raw, other.raw)

    __hash__ = None  # type: ignore[assignment]  # public keys give it back; private keys stay unhashable

    def __repr__(self) -> str:
        return f"{type(self).__name__}(fingerprint={self.fingerprint()})"

    def fingerprint(self) -> str:
        """Return 16 hex digits that name the public key; a private key answers with its public half's."""
        raise NotImplementedError


class _PublicKey(_Key):
    __slots__ = ()

    def __hash__(self) -> int:  # type: ignore[override]  # unhashable is only the base's caution
        return hash((type(self), self.raw))

    def fingerprint(self) -> str:
        return primitives.blake2b(self.raw)[:FINGERPRINT_BYTES].hex()


class _ExchangeKey(_PublicKey):
    __slots__ = ()

    @property
    def low_order(self) -> bool:
        """No secret can be agreed with this key: it is nobody's. Costs one X25519."""
        return primitives.x25519_low_order(self.raw)


class LinkPublicKey(_ExchangeKey):
    """The X25519 key by which a node or the hub is known on the link."""

    __slots__ = ()


class SigningPublicKey(_PublicKey):
    """An Ed25519 key that verifies messages, receipts or the authority's statements."""

    __slots__ = ()

    def verify(self, signature: bytes, data: bytes) -> None:
        """Return if ``signature`` (64 bytes) is that of ``data``; ``BadSignature`` otherwise."""
        primitives.ed25519_verify(self.raw, signature, data)


class SealingPublicKey(_ExchangeKey):
    """The X25519 key for which content keys and error texts are sealed."""

    __slots__ = ()

    def seal(self, plaintext: bytes) -> bytes:
        """Return ``crypto_box_seal`` of ``plaintext``, 48 bytes longer."""
        return primitives.sealed_box_seal(self.raw, plaintext)


class _PrivateKey(_Key):
    __slots__ = ("public",)

    public: _PublicKey

    @classmethod
    def generate(cls) -> Self:
        """Return a new key from the operating system's generator."""
        return cls(primitives.random_bytes(KEY_BYTES))

    def fingerprint(self) -> str:
        return self.public.fingerprint()

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{type(self).__name__} is not pickled: write it with crypto.keystore")


class LinkPrivateKey(_PrivateKey):
    """The private half of a ``LinkPublicKey``; also a Noise ephemeral key."""

    __slots__ = ()

    public: LinkPublicKey

    def __init__(self, raw: bytes) -> None:
        super().__init__(raw)
        self._keep("public", LinkPublicKey(primitives.x25519_public(self.raw)))

    def exchange(self, public: LinkPublicKey) -> bytes:
        """Return the 32-byte X25519 shared secret; ``CryptoError`` for a public key of low order."""
        return primitives.x25519(self.raw, public.raw)


class SigningPrivateKey(_PrivateKey):
    """An Ed25519 seed; the expanded secret is kept beside it, so that a signature costs one pass."""

    __slots__ = ("_secret",)

    public: SigningPublicKey
    _secret: bytes

    def __init__(self, raw: bytes) -> None:
        super().__init__(raw)
        public, secret = primitives.ed25519_keypair(self.raw)
        self._keep("public", SigningPublicKey(public))
        self._keep("_secret", secret)

    def sign(self, data: bytes) -> bytes:
        """Return the 64-byte signature. The caller separates domains: see ``sealing`` and ``identity``."""
        return primitives.ed25519_sign(self._secret, data)


class SealingPrivateKey(_PrivateKey):
    """The private half of a ``SealingPublicKey``."""

    __slots__ = ()

    public: SealingPublicKey

    def __init__(self, raw: bytes) -> None:
        super().__init__(raw)
        self._keep("public", SealingPublicKey(primitives.x25519_public(self.raw)))

    def open(self, sealed: bytes) -> bytes:
        """Open what was sealed for this key; ``DecryptionFailed`` otherwise."""
        return primitives.sealed_box_open(self.raw, self.public.raw, sealed)
