"""Pages of what a department sent: the list, one message's way, its receipt; and the day of a department."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlencode

from flask import Response, redirect, render_template, request
from flask_babel import gettext
from sqlalchemy import Connection

from nodes.desk import audit, catching, departments, people, places, words
from nodes.desk.context import Desk, visitor
from nodes.desk.errors import DeskRefused, NotThere
from nodes.desk.mail import store as mail_store
from nodes.desk.mail.store import HOUR_MS
from nodes.desk.mail.views import FORBIDDEN, QUERY_CHARS, midnight, number_in
from nodes.desk.roles import Permission, resends
from nodes.desk.sent import again, lateness, printed, service, store
from nodes.desk.sent.store import Copy, Sent, Wanted
from nodes.desk.threads import THREAD
from nodes.link import tracking
from nodes.link.errors import NoRoom, Refused
from nodes.link.ids import id_text, parse_id
from nodes.link.tracking import Moment
from protocols.link.envelope import State, facility_of
from runtime.storage_errors import StorageFull
from runtime.web import languages
from runtime.web.site import Page

DAY_MS: Final = 24 * HOUR_MS
DUTY_HOURS: Final = (8, 12, 24)
Step = tuple[str, str, Any, Any]
"""Kind, title, when, more: as the component of steps takes them."""


def listed(desk: Desk, name: str) -> str:
    """Show what a department sent."""
    who, now_ms = visitor(), desk.clock.now_ms()
    departments.check(who.departments, name)
    catching.catch_up(desk.engine, desk.home)
    running = desk.poke()
    view = request.args.get("view", "")
    wanted = Wanted(
        name, view if view in store.VIEWS else "all", request.args.get("q", "").strip()[:QUERY_CHARS],
        midnight(request.args.get("from", ""), desk.plan.zone, days=0),
        midnight(request.args.get("to", ""), desk.plan.zone, days=1),
    )  # fmt: skip
    before = number_in(request.args.get("before", "")) or None

    def look(connection: Connection) -> dict[str, Any]:
        found = store.listing(connection, wanted, before)
        shown = found[: store.LISTED]
        link = lateness.look(connection, running=running)
        return {
            "rows": [(one, [_copy(each, one, link, now_ms) for each in one.copies]) for one in shown],
            "last": shown[-1].seq if len(found) > store.LISTED else 0,
            "titles": people.titles(connection),
            "places": places.titles(connection, [c.recipient for one in shown for c in one.copies]),
        }

    found = desk.read(look)
    asked = {key: value for key, value in request.args.items() if key != "before"}
    last = found.pop("last")
    older = f"/d/{name}/sent?{urlencode({**asked, 'before': last})}" if last else ""
    return render_template(
        "sent.html", **found, wanted=wanted, department=name, older=older, id_text=id_text,
        tab=lambda view: f"/d/{name}/sent?{urlencode({**asked, 'view': view})}",
    )  # fmt: skip


def _copy(copy: Copy, one: Sent, link: lateness.Link, now_ms: int) -> tuple[Copy, str, str, str]:
    """Return a copy with its kind of tag, its state in words, and what is late about it."""
    late = lateness.lateness(one, copy, link, now_ms)
    kind, text = words.state_of(copy.state, answered=one.answered_ms is not None)
    said = words.late(late.why, now_ms - late.since_ms) if late is not None else ""
    return copy, "warn" if late is not None and kind != "bad" else kind, text, said


def track(desk: Desk, identifier: str) -> Any:
    """Show the way of one message."""
    return _track(desk, identifier, "")


def _track(desk: Desk, identifier: str, error: str) -> Any:
    who, now_ms, raw = visitor(), desk.clock.now_ms(), _id(identifier)
    catching.catch_up(desk.engine, desk.home)
    running = desk.poke()
    seen = request.args.get("seen", "") if request.headers.get("HX-Request") else None

    def look(connection: Connection) -> dict[str, Any]:
        one = service.find(connection, who.departments, raw)
        # What becomes of a message the daemon writes, without a word to the desk: its states are the version.
        version = "-".join(str(int(copy.state)) for copy in one.copies) + str(one.answered_ms)
        if seen == version:
            return {}
        whole, link = tracking.find(connection, raw), lateness.look(connection, running=running)
        named = places.titles(connection, [copy.recipient for copy in one.copies])
        titles = people.titles(connection)
        return {
            "one": one,
            "version": version,
            "ways": [
                (copy, _steps(one, copy, whole.history, named, titles, desk.facility),
                 lateness.lateness(one, copy, link, now_ms))
                for copy in one.copies
            ],
            "places": named,
            "titles": titles,
            "files": tracking.open_files(connection, raw),
            "may_recall": service.may_recall(connection, one),
            "thread": mail_store.thread(connection, one.department, one.thread),
            "thread_sent": store.thread(connection, one.department, one.thread),
            "most": THREAD,
        }  # fmt: skip

    found = desk.read(look)
    if not found:
        return "", 204
    return render_template(
        "way.html", **found, id_text=id_text, late=words.late, error=error, nonce=str(now_ms), now=now_ms
    )


def _id(text: str) -> bytes:
    raw = parse_id(text)
    if raw is None:
        raise NotThere("no-such-message", "this is no message id")
    return raw


def _steps(
    one: Sent,
    copy: Copy,
    history: tuple[Moment, ...],
    named: dict[str, str],
    titles: dict[str, str],
    here: str,
) -> list[Step]:
    """Return the way of one copy: what happened, when and where, and what comes next."""
    there = named[facility_of(copy.recipient)]
    sender = titles.get(one.by, one.by) or gettext("another system of this facility")
    place = {
        State.ACCEPTED: gettext("at the hub"),
        State.DELAYED: gettext("at the hub"),
        State.DELIVERED: there,
        State.PROCESSED: there,
        State.REFUSED: there,
    }
    steps: list[Step] = [
        ("ok", gettext("Sent from here"), languages.moment(one.created_ms), f"{sender} · {here}"),
    ]
    for moment in history:
        if moment.state is State.QUEUED or moment.recipient not in ("", copy.recipient):
            continue
        kind, title = words.state_of(moment.state, answered=False)
        more = words.reason(moment.code) if moment.code else place.get(moment.state, "")
        steps.append(("ok" if kind == "info" else kind, title, languages.moment(moment.at_ms), more))
    if one.answered_ms is not None:
        steps.append(("ok", gettext("Answered"), languages.moment(one.answered_ms), there))
    following = words.following(copy.state)
    if following and one.answered_ms is None:
        steps.append(("next", following, "", ""))
    return steps


def resend(desk: Desk, identifier: str) -> Any:
    """Send a message again to one of its recipients."""
    who, now_ms, raw = visitor(), desk.clock.now_ms(), _id(identifier)
    one = desk.read(lambda c: service.find(c, who.departments, raw))
    if not resends(who.role, one.kind, one.by):
        return _track(desk, identifier, words.refusal("not-your-kind")), FORBIDDEN
    try:
        fresh = again.send(
            desk.engine, desk.home, one, request.form.get("to", ""), by=who.name,
            nonce=request.form.get("nonce", ""), floor_bytes=desk.settings.disk.floor_bytes, now_ms=now_ms,
        )  # fmt: skip
    except (DeskRefused, Refused, NoRoom) as error:
        return _track(desk, identifier, words.refusal(error.code)), 422
    except StorageFull:
        return _track(desk, identifier, words.refusal("no-room")), 422
    desk.poke()
    return redirect(f"/s/{id_text(fresh)}", 303)


def recall(desk: Desk, identifier: str) -> Any:
    """Take a message back that has not left."""
    who, now_ms, raw = visitor(), desk.clock.now_ms(), _id(identifier)
    one = desk.read(lambda c: service.find(c, who.departments, raw))
    if not resends(who.role, one.kind, one.by):
        return _track(desk, identifier, words.refusal("not-your-kind")), FORBIDDEN
    try:
        desk.change(lambda c: service.recall(c, who.departments, raw, actor=who.actor, now_ms=now_ms))
    except DeskRefused as error:
        if isinstance(error, NotThere):
            raise
        return _track(desk, identifier, words.refusal(error.code)), 422
    return redirect(f"/s/{identifier}", 303)


def receipt(desk: Desk, identifier: str, index: int) -> Any:
    """Give what a recipient's node has signed, on paper."""
    who, raw, now_ms = visitor(), _id(identifier), desk.clock.now_ms()

    def look(connection: Connection) -> printed.Proof:
        one = service.find(connection, who.departments, raw)
        if index >= len(one.copies):
            raise NotThere("no-such-copy", "there is no such recipient")
        found = printed.proof(connection, one, one.copies[index].recipient)
        details = {"recipient": one.copies[index].recipient}
        audit.record(connection, who.actor, "receipt.printed", id_text(raw), details, now_ms)
        return found

    answer = Response(printed.page(desk.change(look)), mimetype="application/pdf")
    answer.headers.set("Content-Disposition", "attachment", filename=f"receipt-{id_text(raw)[:8]}.pdf")
    return answer


def day(desk: Desk, name: str) -> str:
    """Show what came and went today, what waits and what is late, and who is on duty."""
    who, now_ms = visitor(), desk.clock.now_ms()
    departments.check(who.departments, name)
    catching.catch_up(desk.engine, desk.home)
    running, asked = desk.poke(), request.args.get("day", "")
    begins_ms = midnight(asked, desk.plan.zone, days=0) or languages.midnight(now_ms)
    ends_ms = begins_ms + DAY_MS

    def look(connection: Connection) -> dict[str, Any]:
        link = lateness.look(connection, running=running)
        sent = store.of_day(connection, name, begins_ms, ends_ms)
        came = mail_store.by_hour(connection, name, begins_ms, ends_ms)
        late = [
            (one, copy, found)
            for one in store.unsettled(connection, name)
            for copy in one.copies
            if (found := lateness.lateness(one, copy, link, now_ms)) is not None
        ]
        return {
            "sent": sent,
            "came": sum(count for count, _ in came.values()),
            "opened": sum(opened for _, opened in came.values()),
            "hours": [(came.get(hour, (0, 0))[0], begins_ms + hour * HOUR_MS) for hour in range(24)],
            "late": late,
            "link": link,
            "count": mail_store.counts(connection, [name])[name],
            "members": departments.members_of(connection, name, now_ms),
            "titles": people.titles(connection),
            "places": places.titles(connection, [c.recipient for one, c, _ in late]),
        }

    return render_template(
        "day.html", **desk.read(look), department=name, begins_ms=begins_ms, ends_ms=ends_ms, now=now_ms,
        id_text=id_text, late_words=words.late, who=who, duty=DUTY_HOURS,
    )  # fmt: skip


def duty(desk: Desk, name: str) -> Any:
    """Go on duty in a department, or off it."""
    who, now_ms = visitor(), desk.clock.now_ms()
    departments.check(who.departments, name)
    hours = number_in(request.form.get("hours", ""))
    until_ms = now_ms + hours * HOUR_MS if hours in DUTY_HOURS else None
    desk.change(lambda c: departments.go_on_duty(c, name, who.name, until_ms, actor=who.actor, now_ms=now_ms))
    return redirect(f"/d/{name}/day", 303)


PAGES: Final = (
    Page("GET", "/d/<name>/sent", "sent", listed, Permission.READ),
    Page("GET", "/s/<identifier>", "track", track, Permission.READ),
    Page("GET", "/s/<identifier>/receipt/<int:index>", "receipt", receipt, Permission.READ),
    Page("GET", "/d/<name>/day", "day", day, Permission.READ),
    Page("POST", "/d/<name>/duty", "duty", duty, Permission.READ),
    Page("POST", "/s/<identifier>/again", "send_again", resend, Permission.SEND),
    Page("POST", "/s/<identifier>/recall", "recall", recall, Permission.SEND),
)
