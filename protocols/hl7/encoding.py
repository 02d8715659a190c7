r"""The delimiters of an HL7 message and its escape sequences (HL7 v2.5.1 sections 2.5.4 and 2.7).

Delimiters are whatever MSH-1 and MSH-2 declare; nothing here assumes ``|^~\&``. Escaping works on
text, unescaping on bytes: ``\X..\`` holds bytes of the message's own character set, which only
become letters together with their neighbours.

Understood when reading: ``\F\ \S\ \T\ \R\ \E\ \P\``, ``\Xdd..\``, and ``\.br\``/``\.sp\`` as line
feeds. Highlighting, other formatting, character set switches and local sequences (``\H\ \N\
\.in+4\ \C..\ \M..\ \Z..\``) are kept as they stand: what is not understood is not thrown away.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

import msgspec

from protocols.hl7.errors import MalformedMessage

#: Separators from component to truncation (the fifth since v2.7).
MAX_ENCODING_CHARACTERS: Final = 5
#: Different declarations of delimiters remembered.
_CACHED_DECLARATIONS: Final = 64
_REMEDY: Final = r"MSH-1 and MSH-2 must be distinct punctuation marks, normally |^~\&"


class Delimiters(msgspec.Struct, frozen=True):
    """Each one byte, or empty where MSH-2 is too short to declare it."""

    field: bytes
    component: bytes
    repetition: bytes
    escape: bytes
    subcomponent: bytes
    truncation: bytes = b""

    @property
    def declaration(self) -> bytes:
        """MSH-2 as declared."""
        return self.component + self.repetition + self.escape + self.subcomponent + self.truncation


STANDARD: Final = Delimiters(b"|", b"^", b"~", b"\\", b"&")


@lru_cache(maxsize=_CACHED_DECLARATIONS)
def declared_delimiters(field: bytes, encoding: bytes, segment: str = "MSH") -> Delimiters:
    """Delimiters from MSH-1 and MSH-2 (or FHS/BHS), raising :class:`MalformedMessage` if they clash."""
    if not _is_mark(field):
        raise MalformedMessage(
            segment, 1, f"field separator {_shown(field)} is not a punctuation mark", _REMEDY
        )
    if not encoding:
        raise MalformedMessage(segment, 2, "encoding characters are missing", _REMEDY)
    if len(encoding) > MAX_ENCODING_CHARACTERS:
        raise MalformedMessage(segment, 2, f"{len(encoding)} encoding characters {_shown(encoding)}", _REMEDY)
    marks = [encoding[i : i + 1] for i in range(len(encoding))]
    for mark in marks:
        if not _is_mark(mark):
            raise MalformedMessage(
                segment, 2, f"encoding character {_shown(mark)} is not punctuation", _REMEDY
            )
    if len({field, *marks}) != len(marks) + 1:
        doubled = " (an escape doubled by a program's string literal?)" if b"\\\\" in encoding else ""
        raise MalformedMessage(segment, 2, f"{_shown(encoding)} repeats a delimiter{doubled}", _REMEDY)
    marks += [b""] * (MAX_ENCODING_CHARACTERS - len(marks))
    return Delimiters(field, *marks)


def _is_mark(byte: bytes) -> bool:
    return len(byte) == 1 and 0x20 < byte[0] < 0x7F and not byte.isalnum()  # noqa: PLR2004 (printable ASCII)


def _shown(raw: bytes) -> str:
    raw = raw[:16]
    return (
        f"'{raw.decode('ascii')}'"
        if raw.isascii() and raw.decode("ascii").isprintable()
        else f"0x{raw.hex()}"
    )


def unescape(value: bytes, delimiters: Delimiters) -> bytes:
    """Replace the escape sequences of one subcomponent; unknown ones stay as they are."""
    if not delimiters.escape or delimiters.escape not in value:
        return value
    pattern, replacement = _unescaper(delimiters)
    return pattern.sub(replacement, value)


@lru_cache(maxsize=_CACHED_DECLARATIONS)
def _unescaper(delimiters: Delimiters) -> tuple[re.Pattern[bytes], Callable[[re.Match[bytes]], bytes]]:
    mark = re.escape(delimiters.escape)
    pattern = re.compile(
        mark
        + rb"(?:([FSTREP])|X((?:[0-9A-Fa-f]{2})*)|\.(br|sp\d{0,3})|[HN]|C[0-9A-Fa-f]{4}|M[0-9A-Fa-f]{4,6}"
        + rb"|Z[^\r\n"
        + mark
        + rb"]{0,64}|\.[a-z]{2}[+-]?\d{0,3})"
        + mark
    )
    letters = {
        b"F": delimiters.field,
        b"S": delimiters.component,
        b"T": delimiters.subcomponent,
        b"R": delimiters.repetition,
        b"E": delimiters.escape,
        b"P": delimiters.truncation,
    }

    def replacement(match: re.Match[bytes]) -> bytes:
        letter, digits, line = match.group(1), match.group(2), match.group(3)
        if letter is not None:
            return letters[letter] or match.group()
        if digits is not None:
            return bytes.fromhex(digits.decode("ascii"))
        if line is not None:
            return b"\n" * int(line[2:] or b"1")
        return match.group()

    return pattern, replacement


def escape(text: str, delimiters: Delimiters = STANDARD) -> str:
    r"""Make ``text`` safe inside one subcomponent.

    Line feeds become ``\.br\``, other control characters but the tab ``\Xdd\``, so that no segment
    can end inside a field and no MLLP frame inside a message. Where no escape character is
    declared, what would need it becomes a space: the only case that loses anything.
    """
    if text.isalnum():
        return text  # delimiters are punctuation
    pattern, table = _escaper(delimiters)
    return pattern.sub(lambda match: table[match.group()], text)


@lru_cache(maxsize=_CACHED_DECLARATIONS)
def _escaper(delimiters: Delimiters) -> tuple[re.Pattern[str], dict[str, str]]:
    mark = delimiters.escape.decode("ascii")
    sequences = {chr(code): f"X{code:02X}" for code in (*range(0x09), *range(0x0A, 0x20), 0x7F)}
    sequences["\n"] = ".br"
    letters = {
        delimiters.field: "F",
        delimiters.component: "S",
        delimiters.subcomponent: "T",
        delimiters.repetition: "R",
        delimiters.escape: "E",
    }
    sequences |= {delimiter.decode("ascii"): letter for delimiter, letter in letters.items() if delimiter}
    table = {plain: f"{mark}{sequence}{mark}" if mark else " " for plain, sequence in sequences.items()}
    return re.compile("[" + "".join(map(re.escape, table)) + "]"), table
