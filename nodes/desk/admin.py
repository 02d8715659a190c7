"""The administrator's pages: users, their roles and departments, and the journal."""

from __future__ import annotations

import json
from typing import Any, Final
from urllib.parse import urlencode

from flask import Response, redirect, render_template, request
from sqlalchemy import Connection

from nodes.desk import audit, departments, people, totp, words
from nodes.desk.account import FIELDS, Errors, errors_of
from nodes.desk.audit import Wanted
from nodes.desk.context import Desk, visitor
from nodes.desk.errors import DeskRefused
from nodes.desk.mail.views import number_in
from nodes.desk.people import NewUser
from nodes.desk.roles import Permission, Role
from nodes.desk.tables import ACCOUNTS, PASSKEYS
from runtime.web import passkeys, signin
from runtime.web.passwords import WeakPassword
from runtime.web.signin import AccountChanged
from runtime.web.site import Page

QUERY_CHARS: Final = 200
USED: Final = ("name", "title", "role")


def everybody(desk: Desk) -> str:
    """Show all users, and the form for another one."""
    return _list(desk, (), {})


def _list(desk: Desk, errors: Errors, said: dict[str, str]) -> str:
    def look(connection: Connection) -> dict[str, Any]:
        return {
            "users": people.everybody(connection),
            "titles": people.titles(connection),
            "belongs": departments.memberships(connection),
            "departments": departments.served(connection, desk.settings, desk.facility),
        }

    chosen = request.form.getlist("departments")
    return render_template(
        "users.html", **desk.read(look), errors=errors, said=said, roles=_roles(), chosen=chosen
    )


def _roles() -> list[tuple[str, str]]:
    return [(str(role), str(words.ROLES[role])) for role in Role]


def add(desk: Desk) -> Any:
    """Add a user."""
    who, now_ms = visitor(), desk.clock.now_ms()
    said = {key: request.form.get(key, "").strip()[:QUERY_CHARS] for key in USED}
    wanted = set(request.form.getlist("departments"))

    def enter(connection: Connection) -> None:
        signin.require_unchanged(connection, ACCOUNTS, who.user)
        known = departments.served(connection, desk.settings, desk.facility)
        people.add(connection, new, actor=who.actor, now_ms=now_ms)
        departments.set_membership(connection, new.name, wanted, known, actor=who.actor, now_ms=now_ms)

    try:
        people.check_name(said["name"])
        hashed = desk.passwords.hash(said["name"], request.form.get("password", ""))
        new = NewUser(said["name"], said["title"], said["role"], hashed)
        desk.change(enter)
    except AccountChanged:  # while the password was hashed
        return redirect("/users", 303)
    except (DeskRefused, WeakPassword) as error:
        return _list(desk, errors_of(error), said), 422
    return redirect(f"/users/{said['name']}", 303)


def one(desk: Desk, name: str) -> str:
    """Show one user."""
    return _user(desk, name, ())


def _user(desk: Desk, name: str, errors: Errors) -> str:
    def look(connection: Connection) -> dict[str, Any]:
        return {
            "user": people.one(connection, name),
            "title": people.titles(connection).get(name, name),
            "sessions": people.sessions(connection, name),
            "keys": passkeys.of_user(connection, PASSKEYS, name),
            "coded": totp.wanted(connection, name),
            "belongs": departments.memberships(connection).get(name, []),
            "departments": departments.served(connection, desk.settings, desk.facility),
        }

    own = visitor().session.token
    return render_template("user.html", **desk.read(look), errors=errors, roles=_roles(), own=own)


def change(desk: Desk, name: str) -> Any:
    """Change a user's name for colleagues, role and departments."""
    who, now_ms = visitor(), desk.clock.now_ms()
    title, role = request.form.get("title", ""), request.form.get("role", "")
    wanted = set(request.form.getlist("departments"))

    def apply(connection: Connection) -> None:
        known = departments.served(connection, desk.settings, desk.facility)
        if people.titles(connection).get(name) != title.strip():
            people.change_title(connection, name, title, actor=who.actor, now_ms=now_ms)
        people.change_role(connection, name, role, actor=who.actor, now_ms=now_ms)
        departments.set_membership(connection, name, wanted, known, actor=who.actor, now_ms=now_ms)

    return _changed(desk, name, apply)


def switch(desk: Desk, name: str) -> Any:
    """Let a user in again, or no longer."""
    active, who, now_ms = request.form.get("active") == "1", visitor(), desk.clock.now_ms()
    return _changed(
        desk, name, lambda c: people.switch(c, name, active=active, actor=who.actor, now_ms=now_ms)
    )


def password(desk: Desk, name: str) -> Any:
    """Set another user's password; one's own is changed where the old one is asked for."""
    who, now_ms = visitor(), desk.clock.now_ms()
    if name == who.name:
        return redirect("/account", 303)
    try:
        hashed = desk.passwords.hash(name, request.form.get("password", ""))
    except WeakPassword as error:
        return _user(desk, name, errors_of(error)), 422
    return _changed(
        desk, name,
        lambda c: people.change_password(c, name, hashed, but=None, actor=who.actor, now_ms=now_ms),
    )  # fmt: skip


def end_session(desk: Desk, name: str) -> Any:
    """End a user's session."""
    token, who, now_ms = request.form.get("session", ""), visitor(), desk.clock.now_ms()
    return _changed(
        desk, name,
        lambda c: people.end_session(c, token, actor=who.actor, now_ms=now_ms, only_of=name),
    )  # fmt: skip


def _changed(desk: Desk, name: str, operation: Any) -> Any:
    who = visitor()

    def apply(connection: Connection) -> None:
        signin.require_unchanged(connection, ACCOUNTS, who.user)
        operation(connection)

    try:
        desk.change(apply)
    except AccountChanged:
        return redirect(f"/users/{name}", 303)
    except DeskRefused as error:
        if error.code in FIELDS:
            return _user(desk, name, errors_of(error)), 422
        raise
    return redirect(f"/users/{name}", 303)


def journal(desk: Desk) -> str:
    """Show entries, the newest first."""
    wanted, before = _wanted(), number_in(request.args.get("before", "")) or None
    rows, wrong = desk.read(lambda c: (audit.page(c, wanted, before), ""))
    asked = {"actor": wanted.actor, "action": wanted.action, "subject": wanted.subject}
    more = len(rows) == audit.LISTED
    older = f"/journal?{urlencode({**asked, 'before': rows[-1].number})}" if more else ""
    return render_template("journal.html", rows=rows, wanted=wanted, older=older, wrong=wrong, checked=False)


def check_journal(desk: Desk) -> str:
    """Say whether every entry is as it was written."""
    wrong = desk.read(audit.verify)
    rows = desk.read(lambda c: audit.page(c, Wanted()))
    return render_template("journal.html", rows=rows, wanted=Wanted(), older="", wrong=wrong, checked=True)


def export(desk: Desk) -> Response:
    """Send entries as JSON Lines; that somebody took them is an entry as well."""
    wanted, who, now_ms = _wanted(), visitor(), desk.clock.now_ms()

    def take(connection: Connection) -> list[audit.Line]:
        rows = audit.export(connection, wanted, number_in(request.form.get("after", "")))
        details = {"entries": str(len(rows))}
        audit.record(connection, who.actor, "audit.exported", "journal", details, now_ms)
        return rows

    answer = Response("".join(map(_line, desk.change(take))), mimetype="application/x-ndjson")
    answer.headers.set("Content-Disposition", "attachment", filename="journal.jsonl")
    return answer


def _wanted() -> Wanted:
    names = ("actor", "action", "subject")
    return Wanted(**{name: request.values.get(name, "").strip()[:QUERY_CHARS] for name in names})


def _line(one: audit.Line) -> str:
    value = {
        "number": one.number, "at_ms": one.at_ms, "actor": one.actor, "action": one.action,
        "subject": one.subject, "details": dict(one.details),
    }  # fmt: skip
    return json.dumps(value, ensure_ascii=False) + "\n"


PAGES: Final = (
    Page("GET", "/users", "users", everybody, Permission.USERS),
    Page("POST", "/users", "user_add", add, Permission.USERS),
    Page("GET", "/users/<name>", "user", one, Permission.USERS),
    Page("POST", "/users/<name>/change", "user_change", change, Permission.USERS),
    Page("POST", "/users/<name>/switch", "user_switch", switch, Permission.USERS),
    Page("POST", "/users/<name>/password", "user_password", password, Permission.USERS),
    Page("POST", "/users/<name>/sessions/end", "session_end", end_session, Permission.USERS),
    Page("GET", "/journal", "journal", journal, Permission.AUDIT),
    Page("POST", "/journal/check", "journal_check", check_journal, Permission.AUDIT),
    Page("POST", "/journal/export", "journal_export", export, Permission.AUDIT),
)
