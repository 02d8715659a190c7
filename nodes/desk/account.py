"""One's own account: the password, and the sessions."""

from __future__ import annotations

from typing import Any, Final

from flask import redirect, render_template, request
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import Connection

from nodes.desk import audit, people, totp
from nodes.desk.context import Desk, visitor
from nodes.desk.errors import DeskRefused
from nodes.desk.roles import Permission
from nodes.desk.tables import ACCOUNTS, PASSKEYS
from runtime.web import entrance, languages, passkeys, signin
from runtime.web.passwords import LEAST_CHARS, MOST_CHARS, WeakPassword
from runtime.web.signin import AccountChanged, WrongPassword
from runtime.web.site import Page, caller_address

Errors = tuple[tuple[str, str], ...]


def show(desk: Desk) -> str:
    """Show one's own account."""
    return own(desk, (), done=request.args.get("done", ""))


def own(desk: Desk, errors: Errors, *, done: str = "", label: str = "") -> str:
    """Return one's own account with what is wrong; ``done`` says what was changed just now."""
    who = visitor()
    signed_in, keys = desk.read(
        lambda c: (people.sessions(c, who.name), passkeys.of_user(c, PASSKEYS, who.name))
    )
    return render_template(
        "account.html",
        who=who,
        sessions=signed_in,
        keys=keys,
        errors=errors,
        done=done,
        label=label,
        coded=desk.read(lambda c: totp.wanted(c, who.name)),
    )


def require_password(desk: Desk, said: str) -> None:
    """Raise WrongPassword unless ``said`` is the password of who asks; a wrong one is written down."""
    who, now_ms = visitor(), desk.clock.now_ms()
    details = {"address": caller_address(desk.plan)}
    signin.require_password(
        desk.engine, ACCOUNTS, desk.passwords, who.user, said, now_ms,
        note=lambda c: audit.record(c, who.actor, "password.refused", who.name, details, now_ms),
    )  # fmt: skip


def wrong(error: WrongPassword) -> tuple[str, int, dict[str, str]]:
    """Return what to say about a wrong password, and the answer's status and headers."""
    if error.wait_s:
        text = gettext("Too many tries: wait %(span)s, then try again.", span=languages.span(error.wait_s))
        return text, entrance.TOO_EARLY, {"Retry-After": str(error.wait_s)}
    return gettext("This is not your present password."), 422, {}


def refused(desk: Desk, field: str, error: WrongPassword, *, label: str = "") -> Any:
    """Show one's own account, with a wrong password in ``field``."""
    text, status, headers = wrong(error)
    return own(desk, ((field, text),), label=label), status, headers


def password(desk: Desk) -> Any:
    """Change one's own password: the old one is asked for."""
    who, now_ms = visitor(), desk.clock.now_ms()
    try:
        require_password(desk, request.form.get("old", ""))
        hashed = desk.passwords.hash(who.name, request.form.get("password", ""))
    except WrongPassword as error:
        return refused(desk, "old", error)
    except WeakPassword as error:
        return own(desk, errors_of(error)), 422

    def change(connection: Connection) -> None:
        signin.require_unchanged(connection, ACCOUNTS, who.user)
        people.change_password(
            connection, who.name, hashed, but=who.session.token, actor=who.actor, now_ms=now_ms
        )

    try:
        desk.change(change)
    except AccountChanged:
        return refused(desk, "old", WrongPassword())
    return redirect("/account?done=1", 303)


def end_session(desk: Desk) -> Any:
    """End another session of one's own."""
    token, who, now_ms = request.form.get("session", ""), visitor(), desk.clock.now_ms()
    desk.change(lambda c: people.end_session(c, token, actor=who.actor, now_ms=now_ms, only_of=who.name))
    return redirect("/account", 303)


FIELDS: Final = {
    "bad-name": "name", "user-exists": "name", "bad-role": "role", "last-administrator": "role",
    "bad-title": "title", "no-such-department": "departments",
}  # fmt: skip
_SAID: Final = {
    "guessable": _("A password must not be the name, or a few signs repeated."),
    "bad-name": _("A name has small letters, digits, dot, dash and underscore."),
    "user-exists": _("There is a user of this name already."),
    "last-administrator": _("This is the last administrator: make another one first."),
    "bad-role": _("There is no such role."),
    "bad-title": _("A full name has 1 to 80 letters."),
    "no-such-department": _("There is no such department."),
}


def errors_of(error: DeskRefused | WeakPassword) -> Errors:
    """Return a refusal as a form shows it: which field, and what is wrong."""
    if error.code in _SAID:
        return ((FIELDS.get(error.code, "password"), str(_SAID[error.code])),)
    bounds = {"least": LEAST_CHARS, "most": MOST_CHARS}
    return (("password", gettext("A password has %(least)s to %(most)s characters.", **bounds)),)


PAGES: Final = (
    Page("GET", "/account", "account", show, Permission.SELF),
    Page("POST", "/account/password", "own_password", password, Permission.SELF),
    Page("POST", "/account/sessions/end", "own_session_end", end_session, Permission.SELF),
)
