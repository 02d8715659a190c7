r"""File names that harm nobody: on the page, in the header, on the disk of whoever keeps the file.

A sender chooses a name to deceive (``scan\u202efdp.exe`` reads ``scanexe.pdf``), to leave its folder
(``..\..\x``), to be run when it is clicked (``x.pdf.exe``) or to be no name at all on some system
(``CON``). :func:`safe_name` takes out what changes the direction of writing and what is not printed, makes
separators dashes, and gives names that a system would run or call a device another end. Letters of every
language stay.

:func:`disposition` says a name as RFC 6266 and RFC 8187 ask: plain ASCII for old programs, all of it in
UTF-8.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final
from urllib.parse import quote

NAME_BYTES: Final = 180
DEFUSED: Final = ".download"
_SUFFIX_CHARS: Final = 12
_SEPARATORS: Final = re.compile(r"[/\\:*?\"<>|%;\x00-\x1f]")
_DEVICES: Final = re.compile(
    r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³])(?:\.|$)", re.IGNORECASE
)
_RUN: Final = frozenset({
    "apk", "app", "appimage", "appref-ms", "bat", "bash", "chm", "cmd", "com", "command", "cpl", "csh",
    "deb", "desktop", "dll", "dmg", "docm", "exe", "gadget", "hlp", "hta", "htm", "html", "inf", "iso",
    "jar", "js", "jse", "lnk", "mht", "mhtml", "mjs", "msc", "msi", "msix", "msp", "pif", "pkg", "pl",
    "pptm", "ps1", "psm1", "py", "reg", "rpm", "scf", "scr", "settingcontent-ms", "sh", "shb", "shs",
    "shtml", "svg", "svgz", "swf", "sys", "url", "vb", "vbe", "vbs", "wasm", "webloc", "ws", "wsc",
    "wsf", "wsh", "xht", "xhtml", "xlsm", "xll", "xml", "xsl", "xslt",
})  # fmt: skip
"""What some system runs, or a browser interprets, when it is opened."""


def safe_name(name: str, suffix: str) -> str:
    """Return a harmless name for a file whose bytes would end in ``suffix``, like ``.pdf``; never empty."""
    name = unicodedata.normalize("NFC", name.encode("utf-8", "replace").decode("utf-8"))
    flat = "".join(sign for sign in name if sign == " " or unicodedata.category(sign)[0] != "C")
    flat = " ".join(_SEPARATORS.sub("-", flat).split()).strip(" .-~")
    stem, dot, last = flat.rpartition(".")
    if not stem or not 0 < len(last) <= _SUFFIX_CHARS:
        stem, dot, last = flat, "", ""
    if not stem:
        stem, dot, last = "file", suffix[:1], suffix[1:]
    if _DEVICES.match(stem):
        stem = f"_{stem}"
    if last.strip(" .").lower() in _RUN and f".{last.lower()}" != suffix:
        last += DEFUSED
    while len(f"{stem}{dot}{last}".encode()) > NAME_BYTES:
        stem = stem[:-1]
    return f"{stem.rstrip(' .')}{dot}{last}" if stem.strip(" .") else f"file{dot}{last}"


def disposition(name: str, *, inline: bool = False) -> str:
    """Return the value of Content-Disposition for a name made by :func:`safe_name`."""
    plain = "".join(sign if " " <= sign <= "~" and sign not in '"\\' else "_" for sign in _ascii(name))
    how = "inline" if inline else "attachment"
    return f"{how}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _ascii(name: str) -> str:
    """Return a name without marks on its letters: ``é`` as ``e``."""
    return "".join(sign for sign in unicodedata.normalize("NFKD", name) if not unicodedata.combining(sign))
