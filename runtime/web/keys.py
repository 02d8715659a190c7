"""Passkeys in the browser: signing in with one, making and removing one's own, removing a user's.

What an authenticator's answer is worth is judged in :mod:`runtime.web.ceremonies`; here is what may be done
with it, audited in the same transaction. A passkey signs in whom a password would: an account that is
switched off has none that work. Whoever makes one has said the password just before; taking one away needs no
more than being signed in, since that only ever closes a door. A page without JavaScript, or in a browser
without passkeys, shows only the list.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from flask import Response, abort, redirect, request, session
from flask_babel import gettext, ngettext
from flask_wtf.csrf import generate_csrf
from sqlalchemy import Connection

from runtime import transactions
from runtime.web import accounts, ceremonies, entrance, passkeys, signin
from runtime.web.ceremonies import REGISTER, SIGN_IN, Answer, Asked, Party, PasskeyRefused
from runtime.web.entrance import Door
from runtime.web.passkeys import EACH, LABEL_CHARS, Passkey
from runtime.web.rooms import Room, visitor
from runtime.web.signin import AccountChanged, Try, WrongPassword
from runtime.web.site import Page, own_page

_FORM_SESSION: Final = "csrf_token"
"""Where Flask-WTF keeps what ties forms to a browser, signed in or not."""


@dataclass(frozen=True, slots=True)
class KeyPages:
    """A room's pages of passkeys.

    ``own`` is the page of one's own account, with errors and a label; ``refused`` the same for a field with a
    wrong password. ``require`` raises WrongPassword unless it is who asks whose password was said.
    """

    door: Door
    own: Callable[..., str]
    refused: Callable[..., Any]
    require: Callable[[Any, str], None]

    def pages(self, own: str, users: str) -> tuple[Page, ...]:
        """Return the pages; ``own`` is everybody's permission, ``users`` that of who manages users."""
        return (
            Page("GET", "/sign-in/passkey", "passkey_ask", self.ask, ""),
            Page("POST", "/sign-in/passkey", "passkey_done", self.enter, ""),
            Page("GET", "/account/passkeys", "own_passkey_ask", self.ask_for_new, own),
            Page("POST", "/account/passkeys", "own_passkey_add", self.add, own),
            Page("POST", "/account/passkeys/remove", "own_passkey_remove", self.remove_own, own),
            Page("POST", "/users/<name>/passkeys/remove", "passkey_remove", self.remove, users),
        )

    def ask(self, room: Room) -> Response:
        """Say what an authenticator is to be asked so that somebody signs in."""
        return _json(ceremonies.request_options(_party(room), _asked_stranger(room)))

    def enter(self, room: Room) -> Any:
        """Let whoever holds a passkey in."""
        party, asked, text = _party(room), _asked_stranger(room), request.form.get("answer", "")
        target, attempt = own_page(request.form.get("next", "")), entrance.attempt_of(room, "")
        early = self.door.too_early(room, attempt)
        if early:
            return entrance.form("", (("name", early[0]),), target), *early[1:]

        def begin(connection: Connection) -> str:
            answer = _whose(connection, self.door, party, asked, text)
            ceremonies.settle(connection, self.door.passkeys, answer, asked.now_ms)
            signin.forget(connection, self.door.accounts, attempt)
            known = replace(attempt, name=answer.passkey.name)
            return self.door.begin(connection, known, passkey=answer.passkey.label)

        try:
            token = transactions.transact(room.engine, begin)
        except PasskeyRefused as error:
            self._note_refusal(room, text, error.code, attempt)
            said = gettext("The passkey was not accepted. Try again, or sign in with your password.")
            return entrance.form("", (("name", said),), target), 401
        return entrance.welcome(room, token, target)

    def _note_refusal(self, room: Room, text: str, why: str, attempt: Try) -> None:
        """Write down that a known passkey was refused; what strangers make up is not worth a line."""

        def note(connection: Connection) -> None:
            try:
                found = passkeys.find(connection, self.door.passkeys, ceremonies.credential_id(text))
            except PasskeyRefused:
                return
            if found is not None:
                details = {"address": attempt.address, "passkey": found.label, "why": why}
                self.door.record(
                    connection, self.door.itself, "sign-in.refused", found.name, details, attempt.now_ms
                )

        transactions.transact(room.engine, note)

    def ask_for_new(self, room: Room) -> Response:
        """Say what an authenticator is to be asked so that it makes a passkey."""
        name = visitor().name
        known = room.read(lambda c: passkeys.of_user(c, self.door.passkeys, name))
        return _json(ceremonies.creation_options(_party(room), _asked_visitor(room), name, known))

    def add(self, room: Room) -> Any:
        """Keep a passkey that was made just now, by somebody who knows the password."""
        party, asked, who = _party(room), _asked_visitor(room), visitor()
        label, text = request.form.get("label", "").strip(), request.form.get("answer", "")
        known = room.read(lambda c: passkeys.of_user(c, self.door.passkeys, who.name))
        handle = known[0].handle if known else ceremonies.handle_of(asked.secret, who.name)

        def keep(connection: Connection) -> None:
            signin.require_unchanged(connection, self.door.accounts, who.user)
            _put(connection, self.door, made, asked.now_ms)

        try:
            if not 0 < len(label) <= LABEL_CHARS or not label.isprintable():
                raise PasskeyRefused("bad-label", f"a passkey's name has 1 to {LABEL_CHARS} characters")
            self.require(room, request.form.get("passkey-password", ""))
            made = ceremonies.made(party, asked, text, name=who.name, label=label, handle=handle)
            room.change(keep)
        except WrongPassword as error:
            return self.refused(room, "passkey-password", error, label=label)
        except AccountChanged:
            return self.refused(room, "passkey-password", WrongPassword(), label=label)
        except PasskeyRefused as error:
            return self.own(room, (_said(error.code),), label=label), 422
        return redirect("/account?done=passkey", 303)

    def remove_own(self, room: Room) -> Any:
        """Remove a passkey of one's own."""
        self._remove(room, visitor().name)
        return redirect("/account", 303)

    def remove(self, room: Room, name: str) -> Any:
        """Remove a user's passkey."""
        self._remove(room, name)
        return redirect(f"/users/{name}", 303)

    def _remove(self, room: Room, name: str) -> None:
        who, now_ms = visitor(), room.clock.now_ms()
        try:
            identifier = bytes.fromhex(request.form.get("passkey", ""))
        except ValueError:
            abort(404)
        tables, record = self.door.passkeys, self.door.record
        if not room.change(
            lambda c: passkeys.take(c, tables, record, name, identifier, actor=who.actor, now_ms=now_ms)
        ):
            abort(404)


def _whose(connection: Connection, door: Door, party: Party, asked: Asked, text: str) -> Answer:
    """Return a right answer of somebody who may sign in; reads only. Raises PasskeyRefused."""
    passkey = passkeys.find(connection, door.passkeys, ceremonies.credential_id(text))
    if passkey is None:
        raise PasskeyRefused("wrong", "there is no such passkey")
    answer = ceremonies.answered(party, asked, text, passkey)
    user = accounts.find_user(connection, door.accounts, passkey.name)
    if user is None or not user.active:
        raise PasskeyRefused("wrong", "the account is switched off")
    return answer


def _put(connection: Connection, door: Door, made: Passkey, now_ms: int) -> None:
    """Keep a new passkey, audited. Raises PasskeyRefused (too-many, known)."""
    if len(passkeys.of_user(connection, door.passkeys, made.name)) >= EACH:
        raise PasskeyRefused("too-many", f"a user has at most {EACH} passkeys: remove one first")
    if passkeys.find(connection, door.passkeys, made.id) is not None:
        raise PasskeyRefused("known", "this passkey is known already")
    passkeys.put(connection, door.passkeys, made)
    door.record(connection, f"user:{made.name}", "passkey.added", made.name, {"label": made.label}, now_ms)


def _party(room: Room) -> Party:
    found = ceremonies.party_of(room.plan)
    if found is None:
        abort(404)
    return found


def _asked_stranger(room: Room) -> Asked:
    generate_csrf()
    return Asked(room.plan.secret, SIGN_IN, str(session[_FORM_SESSION]), room.clock.now_ms())


def _asked_visitor(room: Room) -> Asked:
    return Asked(room.plan.secret, REGISTER, visitor().session.token, room.clock.now_ms())


def _said(code: str) -> tuple[str, str]:
    """Return the field that is wrong, and what to do."""
    match code:
        case "bad-label":
            text = ngettext("It needs a name of at most %(num)s character.",
                            "It needs a name of at most %(num)s characters.", LABEL_CHARS)  # fmt: skip
            return "label", str(text)
        case "too-many":
            return "label", gettext("This account has as many passkeys as it may have: remove one first.")
    return "label", gettext("The passkey was not accepted. Reload the page and try again.")


def _json(options: str) -> Response:
    return Response(options, mimetype="application/json")
