"""Which message is whose answer, read from the message itself: any system may have made it.

=========  ====================  =======================================
kind       its own reference     what it answers
=========  ====================  =======================================
MDM        TXA-12                TXA-13
REF, RRI   RF1-6                 RF1-11
OML        ORC-4, else ORC-2     OBR-29
ORU        ORC-3, else OBR-3     ORC-4, else ORC-2, else OBR-2
=========  ====================  =======================================

References of other systems need not be UUIDs; they are returned as they stand, bounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from protocols.hl7.er7 import Message
from protocols.hl7.errors import MalformedMessage

MAX_REFERENCE_CHARS: Final = 199
"""EI.1 has no more (2A.28)."""
_OWN: Final = {
    "MDM": ("TXA-12",),
    "REF": ("RF1-6",),
    "RRI": ("RF1-6",),
    "OML": ("ORC-4", "ORC-2"),
    "ORU": ("ORC-3", "OBR-3"),
}
_ANSWERED: Final = {
    "MDM": ("TXA-13",),
    "REF": ("RF1-11",),
    "RRI": ("RF1-11",),
    "OML": ("OBR-29",),
    "ORU": ("ORC-4", "ORC-2", "OBR-2"),
}


@dataclass(frozen=True, slots=True)
class References:
    """A message's own reference and that of the message it answers; empty where it has none."""

    own: str
    answers: str
    order: str
    """The placer's number of its first order (ORC-2): what a result has to give back."""


def references_of(message: Message) -> References:
    """Return a message's references; empty ones for a kind that has none or what cannot be read."""
    kind = message.header.message_code
    try:
        own, answers = _first(message, _OWN.get(kind, ())), _first(message, _ANSWERED.get(kind, ()))
        return References(own, answers, _first(message, ("ORC-2", "OBR-2")))
    except MalformedMessage:
        return References("", "", "")


def _first(message: Message, paths: tuple[str, ...]) -> str:
    found = (message.get(path).strip()[:MAX_REFERENCE_CHARS] for path in paths)
    return next((value for value in found if value), "")
