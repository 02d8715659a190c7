"""What can go wrong in ``crypto``: one family of exceptions, so that a caller can tell whose fault it is.

Bytes that came from elsewhere raise one of the named subclasses and nothing else. ``CryptoError`` itself
means that our own side asked for something that cannot be done (a nonce of the wrong length, say). No text
ever carries key material or plaintext.
"""


class CryptoError(Exception):
    """The root of the family; raised itself only for a call that is wrong on our side."""


class DecryptionFailed(CryptoError):  # noqa: N818  the name states the outcome
    """A ciphertext is not authentic under this key, nonce and associated data, or has an impossible size."""


class BadSignature(CryptoError):  # noqa: N818  the name states the outcome
    """A signature does not belong to this key and these bytes."""


class MalformedKey(CryptoError):  # noqa: N818  the name states the outcome
    """Bytes or text offered as a key cannot be one."""


class HandshakeFailed(CryptoError):  # noqa: N818  the name states the outcome
    """A handshake message is not authentic or malformed, or a call came out of order."""


class NonceExhausted(CryptoError):  # noqa: N818  the name states the outcome
    """A cipher has used every nonce; only a new handshake helps (Noise section 5.1)."""


class BadStatement(CryptoError):  # noqa: N818  the name states the outcome
    """A statement of the authority cannot be accepted.

    ``code`` is stable and meant for programs: ``malformed``, ``wrong-authority``, ``not-yet-valid`` or
    ``expired``. The text is meant for people.
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
