"""The kinds of message that Wasl knows: what people call them, and what answers them.

A *kind* is MSH-9.1^MSH-9.2, like ``ORU^R01``. Unknown kinds are as good as known ones for carrying:
they are shown as they are. Titles are in English, French and Arabic; structure and response follow
HL7 v2.5.1 (appendix A, tables 0003 and 0354). The tables themselves stand in
:mod:`protocols.hl7.titles`, one line a kind.
"""

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from protocols.hl7.header import Header
from protocols.hl7.titles import KINDS

#: A kind longer than this is cut: it goes into tables, logs and on screens.
MAX_KIND_CHARACTERS: Final = 32
UNKNOWN_KIND: Final = "UNKNOWN"

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_^.-]+")
_PARTS: Final = 2
_CACHED_PATTERNS: Final = 1_024


@dataclass(frozen=True, slots=True)
class MessageKind:
    """One known kind. ``response`` is the kind that answers it; empty if it is an answer itself."""

    kind: str
    structure: str
    response: str
    english: str
    french: str
    arabic: str

    def title(self, language: str) -> str:
        """Title in ``ar``, ``fr`` or anything else (English); regions like ``fr-DZ`` are understood."""
        return {"ar": self.arabic, "fr": self.french}.get(language[:2].lower(), self.english)


def _read(line: str) -> MessageKind:
    kind, structure, response, english, french, arabic = (part.strip() for part in line.split("|"))
    return MessageKind(kind, structure or kind.replace("^", "_"), response, english, french, arabic)


KNOWN: Final = MappingProxyType({known.kind: known for known in map(_read, KINDS.strip().splitlines())})


def kind_of(header: Header) -> str:
    """Kind of a message: at most two parts, letters, digits and ``_.-`` only, in capitals, bounded.

    ``UNKNOWN`` where nothing of MSH-9 is left after that.
    """
    parts = header.message_type.split("^")[:_PARTS]
    clean = "^".join(_UNSAFE.sub("-", part).strip("-") for part in parts)
    return clean[:MAX_KIND_CHARACTERS].strip("^-").upper() or UNKNOWN_KIND


def title_of(kind: str, language: str) -> str:
    """Title of a kind for people; an unknown kind is its own title."""
    known = KNOWN.get(kind)
    return kind if known is None else known.title(language)


@lru_cache(maxsize=_CACHED_PATTERNS)
def matches(pattern: str, kind: str) -> bool:
    """Whether ``kind`` fits a route's pattern, ``*`` standing for anything within its part.

    ``ORU^*`` and ``ORU`` fit every ORU, ``*^R01`` every R01, ``*`` everything. Case does not count.
    """
    wanted = pattern.upper().split("^")
    given = kind.upper().split("^")
    if len(wanted) > _PARTS:
        return False
    given += [""] * (len(wanted) - len(given))
    return all(
        fnmatchcase(part, want.replace("[", "[[]").replace("?", "[?]"))
        for want, part in zip(wanted, given, strict=False)
    )
