"""Codes from a phone, in the browser: setting them up, being asked for one, taking them away.

After the right password the browser holds, signed, who is signing in and until when a code may follow; it is
no session, and opens nothing. Wrong codes are counted like wrong passwords, under a name of their own.
"""

from __future__ import annotations

from typing import Any, Final

import segno
from flask import redirect, render_template, request, session
from flask_babel import gettext
from markupsafe import Markup
from sqlalchemy import Connection

from nodes.desk import account, audit, people, totp
from nodes.desk.context import Desk, visitor
from nodes.desk.errors import DeskRefused
from nodes.desk.roles import Permission
from nodes.desk.tables import ACCOUNTS
from runtime import transactions
from runtime.web import entrance, languages, signin
from runtime.web.accounts import User
from runtime.web.signin import AccountChanged, Try, WrongPassword
from runtime.web.site import Page, caller_address

PENDING: Final = "pending"
PENDING_MS: Final = 5 * 60_000


def _pending(desk: Desk) -> tuple[str, str, str] | None:
    """Return who said a right password just now, which it was, and where to go afterwards."""
    match session.get(PENDING):
        case [str(name), str(mark), int(until_ms), str(target)] if desk.clock.now_ms() < until_ms:
            return name, mark, target
    return None


def _mark(user: User) -> str:
    """Return by what a password is known again that may have been changed since; it tells nothing of it."""
    return signin.hash_of(user.password)


def hold(desk: Desk, user: User, target: str) -> Any:
    """Ask for the code of somebody who said the right password."""
    session.clear()
    session[PENDING] = [user.name, _mark(user), desk.clock.now_ms() + PENDING_MS, target]
    return redirect("/sign-in/code", 303)


def show(desk: Desk) -> Any:
    """Show the form for a code."""
    if _pending(desk) is None:
        return redirect("/sign-in", 303)
    return _form("")


def _form(error: str) -> str:
    return render_template("code.html", error=error)


def enter(desk: Desk) -> Any:
    """Look at a code; a session for whoever it fits."""
    found, now_ms = _pending(desk), desk.clock.now_ms()
    if found is None:
        return redirect("/sign-in", 303)
    name, mark, target = found
    address, browser = caller_address(desk.plan), request.headers.get("User-Agent", "")
    counted = Try(f"{name} code", address, browser, now_ms)
    wait_s = transactions.transact(desk.engine, lambda c: signin.wait_s(c, ACCOUNTS, counted))
    if wait_s:
        text = gettext("Too many tries: wait %(span)s, then try again.", span=languages.span(wait_s))
        return _form(text), entrance.TOO_EARLY, {"Retry-After": str(wait_s)}
    said = request.form.get("code", "")

    def begin(connection: Connection) -> str:
        user = people.one(connection, name)
        if not user.active or _mark(user) != mark:
            raise DeskRefused("wrong-code", "the account is switched off, or has another password now")
        totp.use(connection, name, said, now_ms)
        signin.forget(connection, ACCOUNTS, counted)
        details = {"address": address, "second": "code"}
        audit.record(connection, f"user:{name}", "sign-in.done", name, details, now_ms)
        return signin.begin(connection, ACCOUNTS, Try(name, address, browser, now_ms))

    try:
        token = transactions.transact(desk.engine, begin)
    except DeskRefused:
        details = {"address": address, "second": "code"}
        transactions.transact(
            desk.engine, lambda c: audit.record(c, "desk", "sign-in.refused", name, details, now_ms)
        )
        return _form(gettext("The code is wrong, was used, or is too old.")), 401
    return entrance.welcome(desk, token, target)


def set_up(desk: Desk) -> str:
    """Show what the phone reads, until a code was given."""
    return _set_up(desk, ())


def _set_up(desk: Desk, errors: tuple[tuple[str, str], ...]) -> str:
    who = visitor()
    kept = desk.change(lambda c: totp.begin(c, who.name))
    where = totp.address(kept, who.name, desk.facility)
    drawn = segno.make(where, error="m").svg_inline(scale=4, border=2, svgclass=None, lineclass=None)
    grouped = " ".join(kept.secret[i : i + 4] for i in range(0, len(kept.secret), 4))
    return render_template(
        "totp.html", kept=kept, errors=errors, secret=grouped,
        drawn=Markup(drawn),  # noqa: S704 - drawn here, of our own letters
        address=where,
    )  # fmt: skip


def confirm(desk: Desk) -> Any:
    """Ask for codes from now on."""
    who, now_ms, said = visitor(), desk.clock.now_ms(), request.form.get("code", "")
    try:
        desk.change(lambda c: totp.confirm(c, who.name, said, actor=who.actor, now_ms=now_ms))
    except DeskRefused:
        return _set_up(desk, (("code", gettext("The code is wrong, was used, or is too old.")),)), 422
    return redirect("/account/code", 303)


def remove(desk: Desk) -> Any:
    """Ask for no code any more; the password is asked for."""
    who, now_ms = visitor(), desk.clock.now_ms()

    def take(connection: Connection) -> None:
        signin.require_unchanged(connection, ACCOUNTS, who.user)
        totp.remove(connection, who.name, actor=who.actor, now_ms=now_ms)

    try:
        account.require_password(desk, request.form.get("password", ""))
        desk.change(take)
    except (WrongPassword, AccountChanged) as error:
        said = error if isinstance(error, WrongPassword) else WrongPassword()
        text, status, headers = account.wrong(said)
        return _set_up(desk, (("password", text),)), status, headers
    return redirect("/account", 303)


def remove_of(desk: Desk, name: str) -> Any:
    """Let another user in without a code: the phone is lost. For one's own the password is asked for."""
    who, now_ms = visitor(), desk.clock.now_ms()
    if name == who.name:
        return redirect("/account/code", 303)

    def take(connection: Connection) -> None:
        people.one(connection, name)
        totp.remove(connection, name, actor=who.actor, now_ms=now_ms)

    desk.change(take)
    return redirect(f"/users/{name}", 303)


PAGES: Final = (
    Page("GET", "/sign-in/code", "code", show, ""),
    Page("POST", "/sign-in/code", "code_done", enter, ""),
    Page("GET", "/account/code", "own_code", set_up, Permission.SELF),
    Page("POST", "/account/code", "own_code_confirm", confirm, Permission.SELF),
    Page("POST", "/account/code/remove", "own_code_remove", remove, Permission.SELF),
    Page("POST", "/users/<name>/code/remove", "code_remove", remove_of, Permission.USERS),
)
