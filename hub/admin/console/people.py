"""Users, roles, sessions, and one's own account."""

from __future__ import annotations

from typing import Any

from flask import redirect, render_template, request
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import Connection

from hub.admin import users
from hub.admin.console import words
from hub.admin.console.context import Console, visitor
from hub.admin.errors import AdminRefused
from hub.admin.roles import Role
from hub.admin.tables import ACCOUNTS, PASSKEYS
from hub.audit.journal import Act, record
from runtime.web import languages, passkeys, signin
from runtime.web.entrance import TOO_EARLY
from runtime.web.passwords import LEAST_CHARS, MOST_CHARS, WeakPassword
from runtime.web.signin import AccountChanged, WrongPassword
from runtime.web.site import caller_address

FIELDS = {"bad-name": "name", "user-exists": "name", "bad-role": "role", "last-administrator": "role"}
Errors = tuple[tuple[str, str], ...]


def everybody(console: Console) -> str:
    """Show all users, and the form for another one."""
    return _list(console, (), "")


def _list(console: Console, errors: Errors, name: str) -> str:
    found, signed_in = console.read(lambda c: (users.everybody(c), users.sessions(c)))
    return render_template(
        "users.html", users=found, sessions=signed_in, errors=errors, name=name, roles=_role_choices()
    )


def _role_choices() -> list[tuple[str, str]]:
    return [(str(role), f"{words.ROLES[role]} – {words.ROLE_HINTS[role]}") for role in Role]


def add(console: Console) -> Any:
    """Add a user."""
    name, role = request.form.get("name", "").strip(), request.form.get("role", "")
    who, now_ms = visitor(), console.clock.now_ms()

    def enter(connection: Connection) -> None:
        signin.require_unchanged(connection, ACCOUNTS, who.user)
        users.add(connection, name, role, hashed, actor=who.actor, now_ms=now_ms)

    try:
        users.check_name(name)
        hashed = console.passwords.hash(name, request.form.get("password", ""))
        console.change(enter)
    except AccountChanged:  # while the password was hashed
        return redirect("/users", 303)
    except (AdminRefused, WeakPassword) as error:
        return _list(console, _errors(error), name), 422
    return redirect(f"/users/{name}", 303)


def one(console: Console, name: str) -> str:
    """Show one user."""
    return _user(console, name, ())


def _user(console: Console, name: str, errors: Errors) -> str:
    user, signed_in, keys = console.read(
        lambda c: (users.one(c, name), users.sessions(c, name), passkeys.of_user(c, PASSKEYS, name))
    )
    return render_template(
        "user.html", user=user, sessions=signed_in, errors=errors, roles=_role_choices(),
        own=visitor().session.token, me=visitor().user.name == name, keys=keys, done=request.args.get("done"),
    )  # fmt: skip


def role(console: Console, name: str) -> Any:
    """Give a user another role."""
    wanted, who, now_ms = request.form.get("role", ""), visitor(), console.clock.now_ms()
    return _changed(
        console, name, lambda c: users.change_role(c, name, wanted, actor=who.actor, now_ms=now_ms)
    )


def switch(console: Console, name: str) -> Any:
    """Let a user in again, or no longer."""
    active, who, now_ms = request.form.get("active") == "1", visitor(), console.clock.now_ms()
    return _changed(
        console, name, lambda c: users.switch(c, name, active=active, actor=who.actor, now_ms=now_ms)
    )


def password(console: Console, name: str) -> Any:
    """Set another user's password; one's own is changed where the old one is asked for."""
    who, now_ms = visitor(), console.clock.now_ms()
    if name == who.name:
        return redirect("/account", 303)
    try:
        hashed = console.passwords.hash(name, request.form.get("password", ""))
    except WeakPassword as error:
        return _user(console, name, _errors(error)), 422
    return _changed(
        console, name,
        lambda c: users.change_password(c, name, hashed, but=None, actor=who.actor, now_ms=now_ms),
        "?done=password",
    )  # fmt: skip


def end_session(console: Console, name: str) -> Any:
    """End a user's session."""
    token, who, now_ms = request.form.get("session", ""), visitor(), console.clock.now_ms()
    return _changed(
        console, name,
        lambda c: users.end_session(c, token, actor=who.actor, now_ms=now_ms, only_of=name),
    )  # fmt: skip


def _changed(console: Console, name: str, operation: Any, said: str = "") -> Any:
    who = visitor()

    def apply(connection: Connection) -> None:
        signin.require_unchanged(connection, ACCOUNTS, who.user)
        operation(connection)

    try:
        console.change(apply)
    except AccountChanged:
        return redirect(f"/users/{name}", 303)
    except AdminRefused as error:
        if error.code in FIELDS:
            return _user(console, name, _errors(error)), 422
        raise
    return redirect(f"/users/{name}{said}", 303)


def account(console: Console) -> str:
    """Show one's own account."""
    return own(console, (), done=request.args.get("done", ""))


def own(console: Console, errors: Errors, *, done: str = "", label: str = "") -> str:
    """Return one's own account with what is wrong; ``done`` says what was changed just now."""
    who = visitor()
    signed_in, keys = console.read(
        lambda c: (users.sessions(c, who.user.name), passkeys.of_user(c, PASSKEYS, who.name))
    )
    return render_template(
        "account.html", who=who, sessions=signed_in, keys=keys, errors=errors, done=done, label=label
    )


def require_password(console: Console, said: str) -> None:
    """Raise WrongPassword unless ``said`` is the password of who asks; a wrong one is written down."""
    who, now_ms = visitor(), console.clock.now_ms()
    act = Act(who.actor, "password.refused", who.user.name, {"address": caller_address(console.plan)})
    signin.require_password(
        console.engine, ACCOUNTS, console.passwords, who.user, said, now_ms,
        note=lambda c: record(c, act, now_ms),
    )  # fmt: skip


def refused(console: Console, field: str, error: WrongPassword, *, label: str = "") -> Any:
    """Show one's own account, with a wrong password in ``field``."""
    if not error.wait_s:
        said = gettext("This is not your present password.")
        return own(console, ((field, said),), label=label), 422
    said = gettext("Too many tries: wait %(span)s, then try again.", span=languages.span(error.wait_s))
    return own(console, ((field, said),), label=label), TOO_EARLY, {"Retry-After": str(error.wait_s)}


def own_password(console: Console) -> Any:
    """Change one's own password: the old one is asked for."""
    who, now_ms = visitor(), console.clock.now_ms()
    try:
        require_password(console, request.form.get("old", ""))
        hashed = console.passwords.hash(who.user.name, request.form.get("password", ""))
    except WrongPassword as error:
        return refused(console, "old", error)
    except WeakPassword as error:
        return own(console, _errors(error)), 422

    def change(connection: Connection) -> None:
        signin.require_unchanged(connection, ACCOUNTS, who.user)
        users.change_password(
            connection, who.user.name, hashed, but=who.session.token, actor=who.actor, now_ms=now_ms
        )

    try:
        console.change(change)
    except AccountChanged:
        return refused(console, "old", WrongPassword())
    return redirect("/account?done=1", 303)


def end_own_session(console: Console) -> Any:
    """End another session of one's own."""
    token, who, now_ms = request.form.get("session", ""), visitor(), console.clock.now_ms()
    console.change(
        lambda c: users.end_session(c, token, actor=who.actor, now_ms=now_ms, only_of=who.user.name)
    )
    return redirect("/account", 303)


def _errors(error: AdminRefused | WeakPassword) -> Errors:
    return ((FIELDS.get(error.code, "password"), _say(error.code)),)


_SAID = {
    "guessable": _("A password must not be the name, or a few signs repeated."),
    "bad-name": _("A name has small letters, digits, dot, dash and underscore."),
    "user-exists": _("There is a user of this name already."),
    "last-administrator": _("This is the last administrator: make another one first."),
    "bad-role": _("There is no such role."),
}


def _say(code: str) -> str:
    if code in _SAID:
        return str(_SAID[code])
    bounds = {"least": LEAST_CHARS, "most": MOST_CHARS}
    return str(gettext("A password has %(least)s to %(most)s characters.", **bounds))
