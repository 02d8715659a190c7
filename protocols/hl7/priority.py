"""Whether an HL7 message asks to be handled at once, as far as it says so itself.

Read where the standard puts it: TQ1-9 (v2.5 on), else the sixth component of the
quantity/timing in ORC-7 or OBR-27 (before). The code is ``S`` (stat) of table 0485;
``STAT`` is written by many systems and means the same. Everything else is routine here:
``A`` (as soon as possible) and ``T`` (timing critical) promise no overtaking.
"""

from __future__ import annotations

from typing import Final

from protocols.hl7.er7 import Message
from protocols.hl7.errors import MalformedMessage
from protocols.hl7.header import Header

LOOK_WITHIN_BYTES: Final = 65_536
"""Orders say it near their beginning; a long report is not searched for it."""
STAT_CODES: Final = frozenset({"S", "STAT"})
_PLACES: Final = (("TQ1", "TQ1-9.1"), ("ORC", "ORC-7.6"), ("OBR", "OBR-27.6"))


def is_stat(header: Header, raw: bytes) -> bool:
    """Return whether the first order of the message is stat; False for what cannot be read."""
    message = Message(raw[:LOOK_WITHIN_BYTES], header)
    try:
        return any(
            message.text_at(segment, path).strip().upper() in STAT_CODES
            for name, path in _PLACES
            if (segment := message.first(name)) is not None
        )
    except MalformedMessage:
        return False
