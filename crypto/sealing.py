r"""End-to-end sealing: what the hub carries and cannot read.

A sender draws one ``ContentKey`` for a message. Out of it, by keyed BLAKE2b with a personalisation each,
come the key of the body, a key for each attachment, and the commitment that stands in the envelope. The body
is closed by XChaCha20-Poly1305 with the envelope as associated data; the content key is wrapped once for
each recipient; the sender signs the digest of envelope and sealed body.

    content key --- commitment  -> envelope        envelope -------.--- nonce
                \-- body key    -> sealed body  <-- associated data --'
                 \- file keys   -> filestream      envelope + sealed body -> digest -> signature

The nonce is a hash of the envelope, so that sealing again after a crash yields the same bytes, and another
envelope never meets the same nonce. **One content key therefore closes one body**: the owner of the outbox
keeps key, envelope and body together, and draws a new key when the body changes. The commitment is there
because ChaCha20-Poly1305 does not commit to its key: a recipient compares ``key_commitment`` of what it has
unwrapped with the envelope's before it opens anything.

Signatures separate their domains: one made for a message is never one for a receipt. An error text
(``seal_detail``) is padded, and says nothing about who sealed it; the receipt that carries it is signed.
"""

from typing import Final

from crypto import primitives
from crypto.errors import BadSignature, CryptoError, DecryptionFailed, MalformedKey
from crypto.keys import SealingPrivateKey, SealingPublicKey, SigningPrivateKey, SigningPublicKey

CONTENT_KEY_BYTES = 32
DIGEST_BYTES = 32
SIGNATURE_BYTES = primitives.SIGNATURE_BYTES
WRAPPED_KEY_BYTES = CONTENT_KEY_BYTES + primitives.SEALED_BOX_OVERHEAD_BYTES
ATTACHMENT_ID_BYTES = 16

MAX_DETAIL_BYTES = 32_768
DETAIL_PAD_BYTES = 64
_DETAIL_LENGTH_BYTES = 4
MAX_SEALED_DETAIL_BYTES = (
    -(-(_DETAIL_LENGTH_BYTES + MAX_DETAIL_BYTES) // DETAIL_PAD_BYTES) * DETAIL_PAD_BYTES
    + primitives.SEALED_BOX_OVERHEAD_BYTES
)

MESSAGE_DOMAIN: Final = b"wasl message v1\x00"
RECEIPT_DOMAIN: Final = b"wasl receipt v1\x00"


class ContentKey:
    """The 32 bytes that open one message and its attachments; never shown, compared in constant time."""

    __slots__ = ("_raw",)

    def __init__(self, raw: bytes) -> None:
        if len(raw) != CONTENT_KEY_BYTES:
            raise MalformedKey(f"ContentKey: {CONTENT_KEY_BYTES} bytes expected, {len(raw)} given")
        self._raw = bytes(raw)

    @classmethod
    def generate(cls) -> "ContentKey":
        """Return a new key for one message."""
        return cls(primitives.random_bytes(CONTENT_KEY_BYTES))

    @property
    def raw(self) -> bytes:
        """The key itself, for the outbox to keep until the message is sealed."""
        return self._raw

    def __bytes__(self) -> bytes:
        return self._raw

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ContentKey):
            return NotImplemented
        return primitives.constant_time_equal(self._raw, other._raw)

    __hash__ = None  # type: ignore[assignment]  # a secret is nobody's dictionary key

    def __repr__(self) -> str:
        return "ContentKey(hidden)"


def key_commitment(content_key: ContentKey) -> bytes:
    """Return the 32 bytes that stand in the envelope and that only this content key yields."""
    return _derive(content_key, b"wasl commit")


def attachment_key(content_key: ContentKey, attachment_id: bytes) -> bytes:
    """Return the 32-byte ``filestream`` key of one attachment; ``attachment_id`` has 16 bytes."""
    if len(attachment_id) != ATTACHMENT_ID_BYTES:
        raise CryptoError(f"an attachment id has {ATTACHMENT_ID_BYTES} bytes, not {len(attachment_id)}")
    return _derive(content_key, b"wasl attachment", attachment_id)


def seal_body(content_key: ContentKey, envelope: bytes, body: bytes) -> bytes:
    """Return ``body`` closed under ``envelope``, 16 bytes longer; the same bytes each time.

    One content key closes one body: see the module's account.
    """
    return primitives.xchacha20poly1305_encrypt(
        _derive(content_key, b"wasl body"), _body_nonce(envelope), body, envelope
    )


def open_body(content_key: ContentKey, envelope: bytes, sealed: bytes) -> bytes:
    """Return the body; ``DecryptionFailed`` unless key, envelope and every byte are the sender's."""
    return primitives.xchacha20poly1305_decrypt(
        _derive(content_key, b"wasl body"), _body_nonce(envelope), sealed, envelope
    )


def wrap_key(content_key: ContentKey, recipient: SealingPublicKey) -> bytes:
    """Return the content key sealed for one recipient, 80 bytes, different each time."""
    return recipient.seal(content_key.raw)


def unwrap_key(wrapped: bytes, private: SealingPrivateKey) -> ContentKey:
    """Return the content key; ``DecryptionFailed`` if it was not wrapped for this recipient."""
    if len(wrapped) != WRAPPED_KEY_BYTES:
        raise DecryptionFailed(f"a wrapped key has {WRAPPED_KEY_BYTES} bytes, not {len(wrapped)}")
    return ContentKey(private.open(wrapped))


def message_digest(envelope: bytes, sealed_body: bytes) -> bytes:
    """Return the 32 bytes that a sender signs: BLAKE2b over both parts, each behind its 8-byte length."""
    lengths = len(envelope).to_bytes(8, "big"), len(sealed_body).to_bytes(8, "big")
    both = b"".join((lengths[0], envelope, lengths[1], sealed_body))
    return primitives.blake2b(both, size=DIGEST_BYTES, person=b"wasl message")


def sign_message(signing: SigningPrivateKey, digest: bytes) -> bytes:
    """Return the sender's 64-byte signature over a ``message_digest``."""
    if len(digest) != DIGEST_BYTES:
        raise CryptoError(f"a message digest has {DIGEST_BYTES} bytes, not {len(digest)}")
    return signing.sign(MESSAGE_DOMAIN + digest)


def verify_message(signing: SigningPublicKey, digest: bytes, signature: bytes) -> None:
    """Return if ``signature`` is the sender's for this message; ``BadSignature`` otherwise."""
    if len(digest) != DIGEST_BYTES:
        raise BadSignature(f"a message digest has {DIGEST_BYTES} bytes, not {len(digest)}")
    signing.verify(signature, MESSAGE_DOMAIN + digest)


def sign_receipt(signing: SigningPrivateKey, receipt: bytes) -> bytes:
    """Return the recipient's 64-byte signature over the encoded receipt."""
    return signing.sign(RECEIPT_DOMAIN + receipt)


def verify_receipt(signing: SigningPublicKey, receipt: bytes, signature: bytes) -> None:
    """Return if ``signature`` is the recipient's for this receipt; ``BadSignature`` otherwise."""
    signing.verify(signature, RECEIPT_DOMAIN + receipt)


def seal_detail(recipient: SealingPublicKey, text: bytes) -> bytes:
    """Seal a short text (at most 32 KiB) that goes back with a receipt.

    The text stands behind its 4-byte length and before zeros up to a multiple of 64 bytes, so that the
    hub learns little from the size.
    """
    if len(text) > MAX_DETAIL_BYTES:
        raise CryptoError(f"{len(text)} bytes of detail: at most {MAX_DETAIL_BYTES} are carried")
    plain = len(text).to_bytes(_DETAIL_LENGTH_BYTES, "big") + text
    return recipient.seal(plain + bytes(-len(plain) % DETAIL_PAD_BYTES))


def open_detail(private: SealingPrivateKey, sealed: bytes) -> bytes:
    """Return the text of ``seal_detail``; ``DecryptionFailed`` for anything else, padding included."""
    if len(sealed) > MAX_SEALED_DETAIL_BYTES:
        raise DecryptionFailed(
            f"a sealed detail has at most {MAX_SEALED_DETAIL_BYTES} bytes, not {len(sealed)}"
        )
    plain = private.open(sealed)
    length = int.from_bytes(plain[:_DETAIL_LENGTH_BYTES], "big")
    end = _DETAIL_LENGTH_BYTES + length
    padded_bytes = end + -end % DETAIL_PAD_BYTES
    if len(plain) != padded_bytes or any(plain[end:]):
        raise DecryptionFailed("the sealed detail is padded wrongly")
    return plain[_DETAIL_LENGTH_BYTES:end]


def _derive(content_key: ContentKey, person: bytes, data: bytes = b"") -> bytes:
    return primitives.blake2b(data, key=content_key.raw, person=person)


def _body_nonce(envelope: bytes) -> bytes:
    return primitives.blake2b(envelope, size=primitives.XCHACHA_NONCE_BYTES, person=b"wasl nonce")
