"""MDM^T02: a new document with its content (HL7 v2.5.1, 9.5.2).

MSH EVN PID PV1 TXA OBX…: the document whole in the first OBX, then a reference to each attachment. TXA says
of the document what its CDA header says, by the mapping of CDA R2 (section 3).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from protocols.hl7.build import Field, SegmentFields, build
from protocols.hl7.composing.parts import (
    Attachment,
    Coded,
    Head,
    attachment_obxs,
    author_field,
    document_obx,
    msh,
    pid,
    pv1,
    reference_field,
)
from protocols.parties import plain

REPORT_TYPES: Final = {"34133-9": "TS", "11488-4": "CN", "18842-5": "DS", "57133-1": "CN"}
"""TXA-2 (table 0270) of a document's LOINC code."""
DEFAULT_REPORT_TYPE: Final = "PN"
_CONFIDENTIALITY: Final = {"N": "U", "R": "R", "V": "V"}


@dataclass(frozen=True, slots=True)
class Document:
    """A CDA document: its bytes, its kind by LOINC, its title, and how confidential it is (N, R or V)."""

    content: bytes
    kind: Coded
    title: str
    confidentiality: str = "N"


def build_document(head: Head, document: Document, attachments: tuple[Attachment, ...] = ()) -> bytes:
    """Return MDM^T02. Raises :class:`LocalProtocolError` for what no message can say."""
    return build(
        msh(head, "MDM", "T02"),
        ("EVN", "T02", head.at, "", "", author_field(head.author)),
        pid(head),
        pv1(head),
        _txa(head, document),
        document_obx(head, 1, document.kind, document.content),
        *attachment_obxs(head, 2, attachments),
    )


def _txa(head: Head, document: Document) -> SegmentFields:
    """TXA (9.6.1): unsigned by a second person (TXA-17 is DO, documented), and for use in care."""
    author = author_field(head.author)
    parent: Field = (plain(head.answers),) if head.answers else ""
    return (
        "TXA", "1", REPORT_TYPES.get(document.kind.code, DEFAULT_REPORT_TYPE), "TEXT", head.at, author,
        head.at, "", "", author, "", "", reference_field(head, head.reference), parent, "", "",
        "", "DO", _CONFIDENTIALITY[document.confidentiality], "AV",
    )  # fmt: skip
