"""How two ends meet: the node's first packet, before any session exists.

    offset  bytes  what
    0       4      "WASL"
    4       1      protocol version
    5       1      pattern: 1 = Noise IK (enrolled), 2 = Noise IKpsk2 (joining by invitation)
    6       2      n, length of the Noise message, big-endian
    8       n      Noise message 1, payload: Hello
    8+n     16     mac1

mac1 is WireGuard's idea (its paper, section 5.3): a keyed BLAKE2b-128 over all bytes before it, under a
key that anybody derives who knows the hub's public key. It proves nothing about who is
calling; it costs the hub two microseconds instead of two hundred to turn away a stranger.
The hub's answer is a 2-byte length and Noise message 2, payload: Welcome.

The Noise prologue is ``"wasl" version pattern hub-name``, so that both ends agree on all three.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from crypto.keys import LinkPublicKey
from crypto.noise import Pattern
from crypto.primitives import blake2b, constant_time_equal
from protocols.link import limits
from protocols.link.errors import RemoteError

MAGIC: Final = b"WASL"
MAC1_BYTES: Final = 16
_PREAMBLE: Final = struct.Struct(">4sBBH")
PREAMBLE_BYTES: Final = _PREAMBLE.size
_NOISE_OVERHEAD_BYTES: Final = 32 + 48 + 16
HELLO_PACKET_BYTES: Final = limits.HELLO_BYTES + _NOISE_OVERHEAD_BYTES
WELCOME_PACKET_BYTES: Final = limits.HELLO_BYTES + 32 + 16

_PATTERN_CODES: Final = {Pattern.IK: 1, Pattern.IKPSK2: 2}
_PATTERNS: Final = {code: pattern for pattern, code in _PATTERN_CODES.items()}


@dataclass(frozen=True, slots=True)
class Preamble:
    """The fixed head of the first packet."""

    pattern: Pattern
    message_bytes: int

    @property
    def packet_bytes(self) -> int:
        """Length of the whole first packet."""
        return PREAMBLE_BYTES + self.message_bytes + MAC1_BYTES


def prologue(pattern: Pattern, hub_name: str) -> bytes:
    """Return what both ends hash before the first Noise message."""
    return b"wasl" + bytes((limits.PROTOCOL_VERSION, _PATTERN_CODES[pattern])) + hub_name.encode("utf-8")


def mac1_key(hub_key: LinkPublicKey) -> bytes:
    """Return the 32-byte key of mac1; a hub computes it once."""
    return blake2b(bytes(hub_key), person=b"wasl mac1")


def first_packet(pattern: Pattern, hub_key: LinkPublicKey, noise_message: bytes) -> bytes:
    """Return the node's first packet around Noise message 1."""
    head = _PREAMBLE.pack(MAGIC, limits.PROTOCOL_VERSION, _PATTERN_CODES[pattern], len(noise_message))
    body = head + noise_message
    return body + blake2b(body, size=MAC1_BYTES, key=mac1_key(hub_key))


def read_preamble(data: bytes) -> Preamble:
    """Read the first ``PREAMBLE_BYTES``; :class:`RemoteError` if no node of this version begins so."""
    magic, version, pattern_code, length = _PREAMBLE.unpack(data[:PREAMBLE_BYTES])
    if magic != MAGIC:
        raise RemoteError("not-wasl", "the first four bytes are not WASL")
    if version != limits.PROTOCOL_VERSION:
        raise RemoteError("version", f"protocol version {version}, this hub speaks {limits.PROTOCOL_VERSION}")
    if pattern_code not in _PATTERNS:
        raise RemoteError("pattern", f"handshake pattern {pattern_code}, known are 1 (IK) and 2 (IKpsk2)")
    if length < _NOISE_OVERHEAD_BYTES:
        raise RemoteError("malformed", f"first message of {length} bytes, at least {_NOISE_OVERHEAD_BYTES}")
    if length > HELLO_PACKET_BYTES:
        raise RemoteError("too-large", f"first message of {length} bytes, at most {HELLO_PACKET_BYTES}")
    return Preamble(_PATTERNS[pattern_code], length)


def read_first_packet(packet: bytes, preamble: Preamble, *keys: bytes) -> tuple[int, bytes]:
    """Check mac1 and return which of the keys it is made with, and Noise message 1.

    :class:`RemoteError` (``mac1``) for a stranger. A hub has two keys while the one takes the place of the
    other: mac1 tells them apart for two microseconds, before any public-key operation.
    """
    body, mac = packet[:-MAC1_BYTES], packet[-MAC1_BYTES:]
    for which, key in enumerate(keys):
        if constant_time_equal(mac, blake2b(body, size=MAC1_BYTES, key=key)):
            return which, body[PREAMBLE_BYTES : PREAMBLE_BYTES + preamble.message_bytes]
    raise RemoteError("mac1", "the caller does not know this hub's key")
