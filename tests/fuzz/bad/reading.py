"""What people are sent to read: clinical documents."""

from __future__ import annotations

from typing import Final

from tests.protocols.cda.documents import EVERYTHING, file, text

_ROOT: Final = b'<ClinicalDocument xmlns="urn:hl7-org:v3"'

GOOD: Final = {"cda_document": EVERYTHING}

BAD: Final = {
    "cda_document": {
        "nothing": b"",
        "half of it": EVERYTHING[: len(EVERYTHING) // 2],
        "without its end": EVERYTHING[:-1],
        "no namespace": EVERYTHING.replace(b"urn:hl7-org:v3", b""),
        "another root": b"<html/>",
        "a document type": b"<!DOCTYPE a>" + EVERYTHING,
        "an entity of its own": b"<!DOCTYPE a [<!ENTITY b 'c'>]>" + text("&b;"),
        "an entity of nobody": text("&nbsp;"),
        "a character that XML forbids": text("&#0;"),
        "as deep as 10,000": text("<content>" * 10_000 + "</content>" * 10_000),
        "an attribute of a megabyte": text(f"<content ID='{'a' * 1_000_000}'/>"),
        "200,000 cells": text(f"<table><tr>{'<td/>' * 200_000}</tr></table>"),
        "17 megabytes": text("a" * 17_000_000),
        "UTF-7": b"<?xml version='1.0' encoding='UTF-7'?>" + EVERYTHING,
        "zero bytes": bytes(4_096),
        "a PDF file": b"%PDF-1.4",
    }
}

ODD: Final = {
    "cda_document": {
        "nothing in it": _ROOT + b"/>",
        "no base64": file("application/pdf", "%%%"),
        "a file that is packed": file("application/pdf", "H4sI", "compression='GZ'"),
        "30,000 cells": text(f"<table><tr>{'<td/>' * 30_000}</tr></table>"),
        "one identifier on everything": text("<content ID='a'>b</content>" * 20_000),
        "20,000 links to one place": text("<linkHtml href='#a'>b</linkHtml>" * 20_000 + "<content ID='a'/>"),
        "notes within notes": text("<footnote>" * 60 + "a" + "</footnote>" * 60),
        "a table within a cell": text("<table><tr><td>" * 20 + "a" + "</td></tr></table>" * 20),
        "XSL": text(
            "<xsl:include xmlns:xsl='http://www.w3.org/1999/XSL/Transform' href='file:///dev/zero'/>"
        ),
        "signs that turn the text around": text("\u202e\u2066\u200f"),
        "in UTF-16": EVERYTHING.decode().encode("utf-16"),
    }
}
