"""XML from strangers: a tree of nothing but its bytes, or our own error that says what is wrong."""

import tracemalloc
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.cda.xml import BOUNDS, Bounds, MalformedXml, parse

LAUGHS = (
    '<!DOCTYPE a [<!ENTITY a0 "ha">'
    + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
    + "]><a>&a9;</a>"
)
UTF_7 = b'<?xml version="1.0" encoding="UTF-7"?>+ADwAIQ-DOCTYPE a SYSTEM +ACI-file:///etc/passwd+ACI-+AD4-+ADw-a/+AD4-'

HOSTILE = {
    "billion laughs": (LAUGHS.encode(), "document type"),
    "external entity": (b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>', "document type"),
    "external subset": (b'<!DOCTYPE a SYSTEM "http://127.0.0.1:9/x.dtd"><a/>', "document type"),
    "behind a comment": (
        b'<!-- <a> --><?x y?> <!DOCTYPE a SYSTEM "http://127.0.0.1:9/"><a/>',
        "document type",
    ),
    "behind a declaration": (b'<?xml version="1.0"?>\n<!DOCTYPE a><a/>', "document type"),
    "in UTF-16": ('<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>'.encode("utf-16"), "document type"),
    "in UTF-16 without a mark": ("<!DOCTYPE a><a/>".encode("utf-16-be"), "document type"),
    "in UTF-7": (UTF_7, "encoding 'UTF-7' is not known"),
    "in EBCDIC": (b'<?xml version="1.0" encoding="cp037"?><a/>', "encoding 'cp037' is not known"),
    "an entity of nobody": (b"<a>&nbsp;</a>", "not well-formed"),
    "not the bytes it says": (b'<?xml version="1.0" encoding="utf-8"?><a>\xe9</a>', "byte 41 is not utf-8"),
    "a comment without an end": (b"<!-- <a/>", "does not end"),
    "nothing": (b"", "not well-formed"),
    "zeros": (bytes(64), "not well-formed"),
    "two roots": (b"<a/><b/>", "not well-formed"),
    "one attribute twice": (b"<a b='1' b='2'/>", "not well-formed"),
    "no namespace": (b"<x:a/>", "not well-formed"),
    "as deep as 10,000": (b"<a>" * 10_000 + b"</a>" * 10_000, "not well-formed"),
    "a little too deep": (b"<a>" * 101 + b"</a>" * 101, "nested deeper than 100"),
    "too many elements": (b"<a>" + b"<b/>" * BOUNDS.tags + b"</a>", "more than 1000000 tags"),
    "too many attributes": (b"<a " + b"b=''" * (BOUNDS.attributes + 1) + b"/>", "attributes"),
    "too many namespaces": (
        b"<a " + b" ".join(b"xmlns:n%d='u'" % n for n in range(BOUNDS.namespaces + 1)) + b"/>",
        "namespace declarations",
    ),
    "a long attribute": (b"<a b='" + b"c" * 65_537 + b"'/>", "attribute 'b' has 65537 characters"),
    "large": (b"<a>" + b"b" * BOUNDS.size_bytes + b"</a>", "at most 16777216"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_xml_is_refused(name: str) -> None:
    data, words = HOSTILE[name]
    with pytest.raises(MalformedXml, match=words):
        parse(data)


def test_bounds_are_checked_before_memory_is_taken() -> None:
    """What a million elements would take is hundreds of times their bytes."""
    data = b"<a>" + b"<b/>" * BOUNDS.tags + b"</a>"
    tracemalloc.start()
    with pytest.raises(MalformedXml):
        parse(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * len(data)


def test_what_looks_like_a_document_type_in_a_text_is_text() -> None:
    assert parse(b"<a><![CDATA[<!DOCTYPE html>]]></a>").text == "<!DOCTYPE html>"


def test_comments_and_instructions_are_gone() -> None:
    root = parse(b"<?xml-stylesheet href='http://127.0.0.1:9/x.xsl'?><a>1<!-- c -->2<?php 3?>4</a>")
    assert (root.text, len(root), root.getprevious()) == ("124", 0, None)


@pytest.mark.parametrize(
    ("codec", "label"),
    [("utf-8", None), ("utf-8", "UTF-8"), ("utf-8-sig", "UTF-8"), ("utf-16", "UTF-16"), ("utf-16-le", None),
     ("cp1256", "windows-1256"), ("iso8859-6", "ISO-8859-6"), ("utf-8", "UTF-16")],
)  # fmt: skip
def test_arabic_arrives_in_any_known_character_set(codec: str, label: str | None) -> None:
    declaration = f'<?xml version="1.0" encoding="{label}"?>' if label else ""
    assert parse(f"{declaration}<a>مريض</a>".encode(codec)).text == "مريض"


def test_bounds_can_be_narrower() -> None:
    with pytest.raises(MalformedXml, match="at most 3"):
        parse(b"<a/>", Bounds(size_bytes=3))


@given(st.binary(max_size=200))
def test_any_bytes_make_a_tree_or_our_error(data: bytes) -> None:
    with suppress(MalformedXml):
        parse(data)


@given(st.text(alphabet="<>&/!-[]?= '\"ax\n#;DOCTYPEN", max_size=60))
def test_any_signs_make_a_tree_or_our_error(text: str) -> None:
    with suppress(MalformedXml):
        parse(text.encode())
