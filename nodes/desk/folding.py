"""Text as a search compares it: without case, accents, vowel signs, and the many forms of alif."""

from __future__ import annotations

import unicodedata
from typing import Final

TERMS: Final = 8
"""Words of a search that count."""
_ALIKE: Final = str.maketrans(
    {"أ": "ا", "إ": "ا", "آ": "ا", "ٱ": "ا", "ى": "ي", "ة": "ه", "ؤ": "و", "ئ": "ي", "ـ": None}
)


def fold(text: str) -> str:
    """Return ``text`` folded; words stay apart by one space."""
    plain = text.translate(_ALIKE).casefold()
    marks = (sign for sign in unicodedata.normalize("NFKD", plain) if not unicodedata.combining(sign))
    return " ".join("".join(marks).split())


def terms(text: str) -> list[str]:
    """Return the words that a search asks for, folded."""
    return fold(text).split()[:TERMS]
