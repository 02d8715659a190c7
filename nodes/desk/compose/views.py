"""The pages of composing: drafts, recipient, patient, content, check your answers, sent.

Every page is a form that works as it is; scripts only save while one types, search while one types, and
upload in pieces. ``do`` says which button was pressed.
"""

from __future__ import annotations

from typing import Any, Final

from flask import redirect, render_template, request
from flask_babel import gettext

from nodes.care.patients import service as patients
from nodes.care.patients.store import FOUND
from nodes.desk import departments as duty
from nodes.desk import people
from nodes.desk.compose import answering, bounds, forms, picking, receiving, sending, service, store, words
from nodes.desk.compose.content import Content, Fault
from nodes.desk.compose.picking import Wanted
from nodes.desk.compose.store import Draft, Upload
from nodes.desk.context import Desk, Visitor, visitor
from nodes.desk.errors import DeskRefused, NotThere
from nodes.desk.roles import Permission, sends
from nodes.link.errors import NodeError
from nodes.link.ids import id_text, parse_id
from runtime.storage_errors import StorageFull
from runtime.transactions import transact
from runtime.web import languages
from runtime.web.entrance import TOO_EARLY
from runtime.web.site import Page

NEXT: Final = dict(zip(service.STEPS, service.STEPS[1:], strict=False))
Errors = list[tuple[str, str]]


def drafts(desk: Desk) -> str:
    """Show one's own drafts, and where a new message begins."""
    return _drafts(desk, [])


def _drafts(desk: Desk, errors: Errors) -> str:
    who = visitor()
    found = desk.read(lambda c: store.of_owner(c, who.name))
    department = request.args.get("from", "")
    return render_template(
        "compose_drafts.html", drafts=found, errors=errors, words=words,
        department=department if department in who.departments else "",
    )  # fmt: skip


def begin(desk: Desk) -> Any:
    """Begin a draft: a new message, an answer to one (``answer``), or one passed on (``forward``)."""
    who, now_ms = visitor(), desk.clock.now_ms()
    given = request.form.get("answer") or request.form.get("forward") or ""
    seq = int(given) if given.isascii() and given.isdigit() and len(given) < 19 else 0  # noqa: PLR2004 - of 63 bits
    try:
        if given:
            draft = answering.begin(desk, who, seq, forward="forward" in request.form)
        else:
            department = request.form.get("from", "")
            mine = department if department in who.departments else ""
            empty = Content(language=languages.language(), department=mine)
            draft = desk.change(lambda c: service.begin(c, who, empty, now_ms))
    except NotThere:
        raise
    except (DeskRefused, NodeError, StorageFull) as error:
        return _drafts(desk, [("drafts", words.refusal(error))]), 422
    return redirect(f"/compose/{draft.id}/recipient", 303)


def step(desk: Desk, page: str, draft: str) -> Any:
    """Show one page of a draft."""
    who = visitor()
    found = desk.read(lambda c: service.own(c, who.name, draft))
    if found.sent_id is not None:
        return redirect(f"/compose/{draft}/sent", 303)
    return _SHOW[page](desk, who, found, [])


def take(desk: Desk, page: str, draft: str) -> Any:
    """Save one page, then go where the button says: on if nothing is wrong, out, or to the page again."""
    who, now_ms, todo = visitor(), desk.clock.now_ms(), request.form.get("do", "next")
    if todo == "find" and not request.form.get("q", "").strip():
        todo = "next"  # the key that ends a line presses the first button of a form
    fields = forms.READ[page](request.form)
    searched = _searched() if page == "patient" else ""
    try:
        transact(desk.engine, lambda c: service.change(c, who.name, draft, fields, now_ms, searched=searched))
    except DeskRefused as error:
        if error.code == "sent":
            return redirect(f"/compose/{draft}/sent", 303)
        raise
    if todo == "leave":
        return redirect("/compose", 303)
    found, wrong = _draft_and_faults(desk, who, draft)
    match todo:
        case "search" | "find":
            answer: Any = _SHOW[page](desk, who, found, [])
        case "pick":
            answer = _pick(desk, who, found)
        case "rows":
            answer = _content(desk, who, found, [], more=bounds.ROWS)
        case _ if wrong.get(page):
            answer = _SHOW[page](desk, who, found, [words.fault(one) for one in wrong[page]]), 422
        case _:
            answer = redirect(f"/compose/{draft}/{NEXT[page]}", 303)
    return answer


def save(desk: Desk, page: str, draft: str) -> Any:
    """Save what was typed so far; answers with the words that say so."""
    who, now_ms = visitor(), desk.clock.now_ms()
    fields = forms.READ[page](request.form)
    try:
        transact(desk.engine, lambda c: service.change(c, who.name, draft, fields, now_ms))
    except NotThere:
        raise
    except DeskRefused as error:
        return words.refusal(error), 409
    at = languages.clock(now_ms)
    return str(gettext("Saved at %(time)s", time=at))


def found(desk: Desk, draft: str) -> str:
    """Show the recipients that a search finds: a part of the page."""
    who = visitor()
    present = desk.read(lambda c: service.own(c, who.name, draft))
    listed, more = desk.read(lambda c: picking.choices(c, _wanted(request.args)))
    return render_template(
        "compose_found.html", found=listed, more=more, content=present.content, words=words
    )


def _wanted(given: Any) -> Wanted:
    wilaya = given.get("wilaya", "")
    number = int(wilaya) if wilaya.isascii() and wilaya.isdigit() and len(wilaya) < 3 else 0  # noqa: PLR2004 - two digits
    return Wanted(given.get("q", "")[: bounds.QUERY_CHARS], given.get("of", "")[: bounds.QUERY_CHARS], number)


def _recipient(desk: Desk, who: Visitor, draft: Draft, errors: Errors) -> str:
    wanted = _wanted(request.form if request.method == "POST" else request.args)
    now_ms = desk.clock.now_ms()

    def look(connection: Any) -> Any:
        listed, more = picking.choices(connection, wanted)
        kinds, wilayas = picking.kinds_and_wilayas(connection)
        chosen = picking.place_of(connection, draft.content.recipient)
        names = people.titles(connection)
        members = (
            duty.members_of(connection, one, now_ms)
            for one in duty.served(connection, desk.settings, desk.facility)
        )
        on_duty = {
            one.department: names.get(one.name, one.name)
            for each in members
            for one in each
            if one.duty_until_ms
        }
        return listed, more, kinds, wilayas, chosen, on_duty

    listed, more, kinds, wilayas, chosen, on_duty = desk.read(look)
    return render_template(
        "compose_recipient.html", draft=draft, content=draft.content, errors=errors, words=words,
        wanted=wanted, found=listed, more=more, kinds=[(one, words.place_kind(one)) for one in kinds],
        wilayas=[(str(one), words.wilaya(one)) for one in wilayas], chosen=chosen, on_duty=on_duty,
        departments=[(one, one) for one in who.departments], step="recipient",
        kinds_sent=[(one, *said) for one, said in words.KINDS.items() if one in sends(who.role)],
    )  # fmt: skip


def _searched() -> str:
    """Return what a form looks for among the patients who are known here."""
    return request.form.get("q", "").strip()[: bounds.QUERY_CHARS]


def _patient(desk: Desk, _who: Visitor, draft: Draft, errors: Errors) -> str:
    text = _searched()
    known = desk.read(lambda c: patients.search(c, text)) if text else []
    place = desk.read(lambda c: picking.place_of(c, draft.content.recipient))
    return render_template(
        "compose_patient.html", draft=draft, content=draft.content, errors=errors, words=words,
        step="patient", known=known[:FOUND], more=len(known) > FOUND, text=text, id_text=id_text,
        place=place,
    )  # fmt: skip


def _pick(desk: Desk, who: Visitor, draft: Draft) -> Any:
    """Take over a patient who is known here, if a second identifier is said."""
    raw, said = parse_id(request.form.get("known", "")[:64]), request.form.get("second", "")
    now_ms = desk.clock.now_ms()
    if raw is None:
        return _patient(desk, who, draft, [words.fault(Fault("q", "no-known"))]), 422
    early_s: int | None = 0
    if said.strip():
        patient = desk.read(lambda c: patients.find(c, raw))
        said = said[: bounds.QUERY_CHARS]
        early_s = desk.change(lambda c: service.take_over(c, who, draft, patient, said, now_ms))
    if early_s is None:
        return _patient(desk, who, desk.read(lambda c: service.own(c, who.name, draft.id)), [])
    if early_s:
        text = gettext("Too many tries: wait %(span)s, then try again.", span=languages.span(early_s))
        return _patient(desk, who, draft, [("second", text)]), TOO_EARLY, {"Retry-After": str(early_s)}
    return _patient(desk, who, draft, [words.fault(Fault("second", "no-second"))]), 422


def _content(desk: Desk, _who: Visitor, draft: Draft, errors: Errors, *, more: int = 0) -> str:
    uploads = desk.read(lambda c: store.uploads_of(c, draft.id))
    place = desk.read(lambda c: picking.place_of(c, draft.content.recipient))
    count = min(bounds.MOST_ROWS, max(bounds.ROWS, len(draft.content.rows) + more))
    return render_template(
        "compose_content.html", draft=draft, content=draft.content, errors=errors, words=words,
        step="content", uploads=uploads, rows=count, bounds=bounds, place=place,
    )  # fmt: skip


def _check(desk: Desk, who: Visitor, draft: Draft, errors: Errors) -> str:
    today = sending.local_time(desk, desk.clock.now_ms()).date()

    def look(connection: Any) -> Any:
        # At one moment: the form says by a digest what the page shows.
        found = service.own(connection, who.name, draft.id)
        place = picking.place_of(connection, found.content.recipient)
        wrong = service.faults(connection, found, who, today)
        return found, store.uploads_of(connection, found.id), place, wrong

    draft, uploads, place, wrong = desk.read(look)
    left = [(f"{page}-{one.field}", text) for page, each in wrong.items() for one, text in _said(each)]
    return render_template(
        "compose_check.html", draft=draft, content=draft.content, errors=errors, words=words, step="check",
        uploads=uploads, place=place, wrong=wrong, left=left, mark=sending.mark_of(draft, uploads),
    )  # fmt: skip


def _said(faults: tuple[Fault, ...]) -> list[tuple[Fault, str]]:
    return [(one, words.fault(one)[1]) for one in faults]


def _draft_and_faults(desk: Desk, who: Visitor, draft: str) -> tuple[Draft, dict[str, tuple[Fault, ...]]]:
    today = sending.local_time(desk, desk.clock.now_ms()).date()

    def look(connection: Any) -> tuple[Draft, dict[str, tuple[Fault, ...]]]:
        found = service.own(connection, who.name, draft)
        return found, service.faults(connection, found, who, today)

    return desk.read(look)


def send(desk: Desk, draft: str) -> Any:
    """Send it, if the patient was confirmed, nothing is wrong, and it is what the check page showed."""
    who = visitor()
    found = desk.read(lambda c: service.own(c, who.name, draft))
    if found.sent_id is None:
        if request.form.get("confirmed") != "1":
            return _check(desk, who, found, [words.fault(Fault("confirmed", "not-confirmed"))]), 422
        try:
            sending.send(desk, who, draft, request.form.get("shown", ""))
        except (DeskRefused, NodeError) as error:
            if error.code == sending.CHANGED:
                return _check(desk, who, found, [("confirmed", words.refusal(error))]), 409
            return _check(desk, who, found, [("content", words.refusal(error))]), 422
        except StorageFull as error:
            return _check(desk, who, found, [("content", words.refusal(error))]), 422
    return redirect(f"/compose/{draft}/sent", 303)


def sent(desk: Desk, draft: str) -> Any:
    """Tell that it is on its way, under which reference, and where to follow it."""
    who = visitor()
    found = desk.read(lambda c: service.own(c, who.name, draft))
    if found.sent_id is None:
        return redirect(f"/compose/{draft}/check", 303)
    place = desk.read(lambda c: picking.place_of(c, found.content.recipient))
    return render_template(
        "compose_sent.html", draft=found, content=found.content, place=place, message=id_text(found.sent_id)
    )


def discard(desk: Desk, draft: str) -> Any:
    """Forget a draft."""
    who, now_ms = visitor(), desk.clock.now_ms()
    try:
        gone: list[Upload] = desk.change(lambda c: service.discard(c, who.name, draft, now_ms))
    except NotThere:
        raise
    except DeskRefused:
        return redirect(f"/compose/{draft}/sent", 303)
    receiving.drop(desk, gone)
    return redirect("/compose", 303)


_SHOW: Final = {"recipient": _recipient, "patient": _patient, "content": _content, "check": _check}


def _steps() -> tuple[Page, ...]:
    pages = []
    for page in service.STEPS:
        pages.append(
            Page("GET", f"/compose/<draft>/{page}", f"compose_{page}", _at(step, page), Permission.SEND)
        )
        if page != "check":
            path = f"/compose/<draft>/{page}"
            pages += [
                Page("POST", path, f"compose_take_{page}", _at(take, page), Permission.SEND),
                Page("POST", f"{path}/save", f"compose_save_{page}", _at(save, page), Permission.SEND),
            ]
    return tuple(pages)


def _at(handler: Any, page: str) -> Any:
    def handle(desk: Desk, **path: str) -> Any:
        return handler(desk, page, **path)

    return handle


PAGES: Final = (
    Page("GET", "/compose", "compose", drafts, Permission.SEND),
    Page("POST", "/compose", "compose_begin", begin, Permission.SEND),
    *_steps(),
    Page("GET", "/compose/<draft>/found", "compose_found", found, Permission.SEND),
    Page("POST", "/compose/<draft>/check", "compose_send", send, Permission.SEND),
    Page("GET", "/compose/<draft>/sent", "compose_sent", sent, Permission.SEND),
    Page("POST", "/compose/<draft>/discard", "compose_discard", discard, Permission.SEND),
)
