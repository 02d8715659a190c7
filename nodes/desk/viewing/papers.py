"""A CDA document as a page of its own, for a frame that can do nothing.

The page carries its few styles itself and is sent with a policy that allows these (by their hash) and images
that stand in it, and nothing else: no script, no request to anywhere, this site included. ``sandbox`` gives
it an origin of its own, so it could not read the desk even if it ran something.

Pictures in the document are drawn anew (:mod:`nodes.desk.viewing.drawing`), ``PICTURES`` of them at most, all
together in ``PICTURES_S``: somebody waits for the page, and a thread of the desk is held. Where another one
stands, the page says that it is in the document to be downloaded.
"""

from __future__ import annotations

import hashlib
import io
import time
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from flask_babel import gettext
from flask_babel import lazy_gettext as _

from nodes.desk.viewing import codes, drawing
from nodes.desk.viewing.blocks import Fact, facts
from nodes.desk.viewing.codes import word
from nodes.desk.viewing.kinds import IMAGES, kind_of
from nodes.desk.viewing.people import Identity, from_document
from nodes.desk.viewing.pictures import CannotShow
from protocols.cda.document import Document, Embedded, Encounter, Header, Person, read
from protocols.cda.header import Code
from protocols.cda.render import Labels, narrative
from protocols.hl7.moments import read_moment

PICTURES: Final = 24
PICTURES_S: Final = 15.0
"""How long the pictures of one page may take together, waiting for a turn included."""
PICTURE_SIDE: Final = 1_200
STYLE: Final = (Path(__file__).parent / "templates" / "paper.css").read_text(encoding="utf-8")
_HASH: Final = b64encode(hashlib.sha256(STYLE.encode("utf-8")).digest()).decode("ascii")
POLICY: Final = (
    f"sandbox; default-src 'none'; style-src 'sha256-{_HASH}'; img-src data:; frame-ancestors 'self'; "
    "base-uri 'none'; form-action 'none'"
)

_CONFIDENTIALITY: Final = {"R": _("restricted"), "V": _("very restricted")}
_RELATIONS: Final = {"RPLC": _("Replaces"), "APND": _("Adds to"), "XFRM": _("Made from")}


@dataclass(frozen=True, slots=True)
class Paper:
    """A document to be drawn: its header's values, its narrative as HTML of ours, a body that is a file."""

    document: Document
    identity: Identity | None
    html: str
    attachment: Embedded | None


def paper(data: bytes) -> Paper:
    """Return a document in the request's language; raises RemoteProtocolError."""
    document = read(data)
    patients = document.header.patients
    return Paper(
        document=document,
        identity=from_document(patients[0]) if patients else None,
        html="" if document.attachment else narrative(document, _labels(), _pictures(document)),
        attachment=document.attachment,
    )


def header_facts(shown: Paper) -> tuple[Fact, ...]:
    """Return what stands before the text: whom it is about, who wrote it, when, for whom."""
    header, about = shown.document.header, shown.identity
    people = [
        (_("Patient"), ", ".join(about.names) if about else ""),
        (_("Born"), about.birth if about else ""),
        (_("Sex"), word(codes.SEX, about.sex) if about else ""),
        (_("Patient’s numbers"), ", ".join(one.number for one in about.identifiers) if about else ""),
    ]
    stays = [_stay(one) for one in header.encounters]
    acts = [_stay(one) for one in header.services]
    return facts(
        *people,
        (_("Kind"), kind(header) if header.kind != header.title else ""),
        (_("Written"), read_moment(header.at) or header.at),
        (_("Author"), _people(header.authors)),
        (_("Signed by"), _people(header.signers)),
        (_("For"), _people(header.recipients)),
        (_("Kept by"), header.custodian),
        (_("Stay"), "; ".join(filter(None, stays))),
        (_("About"), "; ".join(filter(None, acts))),
        (_("In answer to order"), ", ".join(one.text for one in header.orders)),
        (_("Confidentiality"), _CONFIDENTIALITY.get(header.confidentiality, "")),
        (_("Document number"), ", ".join(one.text for one in header.identifiers)),
        (_("Version"), header.version),
        *(
            (word(_RELATIONS, one.kind), ", ".join(each.text for each in one.identifiers))
            for one in header.related
        ),
    )


def kind(header: Header) -> Any:
    """Return what a document is: in the reader's language if a desk wrote it, else as it says itself."""
    return codes.LETTERS.get(Code(header.kind_code, header.kind), header.kind)


def _people(people: tuple[Person, ...]) -> str:
    return "; ".join(
        filter(None, (", ".join(filter(None, (one.name, one.role, one.organization))) for one in people))
    )


def _stay(one: Encounter) -> str:
    times = " – ".join(_day(each) for each in (one.begins, one.ends) if each)
    return ", ".join(filter(None, (one.kind, one.place, one.responsible, times)))


def _day(text: str) -> str:
    found = read_moment(text)
    return "-".join(f"{part:02}" for part in found.parts[:3]) if found else text


def _labels() -> Labels:
    return Labels(
        empty=gettext("This section has no text."),
        notes=gettext("Notes"),
        note=gettext("Note"),
        table=gettext("Table"),
        picture=gettext("Picture"),
        no_picture=gettext("A picture that is not shown here: it is in the document, to be downloaded"),
    )


def _pictures(document: Document) -> dict[int, str]:
    shown: dict[int, str] = {}
    end_s = time.monotonic() + PICTURES_S
    for number, one in enumerate(document.pictures[:PICTURES]):
        if one.data and not one.compression and kind_of(one.data) in IMAGES:
            left_s = end_s - time.monotonic()
            if left_s <= 0:
                break
            try:
                made = drawing.image(io.BytesIO(one.data), len(one.data), PICTURE_SIDE, left_s)
            except CannotShow as fault:
                if fault.code in drawing.COSTLY:
                    break  # nobody waits for two dozen of them
                continue
            shown[number] = f"data:{made.media_type};base64,{b64encode(made.data).decode('ascii')}"
    return shown
