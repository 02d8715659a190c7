"""What rides inside the handshake's Noise messages: HELLO in the first, WELCOME in the second. No frames."""

from __future__ import annotations

from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct

from protocols.link import limits
from protocols.link.envelope import Millis, Sequence, Size
from protocols.link.errors import RemoteError

Window = Annotated[int, Meta(ge=1, le=limits.WINDOW_MAX)]
_T = TypeVar("_T")


class Hello(Struct, array_like=True, frozen=True):
    """Node to hub, in message 1. ``invitation`` is empty except when joining.

    ``trust``: the serial of the last change of the network's own keys that the node has followed.
    ``credential``: its own, if the hub said lately that it does not know the node's key; else empty.
    """

    software: Annotated[str, Meta(max_length=40)]
    now_ms: Millis
    deliver_window: Window
    invitation: Annotated[bytes, Meta(max_length=limits.ID_BYTES)] = b""
    trust: Sequence = 0
    credential: Annotated[bytes, Meta(max_length=limits.TRUST_BYTES)] = b""


class Welcome(Struct, array_like=True, frozen=True):
    """Hub to node, in message 2. ``directory_version`` tells the node whether its copy is old.

    ``epoch`` is 0 until the hub was restored from a backup, then when; ``epoch_from_ms``: when that was made.
    """

    software: Annotated[str, Meta(max_length=40)]
    now_ms: Millis
    submit_window: Window
    max_attachment_bytes: Size
    directory_version: Sequence = 0
    epoch: Millis = 0
    epoch_from_ms: Millis = 0


_encoder = msgspec.msgpack.Encoder()
_hello = msgspec.msgpack.Decoder(Hello)
_welcome = msgspec.msgpack.Decoder(Welcome)


def encode_payload(payload: Hello | Welcome) -> bytes:
    """Return the bytes of a handshake payload."""
    return _encoder.encode(payload)


def decode_hello(data: bytes) -> Hello:
    """Read message 1's payload; :class:`RemoteError` for anything else."""
    return _decode_payload(_hello, data, "hello")


def decode_welcome(data: bytes) -> Welcome:
    """Read message 2's payload; :class:`RemoteError` for anything else."""
    return _decode_payload(_welcome, data, "welcome")


def _decode_payload(decoder: msgspec.msgpack.Decoder[_T], data: bytes, what: str) -> _T:
    if len(data) > limits.HELLO_BYTES:
        raise RemoteError("too-large", f"{what} of {len(data)} bytes, at most {limits.HELLO_BYTES}")
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        raise RemoteError("malformed", f"{what}: {problem}") from None
