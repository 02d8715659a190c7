"""Rules: each broken once, found by name; and documents that others made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from protocols.cda.build import Section, build
from protocols.cda.validate import MAX_FAULTS, validate
from tests.protocols.made import PARENT, header

CORPUS = Path(__file__).parents[4] / "shared" / "corpus" / "cda" / "docs"
V3 = "{urn:hl7-org:v3}"
LEAST_SOUND = 0.7
"""Of the documents that others made, this share keeps to the rules that are looked at here."""


def document() -> Any:
    return etree.fromstring(build(header(parent=PARENT), (Section("Motif", "texte", items=("a",)),)))


def without(path: str) -> Any:
    root = document()
    element = root.find("/".join(V3 + part for part in path.split("/")))
    element.getparent().remove(element)
    return root


def said(root: Any) -> str:
    return "\n".join(map(str, validate(root)))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("typeId", "0 typeId; exactly one is right (CDA R2, 4.2)"),
        ("id", "0 id; exactly one"),
        ("code", "0 code; exactly one"),
        ("effectiveTime", "0 effectiveTime"),
        ("confidentialityCode", "0 confidentialityCode"),
        ("recordTarget", "no recordTarget; at least one is required (CDA R2, 4.2.2)"),
        ("author", "no author"),
        ("custodian", "0 custodian"),
        ("component", "0 component"),
        ("recordTarget/patientRole/id", "recordTarget: has no patientRole/id"),
        ("author/time", "author: has no time"),
        ("author/assignedAuthor/id", "has no assignedAuthor/id"),
        ("custodian/assignedCustodian/representedCustodianOrganization/id", "custodian: has no"),
        ("relatedDocument/parentDocument/id", "has no parentDocument/id (CDA R2, 4.2.3)"),
        ("component/structuredBody", "one nonXMLBody or one structuredBody (CDA R2, 4.3.1)"),
        ("component/structuredBody/component/section", "each component needs a section"),
    ],
)
def test_what_is_missing_is_named(path: str, expected: str) -> None:
    root = without(path)
    while (
        path.startswith("recordTarget/")
        and (second := root.find(f"{V3}recordTarget/{V3}patientRole/{V3}id")) is not None
    ):
        second.getparent().remove(second)
    assert expected in said(root)


def changed(path: str, name: str, value: str | None) -> Any:
    root = document()
    element = root if not path else root.find(".//" + V3 + path)
    if value is None:
        del element.attrib[name]
    else:
        element.set(name, value)
    return root


@pytest.mark.parametrize(
    ("path", "name", "value", "expected"),
    [
        ("typeId", "extension", "POCD_HD000020", "must be 2.16.840.1.113883.1.3 with POCD_HD000040"),
        ("id", "root", "eph-blida!", "its root must be an OID or a UUID (CDA R2, ITS, II)"),
        ("id", "root", None, "its root must be an OID or a UUID"),
        ("effectiveTime", "value", "23/11/2026", "is no time like"),
        ("birthTime", "value", "1988-02-29", "is no time like"),
        ("languageCode", "code", "français", "by RFC 3066"),
        ("code", "codeSystem", None, "has a code and no codeSystem"),
        ("relatedDocument", "typeCode", "RSON", "one of APND, RPLC, XFRM"),
        ("paragraph", "ID", "a", ""),
    ],
)
def test_what_is_wrong_is_named(path: str, name: str, value: str | None, expected: str) -> None:
    found = said(changed(path, name, value))
    assert expected in found
    assert bool(found) == bool(expected)


def test_an_order_of_the_header_other_than_the_standards_is_a_fault() -> None:
    root = document()
    root.append(root.find(f"{V3}author"))
    assert "author stands behind component" in said(root)


def test_a_foreign_element_in_the_narrative_is_a_fault() -> None:
    root = document()
    etree.SubElement(root.find(f".//{V3}text"), f"{V3}script").text = "alert(1)"
    etree.SubElement(root.find(f".//{V3}text"), "{http://www.w3.org/1999/xhtml}p")
    assert "script is no part of a narrative block" in said(root)
    assert "p is no part of a narrative block" in said(root)


def test_an_id_twice_and_a_reference_to_nothing_are_faults() -> None:
    root = document()
    text = root.find(f".//{V3}text")
    for _ in range(2):
        etree.SubElement(text, f"{V3}paragraph").set("ID", "twice")
    etree.SubElement(text, f"{V3}renderMultiMedia").set("referencedObject", "nothing")
    etree.SubElement(text, f"{V3}footnoteRef").set("IDREF", "nothing")
    assert "ID 'twice' stands 2 times" in said(root)
    assert "refers to an object that is not there" in said(root)
    assert "refers to an ID that is not there" in said(root)


def test_an_addendum_and_a_replacement_at_once_are_a_fault() -> None:
    root = document()
    first = root.find(f"{V3}relatedDocument")
    second = etree.fromstring(etree.tostring(first))
    second.set("typeCode", "RPLC")
    first.addnext(second)
    assert "APND and RPLC" in said(root)


def test_set_id_without_version_is_a_fault() -> None:
    root = document()
    language = root.find(f"{V3}languageCode")
    extra = etree.Element(f"{V3}setId")
    extra.set("root", "1.2.3")
    language.addnext(extra)
    assert "setId and versionNumber go together" in said(root)


def test_another_root_is_said_at_once_and_faults_are_bounded() -> None:
    assert "must be ClinicalDocument" in said(etree.fromstring("<ClinicalDocument/>"))
    root = document()
    text = root.find(f".//{V3}text")
    for _ in range(2 * MAX_FAULTS):
        etree.SubElement(text, f"{V3}blink")
    assert len(validate(root)) == MAX_FAULTS


@pytest.mark.corpus
@pytest.mark.skipif(not CORPUS.is_dir(), reason="../shared/corpus is absent")
def test_documents_of_others_are_judged_and_most_are_sound() -> None:
    """No document makes the rules fail, and they are not so narrow that honest documents break them."""
    judged = []
    for path in sorted(CORPUS.rglob("*.xml")):
        try:
            root = etree.fromstring(
                path.read_bytes(), etree.XMLParser(resolve_entities=False, no_network=True)
            )
        except etree.XMLSyntaxError:
            continue
        if root.tag == f"{V3}ClinicalDocument":
            judged.append(validate(root) == ())
    assert len(judged) > 50
    assert sum(judged) >= LEAST_SOUND * len(judged)
