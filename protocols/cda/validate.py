"""Whether a document is built as CDA R2 says: rules of our own, each with the section that it comes from.

:func:`validate` looks at a parsed document (``protocols.cda.xml`` parses what comes from outside) and returns
every fault, in the order of the document. It looks at structure: what must be there, how often, in which
order, and whether identifiers, times and codes have the form of their types. It does not judge codes against
their code systems, entries, or any implementation guide's templates; the schema of HL7 judges more of the
entries, this says more of what the schema cannot (which relations go together, references that lead nowhere).

Sections are those of *HL7 Clinical Document Architecture, Release 2.0* (2005); "ITS" is the XML
implementation technology specification of the data types.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from protocols.cda.header import NAMESPACE, TYPE_EXTENSION, TYPE_ROOT

_ROOT: Final = "ClinicalDocument"
MAX_FAULTS: Final = 100
"""Of a document that is wrong everywhere, this many faults are enough."""
_HEADER_ORDER: Final = tuple(
    (  # noqa: SIM905 - words that wrap are read more easily
        "realmCode typeId templateId id code title effectiveTime confidentialityCode languageCode setId"
        " versionNumber copyTime recordTarget author dataEnterer informant custodian informationRecipient"
        " legalAuthenticator authenticator participant inFulfillmentOf documentationOf relatedDocument"
        " authorization componentOf component"
    ).split()
)
_EXACTLY_ONE: Final = (
    "typeId",
    "id",
    "code",
    "effectiveTime",
    "confidentialityCode",
    "custodian",
    "component",
)
_AT_MOST_ONE: Final = ("title", "languageCode", "setId", "versionNumber", "copyTime", "dataEnterer",
                       "legalAuthenticator", "componentOf")  # fmt: skip
_AT_LEAST_ONE: Final = ("recordTarget", "author")
_NARRATIVE: Final = frozenset(
    (  # noqa: SIM905 - likewise
        "br caption col colgroup content footnote footnoteRef item linkHtml list paragraph renderMultiMedia"
        " sub sup table tbody td tfoot th thead tr"
    ).split()
)
_RELATIONS: Final = frozenset({("APND",), ("RPLC",), ("XFRM",), ("RPLC", "XFRM"), ("APND", "XFRM")})
_UNIQUE: Final = re.compile(
    r"[0-2](\.(0|[1-9][0-9]*))*|[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}|[A-Za-z][A-Za-z0-9\-]*"
)
_MOMENT: Final = re.compile(
    r"[0-9]{4}([0-9]{2}){0,2}|[0-9]{8}[0-9]{2}([0-9]{2}){0,2}(\.[0-9]+)?([+-][0-9]{4})?"
)
_LANGUAGE: Final = re.compile(r"[a-zA-Z]{2,3}(-[A-Za-z0-9]{2,8})*")


@dataclass(frozen=True, slots=True)
class Fault:
    """``path`` of the element, what is wrong with it, and the section that says what would be right."""

    path: str
    problem: str
    section: str

    def __str__(self) -> str:
        return f"{self.path}: {self.problem} (CDA R2, {self.section})"


def validate(root: Any) -> tuple[Fault, ...]:
    """Return the faults of a document (an lxml element), at most ``MAX_FAULTS``; empty if it is sound."""
    if root.tag != _tag("ClinicalDocument"):
        return (Fault(_name(root), f"the root must be ClinicalDocument in {NAMESPACE}", "4.2.1"),)
    found = []
    for fault in _rules(root):
        found.append(fault)
        if len(found) >= MAX_FAULTS:
            break
    return tuple(found)


def _rules(root: Any) -> Iterator[Fault]:
    yield from _header(root)
    yield from _people(root)
    yield from _related(root)
    yield from _body(root)
    yield from _values(root)
    yield from _references(root)


def _header(root: Any) -> Iterator[Fault]:
    names = [_name(child) for child in _children(root)]
    counted = Counter(names)
    for name in _EXACTLY_ONE:
        if counted[name] != 1:
            yield Fault(_ROOT, f"{counted[name]} {name}; exactly one is right", "4.2")
    for name in _AT_LEAST_ONE:
        if not counted[name]:
            yield Fault(_ROOT, f"no {name}; at least one is required", "4.2.2")
    for name in _AT_MOST_ONE:
        if counted[name] > 1:
            yield Fault(_ROOT, f"{counted[name]} {name}; at most one is right", "4.2")
    yield from _order(names)
    if counted["setId"] != counted["versionNumber"]:
        yield Fault(_ROOT, "setId and versionNumber go together", "4.2.1")
    type_id, language = _child(root, "typeId"), _child(root, "languageCode")
    if type_id is not None and (type_id.get("root"), type_id.get("extension")) != (TYPE_ROOT, TYPE_EXTENSION):
        yield Fault(f"{_ROOT}/typeId", f"must be {TYPE_ROOT} with {TYPE_EXTENSION}", "4.1")
    if language is not None and not _LANGUAGE.fullmatch(language.get("code", "")):
        yield Fault(f"{_ROOT}/languageCode", "must be a language by RFC 3066, like ar-DZ", "4.2.1")


def _order(names: list[str]) -> Iterator[Fault]:
    places = [_HEADER_ORDER.index(name) for name in names if name in _HEADER_ORDER]
    for before, after in pairwise(places):
        if after < before:
            yield Fault(_ROOT, f"{_HEADER_ORDER[after]} stands behind {_HEADER_ORDER[before]}", "4.2")
            break
    for name in dict.fromkeys(names):
        if name not in _HEADER_ORDER:
            yield Fault(_ROOT, f"{name[:40]} is no part of a header", "4.2")


_PEOPLE: Final = (
    ("recordTarget", "patientRole/id", "4.2.2"),
    ("author", "time", "4.2.2"),
    ("author", "assignedAuthor/id", "4.2.2"),
    ("custodian", "assignedCustodian/representedCustodianOrganization/id", "4.2.2"),
    ("informationRecipient", "intendedRecipient", "4.2.2"),
    ("legalAuthenticator", "time", "4.2.2"),
    ("legalAuthenticator", "signatureCode", "4.2.2"),
    ("legalAuthenticator", "assignedEntity/id", "4.2.2"),
    ("authenticator", "assignedEntity/id", "4.2.2"),
    ("inFulfillmentOf", "order/id", "4.2.3"),
    ("relatedDocument", "parentDocument/id", "4.2.3"),
)


def _people(root: Any) -> Iterator[Fault]:
    for name, needed, section in _PEOPLE:
        for element in root.findall(_tag(name)):
            if element.find("/".join(_tag(part) for part in needed.split("/"))) is None:
                yield Fault(f"ClinicalDocument/{name}", f"has no {needed}", section)
    for author in root.findall(f"{_tag('author')}/{_tag('assignedAuthor')}"):
        if (
            _child(author, "assignedPerson") is not None
            and _child(author, "assignedAuthoringDevice") is not None
        ):
            yield Fault("ClinicalDocument/author", "is a person or a device, not both", "4.2.2")


def _related(root: Any) -> Iterator[Fault]:
    kinds = tuple(sorted(one.get("typeCode", "") for one in root.findall(_tag("relatedDocument"))))
    if kinds and kinds not in _RELATIONS:
        yield Fault(
            "ClinicalDocument/relatedDocument",
            f"{' and '.join(kinds)}: one of APND, RPLC, XFRM, or XFRM with one of the others is right",
            "4.2.3",
        )


def _body(root: Any) -> Iterator[Fault]:
    component = _child(root, "component")
    if component is None:
        return
    bodies = [
        _name(child) for child in _children(component) if _name(child) in {"nonXMLBody", "structuredBody"}
    ]
    if len(bodies) != 1:
        yield Fault("ClinicalDocument/component", "needs one nonXMLBody or one structuredBody", "4.3.1")
        return
    body = _child(component, bodies[0])
    if bodies[0] == "nonXMLBody":
        if _child(body, "text") is None:
            yield Fault("ClinicalDocument/component/nonXMLBody", "has no text", "4.3.1")
        return
    sections = body.findall(f"{_tag('component')}/{_tag('section')}")
    if not sections or len(sections) != len(body.findall(_tag("component"))):
        yield Fault("ClinicalDocument/component/structuredBody", "each component needs a section", "4.3.1")
    for section in root.iter(_tag("section")):
        yield from _section(section)


def _section(section: Any) -> Iterator[Fault]:
    path = f"section[{''.join(_texts(_child(section, 'title')))[:40]}]"
    names = Counter(_name(child) for child in _children(section))
    for name in ("code", "title", "text", "confidentialityCode", "languageCode"):
        if names[name] > 1:
            yield Fault(path, f"{names[name]} {name}; at most one is right", "4.3.2")
    text = _child(section, "text")
    if text is None:
        return
    for element in text.iterdescendants():
        if isinstance(element.tag, str) and (
            not element.tag.startswith(f"{{{NAMESPACE}}}") or _name(element) not in _NARRATIVE
        ):
            yield Fault(path, f"{_name(element)[:40]} is no part of a narrative block", "4.3.5")


def _values(root: Any) -> Iterator[Fault]:
    for element in _outside_entries(root):
        if element.get("nullFlavor") is not None:
            continue
        name = _name(element)
        if name in {"id", "setId", "templateId", "typeId"} and element.tag == _tag(name):
            if not _UNIQUE.fullmatch(element.get("root", "")):
                yield Fault(_path(element), "its root must be an OID or a UUID", "ITS, II")
        elif name in {"effectiveTime", "time", "birthTime"} and element.get("value") is not None:
            if not _MOMENT.fullmatch(element.get("value")):
                yield Fault(_path(element), "is no time like 20260131235959+0100", "ITS, TS")
        elif name == "code" and element.get("code") is not None and element.get("codeSystem") is None:
            yield Fault(_path(element), "has a code and no codeSystem", "ITS, CD")


def _outside_entries(root: Any) -> Iterator[Any]:
    for child in _children(root):
        if _name(child) != "entry":
            yield child
            yield from _outside_entries(child)


def _references(root: Any) -> Iterator[Fault]:
    identifiers = Counter(one.get("ID") for one in root.iter() if isinstance(one.tag, str) and one.get("ID"))
    for identifier, count in identifiers.items():
        if count > 1:
            yield Fault("ClinicalDocument", f"ID {identifier[:40]!r} stands {count} times", "4.3.5")
    for element in root.iter(_tag("footnoteRef")):
        if element.get("IDREF") not in identifiers:
            yield Fault(_path(element), "refers to an ID that is not there", "4.3.5")
    for element in root.iter(_tag("renderMultiMedia")):
        for wanted in (element.get("referencedObject") or "").split() or [""]:
            if wanted not in identifiers:
                yield Fault(_path(element), "refers to an object that is not there", "4.3.5")


def _path(element: Any) -> str:
    names = [_name(element), *(_name(one) for one in element.iterancestors())]
    return "/".join(reversed(names))


def _children(element: Any) -> list[Any]:
    return [
        child for child in element if isinstance(child.tag, str) and child.tag.startswith(f"{{{NAMESPACE}}}")
    ]


def _child(element: Any, name: str) -> Any:
    return None if element is None else element.find(_tag(name))


def _texts(element: Any) -> list[str]:
    return [] if element is None else list(element.itertext())


def _name(element: Any) -> str:
    return str(element.tag).rpartition("}")[2]


def _tag(name: str) -> str:
    return f"{{{NAMESPACE}}}{name}"
