"""The narrative of a CDA document as HTML that can do nothing.

A sender's document may be hostile. :func:`narrative` promises that its result, put into a page, runs nothing,
loads nothing, styles nothing and links nowhere but into itself. Three things stand behind that, each enough:

- the style sheet ``narrative.xsl`` is ours, runs without access to files or network, and writes elements of
  its own; what it does not know becomes its text;
- its result is compared, element by element and value by value, with the list below (``_ALLOWED``); one that
  is not on it would be our own mistake and is refused;
- the page itself forbids scripts and loads (that is the caller's part: ``nodes.desk.viewing``).

Numbers and addresses are settled in the tree before the style sheet runs, each in one walk: identifiers get a
prefix of ours, so that none can meet one of the page; links get where they lead to; footnotes and pictures
are counted; languages are written as HTML knows them. So the work grows with the document and not faster.

Pictures are given back by the caller as ``data:`` addresses of images that it made itself from
``Document.pictures``; where there is none, their place says so.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

from lxml import etree

from protocols.cda.document import NAMESPACE, Document, MalformedDocument, picture_values

_OWN: Final = "{urn:wasl:narrative}"
_CDA: Final = f"{{{NAMESPACE}}}"
_SHEET: Final = (files("protocols.cda") / "narrative.xsl").read_bytes()
_ACCESS: Final[Any] = etree.XSLTAccessControl  # whose annotations know no arguments
_NOWHERE: Final = _ACCESS(
    read_file=False, write_file=False, create_dir=False, read_network=False, write_network=False
)
_ID_CHARS: Final = 120
_SPAN_MOST: Final = 1_000
_PICTURE: Final = "data-picture"
_RIGHT_TO_LEFT: Final = frozenset({"ar", "fa", "he", "ur"})
_LANGUAGES: Final = {
    "ara": "ar", "fra": "fr", "fre": "fr", "eng": "en", "spa": "es", "ita": "it", "deu": "de", "ger": "de",
    **{code: code for code in ("ar", "de", "en", "es", "fa", "fr", "he", "it", "ja", "kab", "nl", "pt", "ru",
                               "tr", "ur", "zgh", "zh")},
}  # fmt: skip
_REGION: Final = re.compile(r"[A-Za-z]{2}")


@dataclass(frozen=True, slots=True)
class Labels:
    """What the narrative itself has no words for, in the reader's language."""

    empty: str
    notes: str
    note: str
    table: str
    picture: str
    no_picture: str


def narrative(document: Document, labels: Labels, pictures: Mapping[int, str]) -> str:
    """Return the sections of ``document`` as one HTML element; empty if it has none.

    ``pictures`` holds, by number, ``data:image/png;base64,…`` or ``…jpeg…``. Raises
    :class:`MalformedDocument` for a document that cannot be shown. Not for two threads at once on one
    document: its tree is prepared in place.
    """
    _prepare(document.root)
    transform: Any = etree.XSLT(etree.XML(_SHEET), access_control=_NOWHERE)
    words = {
        "empty": labels.empty, "notes": labels.notes, "note": labels.note, "table": labels.table,
    }  # fmt: skip
    try:
        result = transform(document.root, **{name: etree.XSLT.strparam(text) for name, text in words.items()})
    except etree.XSLTError as problem:
        raise MalformedDocument(f"the narrative cannot be shown: {problem}"[:300]) from problem
    root: Any = result.getroot()
    if root is None:
        return ""
    _show_pictures(root, labels, pictures)
    _check(root)
    return str(etree.tostring(root, method="html", encoding="unicode"))


# ── before the style sheet ─────────────────────────────────────────────────────────────────


def _prepare(root: Any) -> None:
    """Write into the tree what the style sheet needs, and take out what somebody else wrote there."""
    etree.strip_attributes(root, f"{_OWN}*")
    etree.strip_elements(root, f"{_OWN}*", with_tail=False)
    targets = {"#" + node.get("ID", "") for node in root.iter(f"{_CDA}*") if node.get("ID")}
    for node in root.iter(f"{_CDA}*"):
        if node.get("ID"):
            node.set(f"{_OWN}id", _anchor(node.get("ID")))
        if node.get("language"):
            _set_language(node, node.get("language"))
        if node.tag == f"{_CDA}languageCode" and node.getparent() is not None:
            _set_language(node.getparent(), node.get("code", ""))
        if node.tag == f"{_CDA}linkHtml" and node.get("href") in targets:
            node.set(f"{_OWN}to", _anchor(node.get("href")[1:]))
    _number_notes(root)
    _place_pictures(root)


def _number_notes(root: Any) -> None:
    notes: dict[str, str] = {}
    for count, node in enumerate(root.iter(f"{_CDA}footnote"), start=1):
        node.set(f"{_OWN}n", str(count))
        notes[node.get("ID", "")] = str(count)
    for node in root.iter(f"{_CDA}footnoteRef"):
        number = notes.get(node.get("IDREF", ""))
        if number:
            node.set(f"{_OWN}n", number)


def _place_pictures(root: Any) -> None:
    """Put the number of each picture where it is first named; nowhere twice."""
    media = _picture_numbers(root)
    for node in list(root.iter(f"{_CDA}renderMultiMedia")):
        for name in node.get("referencedObject", "").split():
            for number in media.pop(name, ()):
                etree.SubElement(node, f"{_OWN}picture").set("n", str(number))


def _picture_numbers(root: Any) -> dict[str, list[int]]:
    """Return which pictures an ID stands for: an observationMedia, or a region with some inside."""
    numbers: dict[str, list[int]] = {}
    for number, value in enumerate(picture_values(root)):
        node = value.getparent()
        while node is not None and node.tag != f"{_CDA}section":
            if node.get("ID"):
                numbers.setdefault(node.get("ID"), []).append(number)
            node = node.getparent()
    return numbers


def _anchor(identifier: str) -> str:
    return "d-" + re.sub(r"\s", "_", identifier)[:_ID_CHARS]


def _set_language(node: Any, code: str) -> None:
    primary, _, rest = code.strip().replace("_", "-").partition("-")
    language = _LANGUAGES.get(primary.lower())
    if language is None:
        return
    node.set(f"{_OWN}dir", "rtl" if language in _RIGHT_TO_LEFT else "ltr")
    region = rest.partition("-")[0]
    node.set(f"{_OWN}lang", f"{language}-{region.upper()}" if _REGION.fullmatch(region) else language)


# ── after it ───────────────────────────────────────────────────────────────────────────────


def _show_pictures(root: Any, labels: Labels, pictures: Mapping[int, str]) -> None:
    for image in list(root.iter("img")):
        number = int(image.attrib.pop(_PICTURE))
        address = pictures.get(number)
        if address is not None:
            image.set("src", address)
            image.set("alt", f"{labels.picture} {number + 1}")
        else:
            image.tag = "span"
            del image.attrib["alt"]
            image.set("class", "missing")
            image.text = f"[{labels.no_picture}]"


def _text_value(_value: str) -> bool:
    return True  # the serializer escapes it


def _one_of(*values: str) -> Callable[[str], bool]:
    return frozenset(values).__contains__


def _fits(pattern: str) -> Callable[[str], bool]:
    compiled = re.compile(pattern)
    return lambda value: compiled.fullmatch(value) is not None


def _span(value: str) -> bool:
    return value.isascii() and value.isdigit() and len(value) <= 4 and 1 <= int(value) <= _SPAN_MOST  # noqa: PLR2004 (digits of the most)


_EVERYWHERE: Final[Mapping[str, Callable[[str], bool]]] = {
    "id": _fits(r"(?:d|ref|note)-\S*"),
    "lang": _fits(r"[a-z]{2,3}(?:-[A-Z]{2})?"),
    "dir": _one_of("ltr", "rtl", "auto"),
    "class": _fits(r"[a-z -]{1,60}"),
}
_CELL: Final = {"colspan": _span, "rowspan": _span}
_ALLOWED: Final[Mapping[str, Mapping[str, Callable[[str], bool]]]] = {
    **{
        name: {}
        for name in (
            "section", "h2", "h3", "h4", "h5", "h6", "p", "span", "b", "bdi", "br", "sub", "sup", "ins",
            "del", "ol", "ul", "li", "table", "caption", "thead", "tbody", "tfoot", "tr",
        )
    },
    "div": {"role": _one_of("region"), "tabindex": _one_of("0"), "aria-label": _text_value},
    "a": {"href": _fits(r"#(?:d|ref|note)-\S*"), "aria-label": _text_value},
    "img": {"src": _fits(r"data:image/(?:png|jpeg);base64,[A-Za-z0-9+/]*={0,2}"), "alt": _text_value},
    "td": _CELL,
    "th": {**_CELL, "scope": _one_of("row", "col", "rowgroup", "colgroup")},
}  # fmt: skip


def _check(root: Any) -> None:
    """Refuse an element that is not on the list; drop a value that is not, and an id that is taken."""
    seen: set[str] = set()
    for node in root.iter():
        allowed = _ALLOWED.get(node.tag) if isinstance(node.tag, str) else None
        if allowed is None:
            raise MalformedDocument(f"the narrative became {str(node.tag)[:40]!r}, which is never shown")
        for name, value in node.attrib.items():
            fits = allowed.get(name) or _EVERYWHERE.get(name)
            if fits is None or not fits(value) or (name == "id" and value in seen):
                del node.attrib[name]
            elif name == "id":
                seen.add(value)
