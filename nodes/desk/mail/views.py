"""Pages of a department's inbox, and of one message."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from flask import Response, abort, redirect, render_template, request
from flask_babel import gettext
from sqlalchemy import Connection

from nodes.desk import catching, departments, people, places, words
from nodes.desk.context import Desk, Visitor, visitor
from nodes.desk.errors import DeskRefused
from nodes.desk.mail import service, store
from nodes.desk.mail.rank import Rank
from nodes.desk.mail.service import Reader
from nodes.desk.mail.store import After, Mail, Wanted
from nodes.desk.roles import Permission
from nodes.desk.sent import store as sent_store
from nodes.desk.threads import THREAD
from nodes.desk.viewing import pages as viewing
from nodes.link.ids import id_text
from runtime.web.site import Page

VIEWS: Final = ("inbox", "unread", "mine", "archive")
QUERY_CHARS: Final = 100
NUMBER_DIGITS: Final = 18
FORBIDDEN: Final = 403


def reader(who: Visitor) -> Reader:
    """Return who asks, as services know people."""
    return Reader(who.name, who.departments, who.role)


def home(desk: Desk) -> Any:
    """Show one's departments; the one there is, if it is one."""
    who = visitor()
    if len(who.departments) == 1 and request.args.get("all") != "1":
        return redirect(f"/d/{who.departments[0]}", 303)
    catching.catch_up(desk.engine, desk.home)
    now_ms = desk.clock.now_ms()

    def look(connection: Connection) -> Any:
        counted = store.counts(connection, who.departments)
        on_duty = {
            name: [one for one in departments.members_of(connection, name, now_ms) if one.duty_until_ms]
            for name in who.departments
        }
        return counted, on_duty, people.titles(connection)

    counted, on_duty, titles = desk.read(look)
    return render_template("departments.html", counts=counted, on_duty=on_duty, titles=titles)


def department(desk: Desk, name: str) -> Any:
    """Show a department's messages; nothing (204) to a page that asks whether there is anything new."""
    who = visitor()
    departments.check(who.departments, name)
    catching.catch_up(desk.engine, desk.home)
    version = desk.read(lambda c: departments.version(c, name))
    if request.headers.get("HX-Request") and request.args.get("seen") == str(version):
        return "", 204
    return _list(desk, name, version)


def _list(desk: Desk, name: str, version: int, error: str = "") -> str:
    who, wanted = visitor(), _wanted(desk, name)
    after = _after(request.values.get("after", ""))

    def look(connection: Connection) -> dict[str, Any]:
        found = store.listing(connection, wanted, after)
        shown = found[: store.LISTED]
        return {
            "rows": shown,
            "more": found[-2] if len(found) > store.LISTED else None,
            "count": store.counts(connection, [name])[name],
            "kinds": store.kinds(connection, name),
            "members": departments.members_of(connection, name, desk.clock.now_ms()),
            "titles": people.titles(connection),
            "places": places.titles(connection, [one.sender for one in shown]),
        }

    found = desk.read(look)
    asked = {key: value for key, value in request.args.items() if key not in {"after", "seen", "seq", "done"}}
    last = found.pop("more")
    older = {**asked, "after": f"{int(last.rank)}-{last.seq}"} if last is not None else {}
    return render_template(
        "inbox.html", **found, wanted=wanted, department=name, version=version, error=error, asked=asked,
        older=f"/d/{name}?{urlencode(older)}" if older else "", Rank=Rank,
        poll=f"/d/{name}?{urlencode({**asked, 'seen': version})}" if after is None else "",
        picked={number_in(one) for one in request.values.getlist("seq")}, done=request.args.get("done", ""),
        tab=lambda view: f"/d/{name}?{urlencode({**asked, 'view': view})}", who=who,
    )  # fmt: skip


def _wanted(desk: Desk, name: str) -> Wanted:
    def asked(key: str) -> str:
        return request.args.get(key, "").strip()[:QUERY_CHARS]

    view = asked("view")
    before = midnight(asked("to"), desk.plan.zone, days=1)
    return Wanted(
        name, view if view in VIEWS else "inbox", visitor().name, asked("q"), asked("patient"),
        asked("sender"), asked("kind"), asked("files") == "1",
        midnight(asked("from"), desk.plan.zone, days=0), before,
    )  # fmt: skip


def midnight(text: str, zone: str, *, days: int) -> int | None:
    """Return when a day (as a browser's date field says it) begins in a zone, or so many days later."""
    try:
        day = date.fromisoformat(text) + timedelta(days=days)
    except (ValueError, OverflowError):
        return None
    begins = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone))
    return int(begins.astimezone(UTC).timestamp() * 1000) if day.year > 1 else None


def _after(text: str) -> After | None:
    rank, _, seq = text.partition("-")
    return After(number_in(rank), number_in(seq)) if rank and seq else None


def number_in(text: str) -> int:
    """Return the number that an address or a form holds; 0 for anything else."""
    digits = text.isascii() and text.isdigit() and len(text) <= NUMBER_DIGITS
    return int(text) if digits else 0


def bulk(desk: Desk, name: str) -> Any:
    """Do something with several messages."""
    who, now_ms = visitor(), desk.clock.now_ms()
    departments.check(who.departments, name)
    seqs = [number_in(one) for one in request.form.getlist("seq")]
    action = request.form.get("action", "")
    left = 0
    if not seqs:
        return redirect(_back(name, "none"), 303)
    try:
        match action:
            case "archive":
                left = desk.change(lambda c: service.archive(c, reader(who), seqs, now_ms))
            case "restore":
                desk.change(lambda c: service.restore(c, reader(who), seqs, now_ms))
            case "assign":
                to = request.form.get("to", "") or None
                desk.change(lambda c: service.assign(c, reader(who), seqs, to, now_ms))
            case _:
                abort(400)
    except DeskRefused as error:
        if error.code not in {"no-such-member", "too-many"}:
            raise
        return redirect(_back(name, error.code), 303)
    return redirect(_back(name, "left" if left else "yes"), 303)


def _back(name: str, done: str) -> str:
    asked = {key: value for key, value in request.args.items() if key != "done"}
    return f"/d/{name}?{urlencode({**asked, 'done': done})}"


def message(desk: Desk, number: int) -> Any:
    """Open a message: read it, have its sender told, show it.

    The page is made before it is opened, as it will be then: *processed* is signed of nothing that could not
    be shown.
    """
    if "prefetch" in request.headers.get("Sec-Purpose", ""):
        return Response(status=503)  # nobody has looked at it
    if request.method != "GET":
        abort(405)  # a program that asks for the head of a page shows it to nobody
    who, now_ms = visitor(), desk.clock.now_ms()
    catching.catch_up(desk.engine, desk.home)
    try:
        one, received = desk.read(lambda c: service.openable(c, reader(who), number))
        if one.opened_ms is None and _led_here():
            raise DeskRefused("led-here", "another page led to a message that nobody has opened")
    except DeskRefused as error:
        if error.code not in {"not-first", "led-here"}:
            raise
        at = desk.read(lambda c: service.find(c, who.departments, number)).department
        version = desk.read(lambda c: departments.version(c, at))
        return _list(desk, at, version, words.refusal(error.code)), FORBIDDEN
    shown = viewing.shown(desk, who.departments, received)

    def page(one: Mail, about: dict[str, Any]) -> str:
        return render_template("message.html", one=one, received=received, **shown, **about)

    def told(connection: Connection) -> tuple[Mail, dict[str, Any]]:
        found = service.find(connection, who.departments, number)
        return found, _about(desk, connection, found)

    def open_it(connection: Connection) -> tuple[Mail, dict[str, Any]]:
        service.opened(connection, reader(who), number, now_ms)
        return told(connection)

    one, about = desk.read(told)
    about["thread"] = [_opened(each, number, who.name, now_ms) for each in about["thread"]]
    expected = _opened(one, number, who.name, now_ms), about
    made = page(*expected)
    found = desk.change(open_it)
    return viewing.framed(made if found == expected else page(*found))


def _opened(one: Mail, number: int, name: str, now_ms: int) -> Mail:
    """Return a message as it is when ``name`` has opened the one of this number."""
    if one.seq != number or one.opened_ms is not None:
        return one
    return replace(one, opened_ms=now_ms, opened_by=name, rank=min(one.rank, Rank.OPENED))


def _led_here() -> bool:
    """Return whether another site led here, or what asks is no page: an image, a frame, a script.

    A GET carries no token, and the first one signs *processed*: a page of somebody else must not make a
    browser that is signed in here open what nobody has seen. Who means to read it does so from the list.
    Browsers that say nothing (``Sec-Fetch-*``) go on as ever; ``empty`` is a script of this site.
    """
    site, to = (request.headers.get(f"Sec-Fetch-{name}") for name in ("Site", "Dest"))
    return site not in {None, "same-origin", "none"} or to not in {None, "document", "empty"}


def _about(desk: Desk, connection: Connection, one: Mail) -> dict[str, Any]:
    thread = store.thread(connection, one.department, one.thread)
    return {
        "thread": thread,
        "thread_sent": sent_store.thread(connection, one.department, one.thread),
        "most": THREAD,
        "id_text": id_text,
        "members": departments.members_of(connection, one.department, desk.clock.now_ms()),
        "titles": people.titles(connection),
        "places": places.titles(connection, [each.sender for each in thread]),
    }


def do(desk: Desk, number: int) -> Any:
    """Archive or assign one message, from its page."""
    who, now_ms, action = visitor(), desk.clock.now_ms(), request.form.get("action", "")
    one = desk.read(lambda c: service.find(c, who.departments, number))
    match action:
        case "archive":
            desk.change(lambda c: service.archive(c, reader(who), [number], now_ms))
            return redirect(f"/d/{one.department}?done=yes", 303)
        case "restore":
            desk.change(lambda c: service.restore(c, reader(who), [number], now_ms))
        case "assign":
            to = request.form.get("to", "") or None
            desk.change(lambda c: service.assign(c, reader(who), [number], to, now_ms))
        case _:
            abort(400)
    return redirect(f"/m/{number}", 303)


def said(code: str) -> Sequence[str]:
    """Return how a bulk action went: the kind of notice and its text."""
    match code:
        case "yes":
            return "ok", gettext("Done.")
        case "left":
            return "warn", gettext("What nobody has opened yet stays in the inbox: open it first.")
        case "none":
            return "warn", gettext("Nothing was chosen.")
        case "no-such-member":
            return "bad", gettext("This person does not belong to the department.")
        case "too-many":
            return "bad", gettext("These are too many at once.")
    return ()


PAGES: Final = (
    Page("GET", "/", "home", home, Permission.SELF),
    Page("GET", "/d/<name>", "department", department, Permission.READ),
    Page("POST", "/d/<name>/bulk", "bulk", bulk, Permission.READ),
    Page("GET", "/m/<int:number>", "message", message, Permission.READ),
    Page("POST", "/m/<int:number>/do", "message_do", do, Permission.READ),
)
