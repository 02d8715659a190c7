"""Changes of the network's own keys in a file: for a node that was away while they were told over the link.

JSON that people can read; bytes are base64. Nothing in it is secret, and nothing is believed because of the
file: each change is signed by the authority that held before it (``crypto.trust``).
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from protocols.link.errors import RemoteError
from protocols.link.limits import HUB_NAME_CHARS, TRUST_BYTES

FILE_BYTES: Final = 256 * 1_024
CHANGES: Final = 256
FORMAT: Final = 1


class TrustFile(Struct, frozen=True, forbid_unknown_fields=True):
    """All changes that a hub has announced, in order."""

    format: Annotated[int, Meta(ge=FORMAT, le=FORMAT)]
    hub: Annotated[str, Meta(min_length=1, max_length=HUB_NAME_CHARS)]
    changes: Annotated[tuple[Annotated[bytes, Meta(max_length=TRUST_BYTES)], ...], Meta(max_length=CHANGES)]


_decoder = msgspec.json.Decoder(TrustFile)


def encode_trust_file(hub: str, changes: tuple[bytes, ...]) -> bytes:
    """Return the file's bytes."""
    return msgspec.json.format(msgspec.json.encode(TrustFile(FORMAT, hub, changes)), indent=2) + b"\n"


def decode_trust_file(data: bytes) -> TrustFile:
    """Read a file; :class:`RemoteError` (``trust-file``) for what is none."""
    if len(data) > FILE_BYTES:
        raise RemoteError("trust-file", f"{len(data)} bytes, a file of key changes has at most {FILE_BYTES}")
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        raise RemoteError("trust-file", f"this is no file of key changes: {problem}") from None
