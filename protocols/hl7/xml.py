"""HL7 v2 in XML ("v2.xml"), both ways.

:func:`to_xml` writes each segment with its fields, repetitions, components and subcomponents, named
by data type where :mod:`protocols.hl7.datatypes` knows it. It writes segments one after the other
and not in the groups of the message's structure (``ORU_R01.PATIENT_RESULT``), whose nesting no
message states. :func:`from_xml` reads either, from any namespace, and goes by the numbers in the
names, not by the types.

Kept both ways: every value, its place, formatting escapes (``<escape V=".br"/>``). Not kept, since
XML has no place for it: trailing empty fields, the bytes' own character set (written again by
MSH-18 where that can express the text, else UTF-8, saying so in MSH-18), how line ends were written.

XML comes from strangers: :mod:`protocols.cda.xml` reads it.
"""

import re
from typing import Any, Final

from lxml import etree

from protocols.cda import xml as safe
from protocols.errors import RemoteProtocolError
from protocols.hl7 import charsets
from protocols.hl7.build import Field, SegmentFields, build
from protocols.hl7.catalogue import KNOWN, kind_of
from protocols.hl7.datatypes import COMPOSITES, SEGMENTS
from protocols.hl7.encoding import Delimiters, declared_delimiters, escape
from protocols.hl7.er7 import Message, Segment
from protocols.hl7.errors import MalformedMessage

NAMESPACE: Final = "urn:hl7-org:v2xml"
MAX_XML_BYTES: Final = 16 * 1024 * 1024
MAX_DEPTH: Final = 24
MAX_ELEMENTS: Final = 500_000
#: Numbers of fields and components in element names.
MAX_NUMBER: Final = 999

_BOUNDS: Final = safe.Bounds(size_bytes=MAX_XML_BYTES, tags=2 * MAX_ELEMENTS)
_SEGMENT: Final = re.compile(r"[A-Za-z][A-Za-z0-9]{2}")
_NUMBERED: Final = re.compile(r"[A-Za-z][\w.]*?\.(\d{1,4})")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{2,31}")
_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|\r")
_MSH_18: Final = 18


class MalformedXml(RemoteProtocolError):  # noqa: N818 (reads as what it is)
    """Bytes that cannot be taken as HL7 v2.xml; the text says what is wrong and where."""

    wire_code = "malformed-hl7-xml"


def to_xml(message: Message) -> bytes:
    """Write ``message`` as v2.xml in UTF-8; :class:`MalformedMessage` for a segment without a name."""
    header = message.header
    known = KNOWN.get(kind_of(header))
    structure = header.structure or (known.structure if known else kind_of(header).replace("^", "_"))
    namespaces: Any = {None: NAMESPACE}  # lxml's annotations know no default namespace
    name = structure if _NAME.fullmatch(structure) else "MESSAGE"
    root = etree.Element(f"{{{NAMESPACE}}}{name}", nsmap=namespaces)
    for segment in message.segments:
        if not _SEGMENT.fullmatch(segment.name):
            raise MalformedMessage(segment.name[:3], None, "segment has no name", "it must begin like PID|")
        _Writer(message, segment).write(_child(root, segment.name))
    return bytes(etree.tostring(root, xml_declaration=True, encoding="UTF-8"))


def _child(parent: Any, name: str) -> Any:
    return etree.SubElement(parent, f"{{{NAMESPACE}}}{name}")


class _Writer:
    """Writes one segment."""

    def __init__(self, message: Message, segment: Segment) -> None:
        self._message = message
        self._segment = segment
        self._marks = message.header.delimiters
        mark = re.escape(self._marks.escape)
        self._escape = re.compile(mark + rb"([A-Z.][A-Za-z0-9.+-]{0,127})" + mark) if mark else None

    def write(self, parent: Any) -> None:
        name = self._segment.name
        types = SEGMENTS.get(name, ())
        for number in range(1, len(self._segment.fields)):
            if name in {"MSH", "FHS", "BHS"} and number <= 2:  # noqa: PLR2004 (the delimiters)
                _child(parent, f"{name}.{number}").text = self._segment.field(number).decode("ascii")
                continue
            kind = types[number - 1] if number <= len(types) else ""
            if kind == "*":
                kind = self._segment.field(2).decode("latin-1")
            for value in self._segment.repetitions(number):
                self._field(_child(parent, f"{name}.{number}"), f"{name}.{number}", value, kind)

    def _field(self, element: Any, name: str, value: bytes, kind: str) -> None:
        types = COMPOSITES.get(kind)
        parts = value.split(self._marks.component)
        mark = self._marks.subcomponent
        if types is None and len(parts) == 1 and not (mark and mark in value):
            self._text(element, value)
            return
        prefix = name if types is None else kind
        for number, part in enumerate(parts, start=1):
            if part:
                of_part = types[number - 1] if types and number <= len(types) else ""
                self._component(_child(element, f"{prefix}.{number}"), f"{prefix}.{number}", part, of_part)

    def _component(self, element: Any, name: str, value: bytes, kind: str) -> None:
        mark = self._marks.subcomponent
        parts = value.split(mark) if mark else [value]
        if kind not in COMPOSITES and len(parts) == 1:
            self._text(element, value)
            return
        prefix = kind if kind in COMPOSITES else name
        for number, part in enumerate(parts, start=1):
            if part:
                self._text(_child(element, f"{prefix}.{number}"), part)

    def _text(self, element: Any, value: bytes) -> None:
        """Write text; escapes that are not of delimiters become ``escape`` elements."""
        position = 0
        for match in self._escape.finditer(value) if self._escape else ():
            sequence = match.group(1).decode("ascii")
            if sequence in {"F", "S", "T", "R", "E"}:
                continue
            self._plain(element, value[position : match.start()])
            _child(element, "escape").set("V", sequence)
            position = match.end()
        self._plain(element, value[position:])

    def _plain(self, element: Any, value: bytes) -> None:
        text = self._message.text(value)
        position = 0
        for match in _NOT_XML.finditer(text):
            _append(element, text[position : match.start()])
            _child(element, "escape").set("V", "X" + match.group().encode("utf-8", "replace").hex().upper())
            position = match.end()
        _append(element, text[position:])


def _append(element: Any, text: str) -> None:
    if len(element):
        element[-1].tail = (element[-1].tail or "") + text
    else:
        element.text = (element.text or "") + text


def from_xml(data: bytes) -> bytes:
    """Read v2.xml and write it as ER7, each segment ended by CR; raises :class:`MalformedXml`."""
    root = _parse(data)
    segments: list[Any] = []
    _collect(root, segments)
    if not segments or _local(segments[0]) != "MSH":
        raise MalformedXml("the first segment element must be MSH")
    header = {_number(field): field for field in segments[0] if _is_element(field)}
    try:
        marks = declared_delimiters(_all_text(header.get(1)) or b"|", _all_text(header.get(2)) or b"^~\\&")
    except MalformedMessage as fault:
        raise MalformedXml(str(fault)) from fault
    label = _all_text(header.get(_MSH_18)).decode("utf-8")
    codec = charsets.codec_for(label) or "utf-8"
    if codec.startswith(("utf-", "iso2022")):
        codec = "utf-8"
    try:
        return _write(segments, marks, codec, "")
    except UnicodeEncodeError:
        return _write(segments, marks, "utf-8", "UNICODE UTF-8")


def _parse(data: bytes) -> Any:
    try:
        return safe.parse(data, _BOUNDS)
    except safe.MalformedXml as fault:
        raise MalformedXml(str(fault)) from fault


def _is_element(node: Any) -> bool:
    return isinstance(node.tag, str)


def _local(node: Any) -> str:
    return str(etree.QName(node).localname)


def _collect(node: Any, segments: list[Any], depth: int = 0) -> None:
    """Find the segments in document order, through groups of any names."""
    if depth > MAX_DEPTH:
        raise MalformedXml(f"elements are nested deeper than {MAX_DEPTH}")
    for child in node:
        if _is_element(child):
            if _SEGMENT.fullmatch(_local(child)):
                segments.append(child)
            else:
                _collect(child, segments, depth + 1)


def _number(node: Any) -> int:
    match = _NUMBERED.fullmatch(_local(node))
    number = int(match.group(1)) if match else 0
    if not 1 <= number <= MAX_NUMBER:
        raise MalformedXml(f"element {_local(node)[:40]!r} has no number; it must be like PID.3 or CX.1")
    return number


def _all_text(node: Any) -> bytes:
    return b"" if node is None else "".join(node.itertext()).strip().encode()


def _write(segments: list[Any], marks: Delimiters, codec: str, new_label: str) -> bytes:
    written: list[SegmentFields] = []
    for segment in segments:
        name = _local(segment).upper()
        fields: dict[int, list[bytes]] = {}
        for field in segment:
            if _is_element(field):
                value = _divided(field, marks, codec, (marks.component, marks.subcomponent))
                fields.setdefault(_number(field), []).append(value)
        first = 1
        if name in {"MSH", "FHS", "BHS"}:
            first = 3
            if name == "MSH" and new_label:
                fields[_MSH_18] = [new_label.encode()]
        numbers = range(first, max(fields, default=0) + 1)
        values: list[Field] = [list(fields.get(number, [b""])) for number in numbers]
        written.append([name, *values])
    return build(*written, delimiters=marks, codec=codec)


def _divided(node: Any, marks: Delimiters, codec: str, levels: tuple[bytes, ...]) -> bytes:
    """Value of a field or of its part: text, or parts in the order of their numbers."""
    children = [child for child in node if _is_element(child) and _local(child) != "escape"]
    if not children or not levels:
        return _escaped(node, marks).encode(codec)
    parts: dict[int, bytes] = {}
    for child in children:
        parts[_number(child)] = _divided(child, marks, codec, levels[1:])
    mark = levels[0] or b" "
    return mark.join(parts.get(number, b"") for number in range(1, max(parts) + 1))


def _escaped(node: Any, marks: Delimiters) -> str:
    text = escape(node.text or "", marks)
    mark = marks.escape.decode("ascii")
    for child in node:
        if _is_element(child):
            sequence = child.get("V", "")
            if _local(child) == "escape" and re.fullmatch(r"[A-Za-z0-9.+-]{1,128}", sequence):
                text += f"{mark}{sequence}{mark}"
            else:
                text += escape("".join(child.itertext()), marks)
        text += escape(child.tail or "", marks)
    return text
