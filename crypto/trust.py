"""Keys of the network's own that take each other's place: what the authority says of them, and who follows.

A node pins two keys when it joins: the hub's link key and the authority's signing key. Either may be
replaced. Each replacement is a ``TrustChange``, signed by the authority that holds at that moment; together
they are a chain with rising serials, which the hub keeps and tells. Whoever knows an early end of the chain
can follow it to the latest, over the link or by a file; nothing in it is secret.

- ``LINK``: the hub will be known by this link key as well, and alone by it later.
- ``AUTHORITY``: this key signs what comes from now on; the one before still counts for what it signed.
- ``RETIRED``: what this earlier authority's key signed is believed no more if it is seen for the first time.

On the wire a change is ``[4, payload, signature]``, the same form as the statements of ``crypto.identity``,
with one encoding each. ``Anchors`` is what one end trusts; ``Anchors.follow`` is the only way from one state
to the next. Who stole the authority's key can make a chain of his own: against that helps joining anew only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final

import msgspec

from crypto.errors import BadSignature, BadStatement, MalformedKey
from crypto.identity import MALFORMED, MAX_INTEGER, WRONG_AUTHORITY
from crypto.keys import KEY_BYTES, LinkPublicKey, SigningPrivateKey, SigningPublicKey
from crypto.primitives import SIGNATURE_BYTES

MAX_CHANGE_BYTES: Final = 512
MAX_HUB_CHARS: Final = 63
AUTHORITIES_KEPT: Final = 4
"""Earlier authorities that count beside the present one, and likewise of those that count no more."""
_TYPE: Final = 4
_DOMAIN: Final = b"wasl trust v1\x00"


class Subject(IntEnum):
    """What a change is about."""

    LINK = 1
    AUTHORITY = 2
    RETIRED = 3


class TrustChange(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One link of the chain of the hub named ``hub``. ``key``: 32 raw bytes; ``at_ms``: UTC milliseconds."""

    hub: str
    serial: int
    subject: Subject
    key: bytes
    at_ms: int

    def __post_init__(self) -> None:
        if not 0 < len(self.hub) <= MAX_HUB_CHARS:
            raise BadStatement(MALFORMED, f"a hub's name has 1 to {MAX_HUB_CHARS} characters")
        for what, number in (("serial", self.serial), ("at_ms", self.at_ms)):
            if not 0 < number <= MAX_INTEGER:
                raise BadStatement(MALFORMED, f"{what} {number}: 1 to 2**63 - 1 expected")
        if len(self.key) != KEY_BYTES:
            raise BadStatement(MALFORMED, f"a key has {KEY_BYTES} bytes, not {len(self.key)}")
        if self.subject is Subject.LINK and LinkPublicKey(self.key).low_order:
            raise BadStatement(MALFORMED, "the link key has low order: nobody can be known by it")


class _Wire(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    type: int
    payload: bytes
    signature: bytes


def issue(authority: SigningPrivateKey, change: TrustChange) -> bytes:
    """Return the signed change; the same key and change give the same bytes. Raises ``BadStatement``."""
    try:
        payload = _ENCODER.encode(change)
    except ValueError as error:  # a lone surrogate in a text
        raise BadStatement(MALFORMED, f"the change cannot be encoded: {error}") from None
    return _ENCODER.encode(_Wire(_TYPE, payload, authority.sign(_DOMAIN + payload)))


def verify(blob: bytes, authority: SigningPublicKey) -> TrustChange:
    """Return the change in ``blob`` if this authority signed it; ``BadStatement`` on anything else."""
    wire = _parse(blob)
    try:
        authority.verify(wire.signature, _DOMAIN + wire.payload)
    except BadSignature:
        raise BadStatement(
            WRONG_AUTHORITY, f"not signed by the authority {authority.fingerprint()}, or changed since"
        ) from None
    change = _change(wire.payload)
    if _ENCODER.encode(change) != wire.payload or _ENCODER.encode(wire) != blob:
        raise BadStatement(MALFORMED, "not the one encoding of this change (shortest MessagePack form)")
    return change


def recall(blob: bytes) -> TrustChange:
    """Return what a change says, whoever signed it: for its serial, and for a store's own rows."""
    return _change(_parse(blob).payload)


@dataclass(frozen=True, slots=True)
class Anchors:
    """What one end trusts. ``link`` is the newest link key that was named, perhaps not in use yet.

    ``before``: earlier authorities that count as well, newest first. ``retired``: those that count only for
    what was verified, and kept, before their end.
    """

    hub: str
    serial: int
    link: LinkPublicKey
    authority: SigningPublicKey
    before: tuple[SigningPublicKey, ...] = ()
    retired: tuple[SigningPublicKey, ...] = ()

    def follow(self, blob: bytes) -> Anchors:
        """Return what is trusted after this change; the same if it is known already.

        ``BadStatement``: ``wrong-authority`` if another than the present authority signed it, ``malformed``
        for what is none, is of another hub, or names a key as new that has been the authority's before.
        """
        if recall(blob).serial <= self.serial:
            return self
        change = verify(blob, self.authority)
        if change.hub != self.hub:
            raise BadStatement(MALFORMED, f"a change of the hub {change.hub!r}, not of {self.hub!r}")
        after = replace(self, serial=change.serial)
        if change.subject is Subject.LINK:
            return replace(after, link=LinkPublicKey(change.key))
        key = SigningPublicKey(change.key)
        if change.subject is Subject.RETIRED:
            if key not in self.before:
                return after  # an end that joined later never knew it
            return replace(
                after,
                before=tuple(one for one in self.before if one != key),
                retired=(key, *self.retired)[:AUTHORITIES_KEPT],
            )
        if key in (self.authority, *self.before, *self.retired):
            raise BadStatement(MALFORMED, f"the key {key.fingerprint()} has been the authority's before")
        return replace(after, authority=key, before=(self.authority, *self.before)[:AUTHORITIES_KEPT])


def _parse(blob: bytes) -> _Wire:
    if len(blob) > MAX_CHANGE_BYTES:
        raise BadStatement(MALFORMED, f"{len(blob)} bytes: a change of keys has at most {MAX_CHANGE_BYTES}")
    try:
        wire = _WIRE_DECODER.decode(blob)
    except (msgspec.DecodeError, ValueError) as error:
        raise BadStatement(MALFORMED, f"no signed change of keys: {error}") from None
    if wire.type != _TYPE or len(wire.signature) != SIGNATURE_BYTES:
        raise BadStatement(MALFORMED, f"type {wire.type} with a signature of {len(wire.signature)} bytes")
    return wire


def _change(payload: bytes) -> TrustChange:
    try:
        return _CHANGE_DECODER.decode(payload)
    except (msgspec.DecodeError, MalformedKey, ValueError) as error:
        raise BadStatement(MALFORMED, f"no change of keys: {error}") from None


_ENCODER = msgspec.msgpack.Encoder()
_WIRE_DECODER = msgspec.msgpack.Decoder(_Wire)
_CHANGE_DECODER = msgspec.msgpack.Decoder(TrustChange)
