"""The one-time join code: one line to paste that lets one facility in.

It carries all that a new node must know and must not learn from the network: where the
hub is, the hub's name and key, the authority's key, which invitation this is, and the
secret that proves it. Whoever holds it before its use can join in the facility's name, so
it travels like a password and works once.

    "wasl1-" base64url( payload || BLAKE2b-64(payload, person "wasl code") ), no padding

payload: MessagePack array of the fields of :class:`JoinCode`. The pre-shared key of the
handshake is BLAKE2b-256 of the secret under person ``wasl join``, bound to the invitation.
"""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from crypto.primitives import blake2b, constant_time_equal
from protocols.link.envelope import Digest, Facility, Id
from protocols.link.errors import LocalError, RemoteError
from protocols.link.limits import HUB_NAME_CHARS

PREFIX: Final = "wasl1-"
CODE_CHARS: Final = 1_024
_CHECK_BYTES: Final = 8

Endpoint = Annotated[str, Meta(max_length=255, pattern=r"^.+:[0-9]{1,5}\Z")]


class JoinCode(Struct, array_like=True, frozen=True):
    """What an invitation tells a new node. ``hub`` is ``host:port``.

    ``trust``: the serial of the last change of the network's own keys that led to those in the code.
    """

    hub: Endpoint
    hub_name: Annotated[str, Meta(min_length=1, max_length=HUB_NAME_CHARS)]
    hub_key: Digest
    authority_key: Digest
    facility: Facility
    invitation: Id
    secret: Digest
    trust: Annotated[int, Meta(ge=0, le=1 << 62)] = 0

    def __repr__(self) -> str:
        """Name the facility and the hub; never the secret."""
        return f"<JoinCode {self.facility} at {self.hub}>"

    @property
    def psk(self) -> bytes:
        """The handshake's pre-shared key, 32 bytes."""
        return join_psk(self.invitation, self.secret)


_decoder = msgspec.msgpack.Decoder(JoinCode)


def join_psk(invitation: bytes, secret: bytes) -> bytes:
    """Return the pre-shared key of an invitation; all that the hub needs to keep of the secret."""
    return blake2b(invitation, key=secret, person=b"wasl join")


def join_proof(invitation: bytes, link_key: bytes, signing_key: bytes, sealing_key: bytes) -> bytes:
    """Return what a joining node signs with its new signing key, to show that it holds it."""
    return b"wasl join proof v1" + invitation + link_key + signing_key + sealing_key


def renewal_text(
    facility: str, serial: int, link_key: bytes, signing_key: bytes, sealing_key: bytes
) -> bytes:
    """Return what a node signs for new keys, with the new signing key and with that of ``serial``."""
    head = b"wasl renew proof v1" + facility.encode("ascii") + b"\x00" + serial.to_bytes(8, "big")
    return head + link_key + signing_key + sealing_key


def encode_joincode(code: JoinCode) -> str:
    """Return the line to paste; :class:`LocalError` if host and hub name make it too long."""
    payload = msgspec.msgpack.encode(code)
    line = PREFIX + _base64(payload + _check(payload))
    if len(line) > CODE_CHARS:
        raise LocalError(f"{len(line)} characters, a join code has at most {CODE_CHARS}")
    return line


def decode_joincode(line: str) -> JoinCode:
    """Read a pasted line; :class:`RemoteError` says what is wrong with it without repeating it."""
    if len(line) > 2 * CODE_CHARS:
        raise RemoteError("join-code", f"{len(line)} characters, a join code has at most {CODE_CHARS}")
    text = "".join(line.split())
    if not text.startswith(PREFIX):
        raise RemoteError("join-code", f"a join code begins with {PREFIX}")
    if len(text) > CODE_CHARS:
        raise RemoteError("join-code", f"{len(text)} characters, a join code has at most {CODE_CHARS}")
    encoded = text[len(PREFIX) :]
    try:
        data = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise RemoteError("join-code", "a character that no join code has; copy the whole line") from None
    payload, check = data[:-_CHECK_BYTES], data[-_CHECK_BYTES:]
    # The last character may hold bits that no byte uses: they are zero, so that a code has one spelling.
    if _base64(data) != encoded or not constant_time_equal(check, _check(payload)):
        raise RemoteError("join-code", "incomplete or mistyped (its check sum is wrong); copy the whole line")
    try:
        return _decoder.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        raise RemoteError("join-code", f"made by another version of Wasl: {problem}") from None


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _check(payload: bytes) -> bytes:
    return blake2b(payload, size=_CHECK_BYTES, person=b"wasl code")
