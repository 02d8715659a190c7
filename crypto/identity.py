"""What the authority says about the network, signed: who holds which keys, whose keys ended, who is a group.

A statement is a small frozen struct. Signed are a domain string of its own type and its payload, a
MessagePack array; on the wire stands ``[type, payload, signature]``. There is one encoding of each
statement and ``verify`` accepts no other, so equal statements are equal bytes. The order of checks is size,
shape, type, signature, content: nothing inside the payload is looked at before the authority's signature
over it is known to be right.

``verify`` says that the authority once said this. Whether it still holds is for the caller, who has the
clock and the other statements: ``check_validity`` for the time, a ``Revocation`` of the same facility with
the same or a higher serial for the end, the higher serial among credentials and among groups of one name.

The rule for identifiers (facilities, mailboxes, groups) is ``ID_PATTERN``, here and nowhere else; ``config``,
which imports no other room, has a copy that a test holds to it.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

import msgspec

from crypto.errors import BadSignature, BadStatement, MalformedKey
from crypto.keys import LinkPublicKey, SealingPublicKey, SigningPrivateKey, SigningPublicKey
from crypto.primitives import SIGNATURE_BYTES

MAX_STATEMENT_BYTES = 8_192
MAX_ID_CHARS = 63
MAX_REASON_CHARS = 200
MAX_GROUP_MEMBERS = 64
MAX_INTEGER = 2**63 - 1  # serials and milliseconds fit a signed 64-bit column

MALFORMED: Final = "malformed"
WRONG_AUTHORITY: Final = "wrong-authority"
NOT_YET_VALID: Final = "not-yet-valid"
EXPIRED: Final = "expired"

ID_PATTERN: Final = r"[a-z0-9][a-z0-9.\-]{0,62}"
"""What may name a facility, a mailbox or a group, as a regular expression of Python's and JSON Schema's."""
_ID = re.compile(ID_PATTERN)
_ADDRESS_CHARS: Final = 2 * MAX_ID_CHARS + 1
ADDRESSES_KEPT: Final = 65_536
"""Addresses that were looked at before and need not be read again."""


def is_id(text: str) -> bool:
    """Say whether ``text`` may name a facility, a mailbox or a group: all of it is ``ID_PATTERN``."""
    return _ID.fullmatch(text) is not None


def is_address(text: str) -> bool:
    """Say whether ``text`` is ``mailbox@facility``, both by the rule of ``is_id``."""
    return len(text) <= _ADDRESS_CHARS and _is_address(text)  # nothing longer is remembered


@lru_cache(maxsize=ADDRESSES_KEPT)
def _is_address(text: str) -> bool:
    mailbox, at, facility = text.partition("@")
    return at == "@" and is_id(mailbox) and is_id(facility)


class Credential(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A facility's three public keys, good from ``not_before_ms`` to ``not_after_ms``, both included.

    No X25519 key has low order: sealing for such a key fails, and would fail at every other node.

    Times are milliseconds since 1970 UTC. A later credential of the facility has a higher ``serial``.
    """

    facility: str
    serial: int
    link_key: LinkPublicKey
    signing_key: SigningPublicKey
    sealing_key: SealingPublicKey
    not_before_ms: int
    not_after_ms: int

    def __post_init__(self) -> None:
        _require_id("facility", self.facility)
        for what, key in (("link", self.link_key), ("sealing", self.sealing_key)):
            if key.low_order:
                raise BadStatement(MALFORMED, f"the {what} key has low order: nothing can be sealed for it")
        _require_integer("serial", self.serial)
        _require_integer("not_before_ms", self.not_before_ms)
        _require_integer("not_after_ms", self.not_after_ms)
        if self.not_before_ms >= self.not_after_ms:
            raise BadStatement(MALFORMED, "not_after_ms must be later than not_before_ms")


class Revocation(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The end of a facility's credentials with this ``serial`` and all lower ones, from ``at_ms``."""

    facility: str
    serial: int
    at_ms: int
    reason: str

    def __post_init__(self) -> None:
        _require_id("facility", self.facility)
        _require_integer("serial", self.serial)
        _require_integer("at_ms", self.at_ms)
        if len(self.reason) > MAX_REASON_CHARS:
            raise BadStatement(MALFORMED, f"a reason has at most {MAX_REASON_CHARS} characters")


class Group(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A name that stands for up to 64 addresses ``mailbox@facility``; none means that it was dissolved."""

    name: str
    serial: int
    members: tuple[str, ...]

    def __post_init__(self) -> None:
        _require_id("group name", self.name)
        _require_integer("serial", self.serial)
        if len(self.members) > MAX_GROUP_MEMBERS:
            raise BadStatement(MALFORMED, f"a group has at most {MAX_GROUP_MEMBERS} members")
        if len(set(self.members)) != len(self.members):
            raise BadStatement(MALFORMED, "a group names each member once")
        for member in self.members:
            if not is_address(member):
                raise BadStatement(MALFORMED, f"group member {member[:130]!r}: mailbox@facility expected")


Statement = Credential | Revocation | Group

TYPES: Final[Mapping[int, type[Statement]]] = MappingProxyType({1: Credential, 2: Revocation, 3: Group})
DOMAINS: Final[Mapping[int, bytes]] = MappingProxyType(
    {1: b"wasl credential v1\x00", 2: b"wasl revocation v1\x00", 3: b"wasl group v1\x00"}
)


class _Wire(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    type: int
    payload: bytes
    signature: bytes


def issue(authority: SigningPrivateKey, statement: Statement) -> bytes:
    """Return the signed statement, at most 8 KiB, as ``[type, payload, signature]``.

    The same key and statement give the same bytes. Raises ``BadStatement("malformed")`` for a statement
    that cannot be encoded within the bound.
    """
    number = next(number for number, kind in TYPES.items() if isinstance(statement, kind))
    payload = _encode_payload(statement)
    blob = _ENCODER.encode(_Wire(number, payload, authority.sign(DOMAINS[number] + payload)))
    if len(blob) > MAX_STATEMENT_BYTES:
        raise BadStatement(MALFORMED, f"{len(blob)} bytes: a statement has at most {MAX_STATEMENT_BYTES}")
    return blob


def verify(blob: bytes, authority: SigningPublicKey) -> Statement:
    """Return the statement in ``blob`` if the authority signed it; ``BadStatement`` on anything else.

    ``malformed``: no statement, whoever signed it. ``wrong-authority``: not signed by this key.
    """
    if len(blob) > MAX_STATEMENT_BYTES:
        raise BadStatement(MALFORMED, f"{len(blob)} bytes: a statement has at most {MAX_STATEMENT_BYTES}")
    try:
        wire = _WIRE_DECODER.decode(blob)
    except (msgspec.DecodeError, ValueError) as error:
        raise BadStatement(MALFORMED, f"no signed statement: {error}") from None
    if wire.type not in TYPES:
        raise BadStatement(MALFORMED, f"statement type {wire.type} is unknown: {sorted(TYPES)} are known")
    if len(wire.signature) != SIGNATURE_BYTES:
        raise BadStatement(MALFORMED, f"a signature has {SIGNATURE_BYTES} bytes, not {len(wire.signature)}")
    try:
        authority.verify(wire.signature, DOMAINS[wire.type] + wire.payload)
    except BadSignature:
        raise BadStatement(
            WRONG_AUTHORITY, f"not signed by the authority {authority.fingerprint()}, or changed since"
        ) from None
    statement = _decode_payload(wire.type, wire.payload)
    if _encode_payload(statement) != wire.payload or _ENCODER.encode(wire) != blob:
        raise BadStatement(MALFORMED, "not the one encoding of this statement (shortest MessagePack form)")
    return statement


def verify_by_any(blob: bytes, authorities: Sequence[SigningPublicKey]) -> Statement:
    """Return the statement in ``blob`` if one of these signed it; raises as ``verify`` for the last of them.

    There are several while the authority's key is being replaced (``crypto.trust``).
    """
    for authority in authorities[:-1]:
        try:
            return verify(blob, authority)
        except BadStatement as fault:
            if fault.code != WRONG_AUTHORITY:
                raise
    return verify(blob, authorities[-1])


def same(one: bytes, other: bytes) -> bool:
    """Say whether two statements, both verified, say the same thing: only who signed may differ."""
    first, second = _WIRE_DECODER.decode(one), _WIRE_DECODER.decode(other)
    return (first.type, first.payload) == (second.type, second.payload)


def sign_again(blob: bytes, authority: SigningPrivateKey) -> bytes:
    """Return what ``blob`` states, signed by another authority; it was verified before."""
    return issue(authority, recall(blob))


def recall(blob: bytes) -> Statement:
    """Return a statement that was verified before it was stored: for a store's own rows, nothing else.

    Raises ``BadStatement("malformed")`` if it does not read any more. The signature is not looked at.
    """
    try:
        wire = _WIRE_DECODER.decode(blob)
    except (msgspec.DecodeError, ValueError) as error:
        raise BadStatement(MALFORMED, f"no signed statement: {error}") from None
    if wire.type not in TYPES:
        raise BadStatement(MALFORMED, f"statement type {wire.type} is unknown: {sorted(TYPES)} are known")
    return _decode_payload(wire.type, wire.payload)


def check_validity(credential: Credential, now_ms: int, tolerance_ms: int) -> None:
    """Raise ``BadStatement`` (``not-yet-valid`` or ``expired``) outside the credential's time.

    ``tolerance_ms`` is how wrong this machine's clock may be: it widens the time at both ends.
    """
    if now_ms < credential.not_before_ms - tolerance_ms:
        early_ms = credential.not_before_ms - now_ms
        raise BadStatement(
            NOT_YET_VALID, f"credential {credential.serial} of {credential.facility} begins in {early_ms} ms"
        )
    if now_ms > credential.not_after_ms + tolerance_ms:
        late_ms = now_ms - credential.not_after_ms
        raise BadStatement(
            EXPIRED, f"credential {credential.serial} of {credential.facility} ended {late_ms} ms ago"
        )


def _require_id(what: str, text: str) -> None:
    if not is_id(text):
        raise BadStatement(
            MALFORMED, f"{what} {text[:MAX_ID_CHARS]!r}: 1 to {MAX_ID_CHARS} of a-z 0-9 . - expected"
        )


def _require_integer(what: str, number: int) -> None:
    if not 0 <= number <= MAX_INTEGER:
        raise BadStatement(MALFORMED, f"{what} {number}: 0 to 2**63 - 1 expected")


def _encode_key(value: object) -> bytes:
    if isinstance(value, LinkPublicKey | SigningPublicKey | SealingPublicKey):
        return value.raw
    raise NotImplementedError(f"{type(value).__name__} has no place in a statement")


def _decode_key(kind: type, value: object) -> Any:
    if not isinstance(value, bytes):
        raise MalformedKey(f"{kind.__name__}: bytes expected")
    return kind(value)


_ENCODER = msgspec.msgpack.Encoder(enc_hook=_encode_key)
_WIRE_DECODER = msgspec.msgpack.Decoder(_Wire)
_PAYLOAD_DECODERS = {
    number: msgspec.msgpack.Decoder(kind, dec_hook=_decode_key) for number, kind in TYPES.items()
}


def _encode_payload(statement: Statement) -> bytes:
    try:
        return _ENCODER.encode(statement)
    except ValueError as error:  # a lone surrogate in a text
        raise BadStatement(MALFORMED, f"the statement cannot be encoded: {error}") from None


def _decode_payload(number: int, payload: bytes) -> Statement:
    try:
        return _PAYLOAD_DECODERS[number].decode(payload)
    except (msgspec.DecodeError, MalformedKey, ValueError) as error:
        raise BadStatement(MALFORMED, f"no {TYPES[number].__name__}: {error}") from None
