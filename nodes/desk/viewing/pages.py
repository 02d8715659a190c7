"""Pages of what is in a message: its fields, its files, and the files themselves.

Each first finds the message among the reader's departments (another's does not exist) and enters what was
looked at into the audit log, in one transaction; then it opens the bytes. A part of a file, from anywhere but
its beginning, is no new entry if the same person's download of this very file is one of today already.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from flask import Response, abort, make_response, redirect, render_template, request
from flask_babel import gettext
from markupsafe import Markup
from sqlalchemy import Connection

from nodes.desk import audit, heavy
from nodes.desk.context import Desk, visitor
from nodes.desk.heavy import Busy
from nodes.desk.mail import service
from nodes.desk.mail.store import Mail
from nodes.desk.roles import Permission
from nodes.desk.viewing import archives, codes, dicom, drawing, foreign, papers, reading, told
from nodes.desk.viewing.foreign import Foreign
from nodes.desk.viewing.frame import look
from nodes.desk.viewing.history import key
from nodes.desk.viewing.kinds import IMAGES, Kind
from nodes.desk.viewing.message import every_field
from nodes.desk.viewing.names import disposition
from nodes.desk.viewing.people import Identity, contradiction
from nodes.desk.viewing.pictures import CannotShow, Picture
from nodes.desk.viewing.sending import POLICY, Checked, bind, continues, send_bytes, send_file
from nodes.link import inbox
from nodes.link.ids import id_text
from nodes.link.inbox import Received
from protocols.errors import RemoteProtocolError
from runtime.web import languages
from runtime.web.site import HEADERS, Page

TEXT_BYTES: Final = 256 * 1024
"""Of a text file that is shown; more is there to be kept."""
PDF_POLICY: Final = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; object-src 'self'; frame-ancestors 'self'; "
    "base-uri 'none'; form-action 'none'"
)
"""Browsers show a PDF in a viewer of their own, whose page needs its styles."""
_FRAMED: Final = HEADERS["Content-Security-Policy"] + "; frame-src 'self'"
_CHECKED: Final = Checked()


@dataclass(frozen=True, slots=True)
class Asked:
    """A file that somebody may see: the message, the file, and who the message is about."""

    mail: Mail
    received: Received
    one: Foreign
    about: Identity | None


def words() -> dict[str, Any]:
    """Return what the templates of this room call."""
    return {
        "said": told.said, "age": told.age, "codes": codes, "word": codes.word, "kinds": told.KINDS,
        "why": told.reason, "key": key, "images": IMAGES, "Kind": Kind,
        "shape": lambda block: type(block).__name__,
    }  # fmt: skip


def framed(page: str) -> Response:
    """Answer with a page that holds frames of this site."""
    response = make_response(page)
    response.headers["Content-Security-Policy"] = _FRAMED
    return response


def shown(desk: Desk, departments: tuple[str, ...], received: Received) -> dict[str, Any]:
    """Return what the page of a message that was opened needs from here, for ``viewing.html``."""
    found = reading.read(received, desk.home)
    if found.view is not None:
        earlier = desk.read(lambda c: reading.earlier_results(c, departments, received))
        found = reading.with_curves(found, received, earlier, desk)
    everything = found.everything
    inner = {(one.source, one.index): foreign.within(one) for one in everything}
    return {"reading": found, "everything": everything, "inner": inner, **words()}


def fields(desk: Desk, number: int) -> Any:
    """Show every field of a message, as it was sent."""
    who, now_ms = visitor(), desk.clock.now_ms()

    def look(connection: Connection) -> tuple[Mail, Received]:
        one, received = service.received(connection, who.departments, number)
        audit.record(connection, who.actor, "message.read", id_text(one.id), {"as": "fields"}, now_ms)
        return one, received

    one, received = desk.change(look)
    if reading.size_of(received, desk.home) > reading.BODY_BYTES:
        abort(404)
    try:
        segments, count = every_field(inbox.read_body(received, desk.home))
    except RemoteProtocolError:
        abort(404)
    return render_template("fields.html", one=one, segments=segments, count=count, **words())


def _asked(desk: Desk, number: int, source: str, index: int, act: str, *, parts: bool) -> Asked:
    """Find a file, check that it is what arrived, and note who looks; ``parts``: at a part, perhaps."""
    who, now_ms = visitor(), desk.clock.now_ms()
    mail, received = desk.read(lambda c: service.received(c, who.departments, number))
    one, about = reading.find(received, desk.home, source, index)
    if one.file is not None:
        _CHECKED.ensure(one.file, desk.home)
    if request.method == "GET":
        details = {"file": f"{source}/{index}", "name": one.name, "department": mail.department}
        goes_on = parts and one.path is not None and continues(one.size_bytes, one.tag)

        def note(connection: Connection) -> None:
            day_ms = languages.midnight(now_ms)
            subject = id_text(mail.id)
            if goes_on and audit.has(connection, who.actor, act, subject, details, day_ms):
                return
            audit.record(connection, who.actor, act, subject, details, now_ms)

        desk.change(note)
    return Asked(mail, received, one, about)


def keep(desk: Desk, number: int, source: str, index: int) -> Response:
    """Give a file to keep; no browser interprets it."""
    one = _asked(desk, number, source, index, "file.downloaded", parts=True).one
    if one.path is not None:
        return send_file(one.path, one.size_bytes, one.tag, "", one.name, inline=False)
    return send_bytes(one.data or b"", "", one.name, inline=False)


def page(desk: Desk, number: int, source: str, index: int) -> Any:
    """Show a file on a page of its own, with what is known of it."""
    asked = _asked(desk, number, source, index, "file.shown", parts=False)
    one = asked.one
    if not one.shown:
        return redirect(f"/m/{number}/{source}/{index}/keep", 303)
    context: dict[str, Any] = {
        "one": asked.mail, "file": one, "within": foreign.within(one), "fault": "", "warning": "", "text": "",
        "listing": None, "scan": None, "about": asked.about,
    }  # fmt: skip
    try:
        with one.open() as opened:
            match one.kind:
                case Kind.ZIP:
                    context["listing"] = archives.listing(opened, one.size_bytes)
                case Kind.DICOM:
                    scan = dicom.scan(opened)
                    context["scan"] = scan
                    context["warning"] = _warning(asked.about, scan.identity)
                case Kind.TEXT:
                    context["text"] = opened.read(TEXT_BYTES).decode("utf-8", "replace")
                case _:
                    pass
    except CannotShow as fault:
        context["fault"] = told.reason(fault.code)
    return framed(render_template("file.html", **context, **words()))


def show(desk: Desk, number: int, source: str, index: int) -> Response:
    """Give what a browser shows of a file: an image drawn anew, a document in our HTML, a PDF as it is."""
    asked = _asked(desk, number, source, index, "file.shown", parts=True)
    one = asked.one
    try:
        if one.kind is Kind.PDF:
            return _frameable(_pdf(one), PDF_POLICY)
        if one.kind is Kind.CDA:
            return _frameable(make_response(_paper(asked)), papers.POLICY)
        if one.kind in IMAGES or one.kind is Kind.DICOM:
            return _image(one)
    except CannotShow as fault:
        if fault.code == "busy":
            return _later(gettext("Too many pictures are being drawn just now: try again in a moment."))
    except RemoteProtocolError:
        pass
    return abort(404)


def busy(_error: Busy) -> Response:
    """Say that there is no turn for a large file now, in a few words where a frame asks for one."""
    if request.endpoint == "file_show":
        return _later(str(heavy.SAID))
    page = render_template("error.html", title=gettext("Not available now"), text=str(heavy.SAID), status=503)
    answer = make_response(page, 503)
    answer.headers["Retry-After"] = str(heavy.RETRY_AFTER_S)
    return answer


def _later(said: str) -> Response:
    """Answer within a frame, or instead of an image, that there is no turn now."""
    answer = _frameable(Response(said, 503, mimetype="text/plain"), PDF_POLICY)
    answer.headers["Retry-After"] = str(heavy.RETRY_AFTER_S)
    return answer


def _warning(one: Identity | None, other: Identity | None) -> Any:
    """Return what speaks against a file being about whom the message is about; empty if nothing does."""
    return told.CONTRADICTIONS[contradiction(one, other) if one and other else ""]


def _frameable(response: Response, policy: str) -> Response:
    bind(response, policy)
    response.headers["X-Frame-Options"] = "SAMEORIGIN"
    return response


def _pdf(one: Foreign) -> Response:
    if one.path is not None:
        return send_file(one.path, one.size_bytes, one.tag, "application/pdf", one.name, inline=True)
    return send_bytes(one.data or b"", "application/pdf", one.name, inline=True)


def _image(one: Foreign) -> Response:
    with one.open() as opened:
        made: Picture = (
            drawing.frame(look(dicom.scan(opened)), opened)
            if one.kind is Kind.DICOM
            else drawing.image(opened, one.size_bytes)
        )
    response = Response(made.data, content_type=made.media_type)
    suffix = ".png" if made.media_type == "image/png" else ".jpg"
    response.headers["Content-Disposition"] = disposition(f"image{suffix}", inline=True)
    return bind(response, POLICY)


def _paper(asked: Asked) -> str:
    with asked.one.open() as opened:
        paper = papers.paper(opened.read(reading.BODY_BYTES))
    return render_template(
        "paper.html",
        title=paper.document.header.title or papers.kind(paper.document.header),
        facts=papers.header_facts(paper),
        warning=_warning(asked.about, paper.identity),
        narrative=Markup(paper.html),  # noqa: S704 (made and checked by protocols.cda.render)
        style=Markup(f"<style>{papers.STYLE}</style>"),  # noqa: S704 (a file of ours)
        **words(),
    )


_AT: Final = "/m/<int:number>/<source>/<int:index>"
PAGES: Final = (
    Page("GET", "/m/<int:number>/fields", "fields", fields, Permission.READ),
    Page("GET", _AT, "file", page, Permission.READ),
    Page("GET", f"{_AT}/show", "file_show", show, Permission.READ),
    Page("GET", f"{_AT}/keep", "file_keep", keep, Permission.READ),
)
