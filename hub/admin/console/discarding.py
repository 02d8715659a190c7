"""Discarding by two people: what was asked, and the second person's decision."""

from __future__ import annotations

import uuid
from typing import Any

from flask import redirect, render_template, request
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import Connection

from hub.admin import discards, users
from hub.admin.console.context import Console, visitor
from hub.admin.console.refusals import REFUSED, Errors, errors
from hub.admin.console.views import number_in
from hub.admin.discards import KNOWN_MS, Copy, Discard, Stage
from hub.admin.errors import AdminRefused, NotThere

STAGES = {
    Stage.OPEN: ("warn", _("To be decided")),
    Stage.DONE: ("ok", _("Discarded")),
    Stage.REFUSED: ("info", _("Refused")),
    Stage.WITHDRAWN: ("info", _("Taken back")),
}


def everything(console: Console) -> str:
    """Show what was asked, the newest first."""
    before = number_in(request.args.get("before", "")) or None
    found = console.read(lambda c: discards.listing(c, before))
    more = found[-1].number if len(found) == discards.LISTED else 0
    return render_template("discards.html", found=found, more=more, stages=STAGES)


def one(console: Console, number: str) -> str:
    """Show one question."""
    return _one(console, number, ())


def _one(console: Console, number: str, wrong: Errors) -> str:
    who, now_ms = visitor(), console.clock.now_ms()

    def look(connection: Connection) -> tuple[Discard, list[Copy], int | None]:
        asked, copies = discards.one(connection, number_in(number))
        return asked, copies, users.second_from_ms(connection, asked.asked_by, who.actor, now_ms)

    asked, copies, second_ms = console.read(look)
    return render_template(
        "discard.html", asked=asked, copies=copies, second=second_ms, errors=wrong, stages=STAGES, uuid=_uuid
    )


def confirm(console: Console, number: str) -> Any:
    """Discard, as the second person."""
    return _decide(console, number, discards.confirm)


def refuse(console: Console, number: str) -> Any:
    """Say no, as any administrator."""
    return _decide(console, number, discards.refuse)


def withdraw(console: Console, number: str) -> Any:
    """Take one's own question back."""
    return _decide(console, number, discards.withdraw)


def _decide(console: Console, number: str, act: Any) -> Any:
    who, now_ms = visitor(), console.clock.now_ms()
    try:
        console.change(lambda c: act(c, number_in(number), actor=who.actor, now_ms=now_ms))
    except NotThere:
        raise
    except AdminRefused as error:
        return _one(console, number, _wrong(error.code)), REFUSED
    return redirect(f"/discards/{number_in(number)}", 303)


def _wrong(code: str) -> Errors:
    if code == "connected":  # of queues it is said what helps one person; here there are two
        said = gettext(
            "The facility is connected, and may be taking them: pause its queue, or stop these messages. If "
            "they were stopped just now, try again in %(seconds)s seconds.", seconds=KNOWN_MS // 1000,
        )  # fmt: skip
        return (("decision", said),)
    return errors(code)


def _uuid(identifier: bytes) -> str:
    return str(uuid.UUID(bytes=identifier))
