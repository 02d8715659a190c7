"""Signing in with name and password, and out: what a browser sees of the rules in :mod:`runtime.web.signin`.

A room gives its door the tables that it declared and its audit log. A room that asks some people for a second
proof says so by ``second``, which returns the answer to somebody who said the right password, or None.
Passkeys use the same door (:mod:`runtime.web.keys`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from flask import redirect, render_template, request, session
from flask_babel import gettext
from sqlalchemy import Connection

from runtime import transactions
from runtime.web import accounts, languages, rooms, signin
from runtime.web.accounts import AccountTables, User
from runtime.web.passkeys import PasskeyTables, Record
from runtime.web.rooms import Room, visitor
from runtime.web.signin import AccountChanged, Try
from runtime.web.site import Page, caller_address, own_page

NAME_CHARS: Final = 64
TOO_EARLY: Final = 429
NO_SUCH_USER: Final = "(no such user)"


@dataclass(frozen=True, slots=True)
class Door:
    """Where a room's people are and what writes down who came; ``itself`` is the actor where nobody is."""

    accounts: AccountTables
    passkeys: PasskeyTables
    record: Record
    itself: str
    second: Callable[[Any, User, str], Any] = lambda _room, _user, _target: None

    def pages(self, own: str) -> tuple[Page, ...]:
        """Return the door's pages; ``own`` is the permission of everybody who is signed in."""
        return (
            Page("GET", "/sign-in", "sign_in", self.show, ""),
            Page("POST", "/sign-in", "sign_in_done", self.enter, ""),
            Page("POST", "/sign-out", "sign_out", self.leave, own),
        )

    def show(self, room: Room) -> str:
        """Show the form."""
        del room
        return form("", (), own_page(request.args.get("next", "")))

    def enter(self, room: Room) -> Any:
        """Look at name and password; a session of its own for whoever they fit."""
        name = request.form.get("name", "").strip()[:NAME_CHARS]
        target = own_page(request.form.get("next", ""))
        attempt = attempt_of(room, name)
        early = self.too_early(room, attempt)
        if early:
            return form(name, (("password", early[0]),), target), *early[1:]
        # Neither this nor the hash inside it holds a transaction that others wait for.
        password = request.form.get("password", "")
        user = room.read(lambda c: signin.check(c, self.accounts, room.passwords, attempt, password))
        if user is None:
            return self._refuse(room, attempt, target)
        asked = self.second(room, user, target)
        if asked is not None:
            return asked

        def begin(connection: Connection) -> str:
            signin.require_unchanged(connection, self.accounts, user)
            return self.begin(connection, attempt)

        try:
            token = transactions.transact(room.engine, begin)
        except AccountChanged:
            return self._refuse(room, attempt, target)
        return welcome(room, token, target)

    def too_early(self, room: Room, attempt: Try) -> tuple[str, int, dict[str, str]] | None:
        """Count a try; if it is too early, return what to say, the status and the headers."""
        wait_s = transactions.transact(room.engine, lambda c: signin.wait_s(c, self.accounts, attempt))
        if not wait_s:
            return None
        text = gettext("Too many tries: wait %(span)s, then try again.", span=languages.span(wait_s))
        return text, TOO_EARLY, {"Retry-After": str(wait_s)}

    def begin(self, connection: Connection, attempt: Try, **details: str) -> str:
        """Begin a session, audited with ``details``, and return the browser's token."""
        told = {"address": attempt.address, **details}
        self.record(connection, f"user:{attempt.name}", "sign-in.done", attempt.name, told, attempt.now_ms)
        return signin.begin(connection, self.accounts, attempt)

    def _refuse(self, room: Room, attempt: Try, target: str) -> Any:
        def note(connection: Connection) -> None:
            # What is no name may be a password in the wrong field, and the audit log is for ever.
            known = accounts.find_user(connection, self.accounts, attempt.name) is not None
            subject, details = attempt.name if known else NO_SUCH_USER, {"address": attempt.address}
            self.record(connection, self.itself, "sign-in.refused", subject, details, attempt.now_ms)

        transactions.transact(room.engine, note)
        return form(attempt.name, (("password", gettext("Name or password is wrong.")),), target), 401

    def leave(self, room: Room) -> Any:
        """End this session."""
        who, now_ms = visitor(), room.clock.now_ms()

        def end(connection: Connection) -> None:
            accounts.end_session(connection, self.accounts, who.session.token)
            self.record(connection, who.actor, "sign-out", who.name, {}, now_ms)

        transactions.transact(room.engine, end)
        session.clear()
        answer = redirect("/sign-in", 303)
        rooms.take_cookie(room, answer)
        answer.headers["Clear-Site-Data"] = '"cache", "storage"'
        return answer


def attempt_of(room: Room, name: str) -> Try:
    """Return this request as somebody's attempt to sign in."""
    return Try(name, caller_address(room.plan), request.headers.get("User-Agent", ""), room.clock.now_ms())


def welcome(room: Room, token: str, target: str) -> Any:
    """Go to ``target`` with a new session; nothing of the time before is kept."""
    session.clear()
    answer = redirect(target, 303)
    rooms.give_cookie(room, answer, token)
    return answer


def form(name: str, errors: tuple[tuple[str, str], ...], target: str) -> str:
    """Return the form with what is wrong: fields and texts."""
    return render_template("signin.html", name=name, errors=errors, next=target)
