"""Tokens of programs: a list, making one, revoking one. The page that answers the form shows a new one."""

from __future__ import annotations

from typing import Any, Final

from flask import redirect, render_template, request
from flask_babel import lazy_gettext as _
from sqlalchemy import Connection

from hub.admin import tokens
from hub.admin.console import words
from hub.admin.console.context import Console, visitor
from hub.admin.console.views import number_in
from hub.admin.errors import AdminRefused
from hub.admin.tables import ACCOUNTS
from hub.admin.tokens import DAY_MS, Token
from runtime.web import signin
from runtime.web.signin import AccountChanged

DAYS: Final = (7, 30, 90, 366)
_SAID: Final = {
    "bad-name": _("A name has small letters, digits, dot, dash and underscore."),
    "bad-role": _("There is no such role."),
    "token-exists": _("There is, or was, a token of this name: take another name."),
    "too-many-tokens": _("There are too many tokens: revoke those that nobody uses."),
}
_FIELDS: Final = {"bad-role": "role"}


def everything(console: Console) -> str:
    """Show all tokens, and the form for another one."""
    return _list(console)


def _list(
    console: Console, errors: tuple[tuple[str, str], ...] = (), name: str = "", secret: str = ""
) -> str:
    now_ms = console.clock.now_ms()
    found = console.read(tokens.listing)
    order = sorted(found, key=lambda one: (not one.usable(now_ms), one.name))
    return render_template(
        "tokens.html", tokens=order, now=now_ms, errors=errors, name=name, secret=secret,
        roles=words.choices(words.ROLES), days=DAYS,
    )  # fmt: skip


def add(console: Console) -> Any:
    """Make a token, and show it this once."""
    name, role = request.form.get("name", "").strip(), request.form.get("role", "")
    days = number_in(request.form.get("days", ""), DAYS[-1]) or DAYS[0]
    who, now_ms = visitor(), console.clock.now_ms()

    def make(connection: Connection) -> tuple[str, Token]:
        signin.require_unchanged(connection, ACCOUNTS, who.user)
        return tokens.create(
            connection, name, role, valid_for_ms=days * DAY_MS, actor=who.actor, now_ms=now_ms
        )

    try:
        secret, made = console.change(make)
    except AccountChanged:  # who put this visitor out revoked the tokens that there were: no further one
        return redirect("/tokens", 303)
    except AdminRefused as error:
        return _list(console, ((_FIELDS.get(error.code, "name"), str(_SAID[error.code])),), name), 422
    return _list(console, name=made.name, secret=secret)


def revoke(console: Console, name: str) -> Any:
    """Let a token count no more."""
    who, now_ms = visitor(), console.clock.now_ms()
    console.change(lambda c: tokens.revoke(c, name, actor=who.actor, now_ms=now_ms))
    return redirect("/tokens", 303)
