"""Opening what arrived: every check before a message is believed, in one place. Pure.

In order: does it read, is it for us, is the sender's credential trusted, is the signature the
sender's, is there a key for us, does it open and is it the one the envelope commits to, does
the content open and read. Only then is it a message.
"""

from __future__ import annotations

from dataclasses import dataclass

from crypto import sealing
from crypto.errors import CryptoError
from crypto.keys import SealingPrivateKey
from nodes.link.identity import Identity
from nodes.link.trust import Trust
from protocols.link import frames as f
from protocols.link.envelope import (
    Content,
    Envelope,
    SealedMessage,
    decode_content,
    decode_envelope,
    decode_message,
    facility_of,
)
from protocols.link.errors import RemoteError


@dataclass(frozen=True, slots=True)
class Opened:
    """A message that is what it claims to be."""

    sequence: int
    recipient: str
    digest: bytes
    envelope: Envelope
    content: Content
    content_key: sealing.ContentKey
    remaining_ms: int

    @property
    def expired(self) -> bool:
        """Its time was up when the hub sent it: taken only if it was taken before."""
        return self.remaining_ms == 0


class Rejected(Exception):  # noqa: N818 - past tense states the outcome
    """It is not. ``alarming``: somebody may be cheating, as opposed to a key that is out of date."""

    def __init__(self, code: str, text: str, *, alarming: bool) -> None:
        super().__init__(text)
        self.code = code
        self.alarming = alarming


def open_delivery(delivery: f.Delivery, identity: Identity, trust: Trust) -> Opened:
    """Verify and open one delivery; raises :class:`Rejected`."""
    try:
        message = decode_message(delivery.message)
        envelope = decode_envelope(message.envelope)
    except RemoteError as fault:
        raise Rejected("malformed", str(fault), alarming=True) from None
    if facility_of(delivery.recipient) != identity.facility or delivery.recipient not in envelope.recipients:
        raise Rejected("not-for-us", f"delivered as {delivery.recipient}", alarming=True)
    digest = sealing.message_digest(message.envelope, message.sealed)
    _check_signature(message, envelope, digest, trust)
    content_key = _unwrap(message, envelope, identity)
    try:
        body = sealing.open_body(content_key, message.envelope, message.sealed)
        content = decode_content(body)
    except (CryptoError, RemoteError) as fault:
        raise Rejected("cannot-open", str(fault), alarming=True) from None
    if len(content.files) + envelope.body_outside != len(envelope.attachments):
        raise Rejected("malformed", "the content names other files than the envelope", alarming=True)
    return Opened(
        delivery.sequence,
        delivery.recipient,
        digest,
        envelope,
        content,
        content_key,
        delivery.remaining_ms,
    )


def _check_signature(message: SealedMessage, envelope: Envelope, digest: bytes, trust: Trust) -> None:
    credential = trust.of_serial(envelope.sender_facility, message.signer_serial)
    if credential is None:
        raise Rejected(
            "unknown-signer",
            f"{envelope.sender_facility} has no trusted credential {message.signer_serial}",
            alarming=True,
        )
    try:
        sealing.verify_message(credential.signing_key, digest, message.signature)
    except CryptoError:
        raise Rejected("bad-signature", f"not signed by {envelope.sender_facility}", alarming=True) from None


def _unwrap_with(key: SealingPrivateKey, wrapped: bytes) -> sealing.ContentKey:
    return sealing.unwrap_key(wrapped, key)


def _unwrap(message: SealedMessage, envelope: Envelope, identity: Identity) -> sealing.ContentKey:
    mine = [wrap for wrap in message.wraps if wrap.facility == identity.facility]
    if not mine:
        raise Rejected("no-key", "no content key for this facility", alarming=False)
    try:
        content_key = identity.open_with_any(mine[0].key, _unwrap_with)
    except CryptoError:
        raise Rejected(
            "wrong-key",
            f"sealed for our credential {mine[0].serial}, whose keys this node has not",
            alarming=False,
        ) from None
    if sealing.key_commitment(content_key) != envelope.commitment:
        raise Rejected("wrong-key", "the key is not the one that the envelope commits to", alarming=True)
    return content_key
