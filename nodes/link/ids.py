"""Message ids: UUID version 7 (RFC 9562, section 5.7), 16 bytes, printed in the usual form.

The time comes first, so that an index over millions of them grows at one end only.
"""

import uuid
from typing import Final

from crypto.primitives import random_bytes

_VERSION: Final = 0x7
_VARIANT: Final = 0b10


def new_id(now_ms: int) -> bytes:
    """Return a fresh id made at ``now_ms``."""
    random = int.from_bytes(random_bytes(10), "big")
    high, low = (random >> 62) & 0xFFF, random & ((1 << 62) - 1)
    value = (now_ms & ((1 << 48) - 1)) << 80 | _VERSION << 76 | high << 64 | _VARIANT << 62 | low
    return value.to_bytes(16, "big")


def id_text(raw: bytes) -> str:
    """Return an id as people see it."""
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def parse_id(text: str) -> bytes | None:
    """Return the 16 bytes of an id as people type it, or None if it cannot be one."""
    try:
        return uuid.UUID(text.strip()).bytes
    except ValueError:
        return None
