"""The handshake of the link and the ciphers that come out of it: Noise revision 34, two patterns only.

``IK`` is for enrolled nodes: the initiator knows the responder's static key beforehand and sends its own,
encrypted, in the first message. ``IKpsk2`` is for joining: a pre-shared key, carried by the one-time code,
goes into the second message. Both are two messages long:

    IK          <- s   ...   -> e, es, s, ss    <- e, ee, se
    IKpsk2      <- s   ...   -> e, es, s, ss    <- e, ee, se, psk

Suite 25519_ChaChaPoly_BLAKE2b. A message is worked out on a draft of the handshake's state, and the draft
replaces the state only when the whole message was right; so a false message changes nothing, and the right
one may still follow. A responder may be given its pre-shared key between the two messages, once the first
one's payload has told it which invitation is meant: that is why ``psk2`` was chosen.

What is promised: a finished handshake means that both ends hold the keys they claim, the same prologue and
the same pre-shared key. What is not: the *first* message's payload may be a replay, and it has no forward
secrecy against the theft of the responder's static key (Noise section 7.7). Act on it only after something
from the initiator has been decrypted with the transport cipher.

A ``CipherState`` counts its own nonces; the caller keeps records in order and decides when to rekey.
"""

from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Self

from crypto.errors import CryptoError, DecryptionFailed, HandshakeFailed, NonceExhausted
from crypto.keys import KEY_BYTES, LinkPrivateKey, LinkPublicKey
from crypto.primitives import AEAD_TAG_BYTES, Aead, blake2b, hmac_blake2b

MAX_MESSAGE_BYTES = 65_535
MAX_PLAINTEXT_BYTES = MAX_MESSAGE_BYTES - AEAD_TAG_BYTES
HASH_BYTES = 64
PSK_BYTES = 32
REKEY_NONCE = 2**64 - 1  # reserved by Noise section 5.1: no message is ever sent under it


class Pattern(Enum):
    """The two handshakes spoken on the link; the value is the full Noise protocol name."""

    IK = b"Noise_IK_25519_ChaChaPoly_BLAKE2b"
    IKPSK2 = b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2b"


class _Token(Enum):
    E = auto()
    S = auto()
    EE = auto()
    ES = auto()
    SE = auto()
    SS = auto()
    PSK = auto()


_FIRST = (_Token.E, _Token.ES, _Token.S, _Token.SS)
_SECOND = (_Token.E, _Token.EE, _Token.SE)
_MESSAGES = {Pattern.IK: (_FIRST, _SECOND), Pattern.IKPSK2: (_FIRST, (*_SECOND, _Token.PSK))}


class CipherState:
    """One direction of the transport (Noise section 5.1): a key and the nonce of the next message."""

    __slots__ = ("_aead", "_nonce")

    def __init__(self, key: bytes) -> None:
        self._aead = Aead(key)
        self._nonce = 0

    @property
    def nonce(self) -> int:
        """The number of messages that passed, which is the nonce of the next one."""
        return self._nonce

    def encrypt(self, plaintext: bytes, ad: bytes = b"") -> bytes:
        """Return a transport message, 16 bytes longer than ``plaintext``.

        Raises ``CryptoError`` above ``MAX_PLAINTEXT_BYTES``, ``NonceExhausted`` after 2**64 - 1 messages.
        """
        if len(plaintext) > MAX_PLAINTEXT_BYTES:
            raise CryptoError(f"{len(plaintext)} bytes do not fit: at most {MAX_PLAINTEXT_BYTES} a message")
        message = self._aead.encrypt(_nonce_bytes(self._usable_nonce()), plaintext, ad)
        self._nonce += 1
        return message

    def decrypt(self, ciphertext: bytes, ad: bytes = b"") -> bytes:
        """Return the plaintext of the next transport message (16 to 65,535 bytes).

        Raises ``DecryptionFailed`` for anything else; the nonce then stays where it was.
        """
        if not AEAD_TAG_BYTES <= len(ciphertext) <= MAX_MESSAGE_BYTES:
            raise DecryptionFailed(
                f"{len(ciphertext)} bytes: a transport message has {AEAD_TAG_BYTES} to {MAX_MESSAGE_BYTES}"
            )
        plaintext = self._aead.decrypt(_nonce_bytes(self._usable_nonce()), ciphertext, ad)
        self._nonce += 1
        return plaintext

    def rest(self) -> None:
        """Hold less memory until the next message."""
        self._aead.rest()

    def rekey(self) -> None:
        """Replace the key by a one-way function of itself (Noise sections 4.2 and 11.3); nonces go on."""
        fresh = self._aead.encrypt(_nonce_bytes(REKEY_NONCE), bytes(KEY_BYTES))
        self._aead = Aead(fresh[:KEY_BYTES])

    def _usable_nonce(self) -> int:
        if self._nonce >= REKEY_NONCE:
            raise NonceExhausted("all 2**64 - 1 nonces are used: make a new handshake")
        return self._nonce


@dataclass(frozen=True, slots=True)
class CipherPair:
    """Both directions of the transport, named from this end."""

    send: CipherState
    receive: CipherState


@dataclass(slots=True)
class _Draft:
    """The SymmetricState of Noise section 5.2 and the keys seen so far; copied before each message."""

    chaining_key: bytes
    hash: bytes
    cipher: CipherState | None = None
    ephemeral: LinkPrivateKey | None = None
    remote_ephemeral: LinkPublicKey | None = None
    remote_static: LinkPublicKey | None = None

    def mix_hash(self, data: bytes) -> None:
        self.hash = blake2b(self.hash + data, size=HASH_BYTES)

    def mix_key(self, material: bytes) -> None:
        self.chaining_key, key = _hkdf(self.chaining_key, material, 2)
        self.cipher = CipherState(key[:KEY_BYTES])

    def mix_key_and_hash(self, psk: bytes) -> None:
        self.chaining_key, extra, key = _hkdf(self.chaining_key, psk, 3)
        self.mix_hash(extra)
        self.cipher = CipherState(key[:KEY_BYTES])

    def encrypt_and_hash(self, plaintext: bytes) -> bytes:
        assert self.cipher is not None  # both patterns mix a key before anything is encrypted
        ciphertext = self.cipher.encrypt(plaintext, self.hash)
        self.mix_hash(ciphertext)
        return ciphertext

    def decrypt_and_hash(self, ciphertext: bytes) -> bytes:
        assert self.cipher is not None  # as above
        plaintext = self.cipher.decrypt(ciphertext, self.hash)
        self.mix_hash(ciphertext)
        return plaintext


class Handshake:
    """One end of one handshake; made by ``initiator`` or ``responder``, spent by ``split``.

    The initiator writes, then reads; the responder reads, then writes. Any other order, and any message
    that is not authentic, raises ``HandshakeFailed`` and changes nothing.
    """

    def __init__(
        self,
        pattern: Pattern,
        *,
        is_initiator: bool,
        prologue: bytes,
        static: LinkPrivateKey,
        responder_static: LinkPublicKey,
        psk: bytes | None,
        ephemeral: LinkPrivateKey | None,
    ) -> None:
        self._pattern = pattern
        self._is_initiator = is_initiator
        self._static = static
        self._psk: bytes | None = None
        self._given_ephemeral = ephemeral
        self._messages_done = 0
        self._is_split = False
        name = pattern.value
        start = name + bytes(HASH_BYTES - len(name))  # both names are shorter than a hash: padded, not hashed
        self._state = _Draft(chaining_key=start, hash=start)
        self._state.mix_hash(prologue)
        self._state.mix_hash(responder_static.raw)
        if is_initiator:
            self._state.remote_static = responder_static
        if psk is not None:
            self.set_psk(psk)

    @classmethod
    def initiator(
        cls,
        pattern: Pattern,
        *,
        prologue: bytes,
        static: LinkPrivateKey,
        remote_static: LinkPublicKey,
        psk: bytes | None = None,
        ephemeral: LinkPrivateKey | None = None,
    ) -> Self:
        """Begin as the end that connects; ``psk`` (32 bytes) is needed for ``IKPSK2`` and only there.

        ``ephemeral`` is for test vectors: leave it out, or one key serves two handshakes.
        """
        return cls(
            pattern,
            is_initiator=True,
            prologue=prologue,
            static=static,
            responder_static=remote_static,
            psk=psk,
            ephemeral=ephemeral,
        )

    @classmethod
    def responder(
        cls,
        pattern: Pattern,
        *,
        prologue: bytes,
        static: LinkPrivateKey,
        psk: bytes | None = None,
        ephemeral: LinkPrivateKey | None = None,
    ) -> Self:
        """Begin as the end that was connected to; ``psk`` may also follow by ``set_psk``."""
        return cls(
            pattern,
            is_initiator=False,
            prologue=prologue,
            static=static,
            responder_static=static.public,
            psk=psk,
            ephemeral=ephemeral,
        )

    def set_psk(self, psk: bytes) -> None:
        """Give the 32-byte pre-shared key, at any time before the second message."""
        if self._pattern is not Pattern.IKPSK2:
            raise HandshakeFailed("a pre-shared key belongs to IKpsk2 only, not to IK")
        if len(psk) != PSK_BYTES:
            raise HandshakeFailed(f"a pre-shared key has {PSK_BYTES} bytes, not {len(psk)}")
        if self.finished:
            raise HandshakeFailed("the second message is done: its pre-shared key cannot change any more")
        self._psk = psk

    @property
    def finished(self) -> bool:
        """True once both messages have passed."""
        return self._messages_done == len(_MESSAGES[self._pattern])

    @property
    def remote_static(self) -> LinkPublicKey:
        """The other end's key: given to an initiator, read from the first message by a responder."""
        if self._state.remote_static is None:
            raise HandshakeFailed("the other end's key is not known before the first message was read")
        return self._state.remote_static

    @property
    def handshake_hash(self) -> bytes:
        """64 bytes that are the same at both ends of this handshake and no other (Noise section 11.2)."""
        if not self.finished:
            raise HandshakeFailed("the handshake hash binds nothing before the handshake is finished")
        return self._state.hash

    def write_message(self, payload: bytes) -> bytes:
        """Return the next handshake message, at most 65,535 bytes, carrying ``payload``."""
        tokens = self._expect_turn(writing=True)
        draft = self._begin_draft()
        message = bytearray()
        try:
            for token in tokens:
                message += self._write_token(token, draft)
            message += draft.encrypt_and_hash(payload)
        except CryptoError as error:
            raise HandshakeFailed(f"handshake message {self._messages_done + 1}: {error}") from error
        if len(message) > MAX_MESSAGE_BYTES:
            raise HandshakeFailed(f"a handshake message has at most {MAX_MESSAGE_BYTES} bytes")
        self._publish(draft)
        return bytes(message)

    def read_message(self, message: bytes) -> bytes:
        """Return the payload of the other end's next message; ``HandshakeFailed`` unless it is authentic."""
        tokens = self._expect_turn(writing=False)
        if len(message) > MAX_MESSAGE_BYTES:
            raise HandshakeFailed(f"a handshake message has at most {MAX_MESSAGE_BYTES} bytes")
        draft = self._begin_draft()
        rest = message
        try:
            for token in tokens:
                rest = self._read_token(token, rest, draft)
            payload = draft.decrypt_and_hash(rest)
        except CryptoError as error:
            raise HandshakeFailed(f"handshake message {self._messages_done + 1}: {error}") from error
        self._publish(draft)
        return payload

    def split(self) -> CipherPair:
        """Return the two transport ciphers (Noise section 5.2); only once, so that no nonce repeats."""
        if not self.finished:
            raise HandshakeFailed("no transport before both handshake messages have passed")
        if self._is_split:
            raise HandshakeFailed("this handshake was split already: its ciphers exist once")
        self._is_split = True
        to_responder, to_initiator = (
            CipherState(key[:KEY_BYTES]) for key in _hkdf(self._state.chaining_key, b"", 2)
        )
        if self._is_initiator:
            return CipherPair(send=to_responder, receive=to_initiator)
        return CipherPair(send=to_initiator, receive=to_responder)

    def _expect_turn(self, *, writing: bool) -> tuple[_Token, ...]:
        if self.finished:
            raise HandshakeFailed("the handshake is finished: use the ciphers of split()")
        initiator_writes = self._messages_done % 2 == 0
        if writing != (initiator_writes == self._is_initiator):
            turn = "read" if writing else "write"
            raise HandshakeFailed(f"this end must {turn} handshake message {self._messages_done + 1}")
        return _MESSAGES[self._pattern][self._messages_done]

    def _begin_draft(self) -> _Draft:
        # Each message mixes a key before it encrypts, so the last message's cipher is never needed again;
        # leaving it out keeps draft and state without a shared mutable part.
        return replace(self._state, cipher=None)

    def _publish(self, draft: _Draft) -> None:
        self._state = draft
        self._messages_done += 1

    def _write_token(self, token: _Token, draft: _Draft) -> bytes:
        if token is _Token.E:
            draft.ephemeral = self._given_ephemeral or LinkPrivateKey.generate()
            self._mix_ephemeral(draft.ephemeral.public, draft)
            return draft.ephemeral.public.raw
        if token is _Token.S:
            return draft.encrypt_and_hash(self._static.public.raw)
        self._mix_token(token, draft)
        return b""

    def _read_token(self, token: _Token, rest: bytes, draft: _Draft) -> bytes:
        if token is _Token.E:
            draft.remote_ephemeral = LinkPublicKey(rest[:KEY_BYTES])
            self._mix_ephemeral(draft.remote_ephemeral, draft)
            return rest[KEY_BYTES:]
        if token is _Token.S:
            sealed_bytes = KEY_BYTES + AEAD_TAG_BYTES
            draft.remote_static = LinkPublicKey(draft.decrypt_and_hash(rest[:sealed_bytes]))
            return rest[sealed_bytes:]
        self._mix_token(token, draft)
        return rest

    def _mix_ephemeral(self, public: LinkPublicKey, draft: _Draft) -> None:
        draft.mix_hash(public.raw)
        if self._pattern is Pattern.IKPSK2:  # Noise section 9.2: "e" also enters the key
            draft.mix_key(public.raw)

    def _mix_token(self, token: _Token, draft: _Draft) -> None:
        if token is _Token.PSK:
            if self._psk is None:
                raise HandshakeFailed("the pre-shared key is missing: call set_psk() first")
            draft.mix_key_and_hash(self._psk)
            return
        # The letters name initiator's key, then responder's: which of them is ours depends on the role.
        crossed = {_Token.ES: _Token.SE, _Token.SE: _Token.ES}
        mine_first = token if self._is_initiator else crossed.get(token, token)
        ours = draft.ephemeral if mine_first in {_Token.EE, _Token.ES} else self._static
        theirs = draft.remote_ephemeral if mine_first in {_Token.EE, _Token.SE} else draft.remote_static
        assert ours is not None  # the order of tokens in both patterns sees to it
        assert theirs is not None
        draft.mix_key(ours.exchange(theirs))


def _nonce_bytes(nonce: int) -> bytes:
    return bytes(4) + nonce.to_bytes(8, "little")  # Noise section 12.3


def _hkdf(chaining_key: bytes, material: bytes, outputs: int) -> tuple[bytes, ...]:
    """HKDF of Noise section 4.3: ``outputs`` (2 or 3) values of 64 bytes."""
    secret = hmac_blake2b(chaining_key, material)
    values: list[bytes] = []
    for number in range(1, outputs + 1):
        previous = values[-1] if values else b""
        values.append(hmac_blake2b(secret, previous + bytes((number,))))
    return tuple(values)
