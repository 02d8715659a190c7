"""From MSH-18 to text, saying how sure it is.

Messages declare their character set by HL7 table 0211, by a label of their own making, wrongly, or
not at all. :func:`decode` is for people's eyes only: it never raises, tells which character set it
used and whether it had to guess, and nothing that is forwarded is ever re-encoded by it.

The order: a byte order mark; the declared set, strictly; UTF-8, strictly (also when a single-byte
set is declared, since other text almost never happens to be valid UTF-8); Windows-1256 or ISO
8859-6 when high bytes come in runs as they do in Arabic (French has them one by one), whichever
gives the commoner Arabic letters; Latin-1 last, which always succeeds.

Not covered: sets whose second bytes can equal a delimiter (GB 18030, Big5, Shift-JIS) are decoded,
but fields are cut before, byte by byte, so a name in them may be cut short.
"""

import codecs
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

LATIN_1: Final = "iso8859-1"
ARABIC_ISO: Final = "iso8859-6"
ARABIC_WINDOWS: Final = "cp1256"
UTF_8: Final = "utf-8"

#: Of the high bytes, how many must touch another one for the text to look Arabic.
_ARABIC_RUN_SHARE: Final = 0.6
_HIGH: Final = re.compile(rb"[\x80-\xff]+")
_NOT_ALNUM: Final = re.compile(r"[^A-Z0-9]")
_BOM: Final = codecs.BOM_UTF8

_CODECS: Final = {
    "ASCII": "ascii",
    "USASCII": "ascii",
    "ISOIR6": "ascii",
    "UNICODE": UTF_8,
    "UNICODEUTF8": UTF_8,
    "UTF8": UTF_8,
    "UNICODEUTF16": "utf-16",
    "UTF16": "utf-16",
    "UNICODEUTF32": "utf-32",
    "UTF32": "utf-32",
    "GB180302000": "gb18030",
    "GB18030": "gb18030",
    "BIG5": "big5",
    "KSX1001": "euc_kr",
    "ISOIR13": "shift_jis",
    "ISOIR14": "shift_jis",
    "ISOIR87": "iso2022_jp",
    "ISOIR159": "iso2022_jp_1",
    "ISOIR100": LATIN_1,
    "ISOIR101": "iso8859-2",
    "ISOIR109": "iso8859-3",
    "ISOIR110": "iso8859-4",
    "ISOIR144": "iso8859-5",
    "ISOIR127": ARABIC_ISO,
    "ISOIR126": "iso8859-7",
    "ISOIR138": "iso8859-8",
    "ISOIR148": "iso8859-9",
    "ISOIR166": "tis_620",
    "LATIN1": LATIN_1,
    "ANSI": "cp1252",
    "ASMO708": ARABIC_ISO,
}
for _part in (*range(1, 12), *range(13, 17)):
    for _prefix in ("8859", "ISO8859", "ISOIEC8859"):
        _CODECS[f"{_prefix}{_part}"] = f"iso8859-{_part}"
for _page in range(1250, 1259):
    for _prefix in ("WINDOWS", "CP", "WIN", "MSWINDOWS", ""):
        _CODECS[f"{_prefix}{_page}"] = f"cp{_page}"

#: How common the letters of Arabic are, in tenths of a percent of running text, roughly.
_ARABIC_WEIGHTS: Final = {
    **dict.fromkeys("ال", 120),
    **dict.fromkeys("يمونر", 60),
    **dict.fromkeys("تبهعد", 40),
    **dict.fromkeys("فسقكأحة", 25),
    **dict.fromkeys("جشصطخإى", 12),
    **dict.fromkeys("ضذثزغءئظؤآ", 5),
}
_ARTICLE_WEIGHT: Final = 200
_FOREIGN_LETTER_WEIGHT: Final = -100


@dataclass(frozen=True, slots=True)
class Decoded:
    """Text, the Python codec that made it, and whether that was certain; ``note`` says why not."""

    text: str
    charset_used: str
    certain: bool
    note: str = ""


def codec_for(label: str) -> str | None:
    """Python codec for one MSH-18 label of table 0211 or of practice; None if unknown or empty."""
    return _CODECS.get(_NOT_ALNUM.sub("", label.upper()))


def decode(raw: bytes, declared: str | Sequence[str] | None = None) -> Decoded:
    """Text of ``raw``, by the ``declared`` label (or the labels of MSH-18, of which the first counts)."""
    label = _first_label(declared)
    codec = codec_for(label)
    if raw.startswith(_BOM):
        text = _strictly(raw[len(_BOM) :], UTF_8)
        if text is not None:
            return Decoded(text, UTF_8, certain=True)
    if raw.isascii() and (codec is None or not codec.startswith(("utf-16", "utf-32", "iso2022"))):
        return Decoded(raw.decode("ascii"), codec or "ascii", certain=True)
    text = None if codec is None else _strictly(raw, codec)
    if text is None or (codec is not None and codec.startswith(("iso8859", "cp125"))):
        utf_8 = _strictly(raw, UTF_8)
        if utf_8 is not None:
            return Decoded(utf_8, UTF_8, certain=False, note=_note(label, codec, "valid UTF-8"))
    if text is not None and codec is not None:
        return Decoded(text, codec, certain=True)
    return _guess_single_byte(raw, label, codec)


def _first_label(declared: str | Sequence[str] | None) -> str:
    labels = [declared] if isinstance(declared, str) else list(declared or ())
    return next((label.strip() for label in labels if label.strip()), "")


def _strictly(raw: bytes, codec: str) -> str | None:
    try:
        return raw.decode(codec)
    except UnicodeDecodeError:
        return None


def _note(label: str, codec: str | None, finding: str) -> str:
    if not label:
        return f"no character set declared; the bytes look like {finding}"
    known = "is not a known character set" if codec is None else "does not fit the bytes"
    return f"declared character set {label[:32]!r} {known}; they look like {finding}"


def _guess_single_byte(raw: bytes, label: str, codec: str | None) -> Decoded:
    runs = _HIGH.findall(raw)
    high = sum(map(len, runs))
    touching = sum(len(run) for run in runs if len(run) > 1)
    if high and touching >= high * _ARABIC_RUN_SHARE:
        windows, iso = _strictly(raw, ARABIC_WINDOWS), _strictly(raw, ARABIC_ISO)
        if iso is not None and (windows is None or _plausibility(iso) > _plausibility(windows)):
            return Decoded(iso, ARABIC_ISO, certain=False, note=_note(label, codec, "ISO 8859-6"))
        if windows is not None and _plausibility(windows) > 0:
            return Decoded(windows, ARABIC_WINDOWS, certain=False, note=_note(label, codec, "Windows-1256"))
    return Decoded(
        raw.decode(LATIN_1), LATIN_1, certain=False, note=_note(label, codec, "Latin-1, for want of better")
    )


def _plausibility(text: str) -> int:
    """How much the non-ASCII part of ``text`` looks like running Arabic."""
    weight = text.count("ال") * _ARTICLE_WEIGHT
    for letter in text:
        if letter >= "\x80":
            weight += _ARABIC_WEIGHTS.get(letter, _FOREIGN_LETTER_WEIGHT if letter.isalpha() else 0)
    return weight
