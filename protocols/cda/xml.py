"""The one way in which XML from strangers becomes a tree.

:func:`parse` promises that a tree was made from nothing but the bytes given: no document type, so no entity
of anybody's making; no network, no file; no comment and no processing instruction is left in it. Whatever is
wrong comes out as :class:`MalformedXml`, which says what and where.

The order is what makes it safe. libxml2 takes memory for each element it meets, so a megabyte of ``<a/>`` is
a hundred of tree: the signs that begin tags and attributes are counted first, which costs a scan of the text
and bounds both. To count them the text has to be known, so the character set is settled here, by the byte
order mark or the declaration and from a list of well-known ones, and the parser is given UTF-8 and told so:
it never chooses (UTF-7 would hide a ``<``). A document type is looked for where it may stand, before the
root element; ``<!DOCTYPE`` in a text is a text. Depth and the length of attributes are checked on the tree,
which libxml2 itself keeps under 256 levels.

What is not promised: that the tree means anything.
"""

import codecs
import re
from dataclasses import dataclass
from typing import Any, Final

from lxml import etree

from protocols.errors import RemoteProtocolError
from protocols.hl7.charsets import codec_for

_DECLARED: Final = re.compile(
    r"<\?xml\s[^?<>]{0,200}?encoding\s*=\s*[\"']([A-Za-z][A-Za-z0-9._:-]{0,39})[\"']"
)
_DECLARATION_BYTES: Final = 512
_BLANK: Final = " \t\r\n\ufeff"
_BLANKS: Final = re.compile(f"[{_BLANK}]*")
_SHOWN_CHARS: Final = 300
_WIDE: Final = ("utf-16", "utf-32")


class MalformedXml(RemoteProtocolError):  # noqa: N818 (reads as what it is)
    """Bytes that are not taken as XML; the text says what is wrong and where."""

    wire_code = "malformed-xml"


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much of a foreign document is taken. ``tags`` counts ``<``, ``attributes`` counts ``=``."""

    size_bytes: int = 16 * 1024 * 1024
    tags: int = 1_000_000
    attributes: int = 1_000_000
    namespaces: int = 20_000
    depth: int = 100
    attribute_chars: int = 65_536


BOUNDS: Final = Bounds()


def parse(data: bytes, bounds: Bounds = BOUNDS) -> Any:
    """Return the root element of ``data``; raises :class:`MalformedXml`."""
    if len(data) > bounds.size_bytes:
        raise MalformedXml(f"{len(data)} bytes of XML; at most {bounds.size_bytes} are accepted")
    text = _decoded(data).lstrip(_BLANK)
    _count(text, "<", bounds.tags, "tags")
    _count(text, "=", bounds.attributes, "attributes")
    _count(text, "xmlns", bounds.namespaces, "namespace declarations")
    _refuse_document_type(text)
    parser = etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
        collect_ids=False,
    )
    try:
        root: Any = etree.fromstring(text.encode("utf-8"), parser)
    except (etree.XMLSyntaxError, ValueError) as problem:
        raise MalformedXml(f"not well-formed XML: {problem}"[:_SHOWN_CHARS]) from problem
    if root.getroottree().docinfo.doctype:
        raise MalformedXml("a document type declaration is not allowed")
    _check_tree(root, bounds)
    return root


def _decoded(data: bytes) -> str:
    """Return the text of a document by its mark or declaration; UTF-8 where it has neither."""
    codec = "utf-8"
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        codec = "utf-16"
    elif data.startswith(b"<\x00"):
        codec = "utf-16-le"
    elif data.startswith(b"\x00<"):
        codec = "utf-16-be"
    elif not data.startswith(codecs.BOM_UTF8):
        match = _DECLARED.match(data[:_DECLARATION_BYTES].decode("latin-1").lstrip(_BLANK))
        if match:
            known = codec_for(match.group(1))
            if known is None:
                raise MalformedXml(f"encoding {match.group(1)!r} is not known; UTF-8 would be right")
            codec = "utf-8" if known.startswith(_WIDE) else known
    try:
        return data.decode(codec)
    except (UnicodeDecodeError, LookupError) as problem:
        at = problem.start if isinstance(problem, UnicodeDecodeError) else 0
        raise MalformedXml(f"byte {at} is not {codec}, as the document says or XML means") from problem


def _count(text: str, sign: str, most: int, what: str) -> None:
    if text.count(sign) > most:
        raise MalformedXml(f"more than {most} {what}")


def _refuse_document_type(text: str) -> None:
    """Walk over what may stand before the root element; ``<!`` there is refused, but for comments."""
    at = 0
    while True:
        blank = _BLANKS.match(text, at)
        at = blank.end() if blank else at
        if text.startswith("<!--", at):
            end, length = text.find("-->", at + 4), 3
        elif text.startswith("<?", at):
            end, length = text.find("?>", at + 2), 2
        elif text.startswith("<!", at):
            raise MalformedXml("a document type or entity declaration is not allowed")
        else:
            return
        if end < 0:
            raise MalformedXml("a comment or instruction before the root element does not end")
        at = end + length


def _check_tree(root: Any, bounds: Bounds) -> None:
    depth = 0
    for event, node in etree.iterwalk(root, events=("start", "end")):
        if event == "end":
            depth -= 1
            continue
        depth += 1
        if depth > bounds.depth:
            raise MalformedXml(f"line {node.sourceline}: elements are nested deeper than {bounds.depth}")
        for name, value in node.attrib.items():
            if len(value) > bounds.attribute_chars:
                raise MalformedXml(
                    f"line {node.sourceline}: attribute {name[:40]!r} has {len(value)} characters, "
                    f"at most {bounds.attribute_chars} are accepted"
                )
