"""What a body is called where it becomes a file: in the drop folder and by ``wasl-node fetch`` alike.

A body has no name of its own; attachments have (``nodes.link.files.safe_name`` makes them harmless).
"""

from __future__ import annotations

import codecs
from typing import Final

SNIFFED_BYTES: Final = 65_536
"""How much of a body is looked at."""
_HL7: Final = b"MSH"
_LAYOUT: Final = frozenset("\t\r\n\f")


def body_suffix(start: bytes) -> str:
    """Return ``.hl7``, ``.txt`` (UTF-8 without control signs) or ``.dat`` for a body that begins so.

    ``start`` is its first ``SNIFFED_BYTES``, or all of it.
    """
    if start.startswith(_HL7):
        return ".hl7"
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(start[:SNIFFED_BYTES])
    except UnicodeDecodeError:
        return ".dat"
    return ".txt" if all(sign >= " " or sign in _LAYOUT for sign in text) else ".dat"
