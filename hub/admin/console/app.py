"""The console's application: every request is judged by the table of pages before its handler runs."""

from __future__ import annotations

from functools import partial
from typing import Final
from urllib.parse import quote

from flask import Flask, abort, g, redirect, request
from flask_babel import lazy_gettext as _
from werkzeug.wrappers import Response

from hub.admin import roles
from hub.admin.console import words
from hub.admin.console.context import Console
from hub.admin.console.table import PAGES
from hub.admin.errors import NotThere
from hub.admin.tables import ACCOUNTS
from runtime import transactions
from runtime.storage_errors import StorageError
from runtime.web import accounts, signin
from runtime.web.ceremonies import party_of
from runtime.web.rooms import COOKIE, Visitor
from runtime.web.site import make_site, permissions_of, say

OPEN: Final = ""
"""The permission of pages that need nobody to be signed in."""
MENU: Final = (
    ("overview", "/", _("Overview"), "see"),
    ("network", "/network", _("Network"), "see"),
    ("admission", "/admission", _("Admission"), "network"),
    ("keys", "/keys", _("Keys of the network"), "see"),
    ("policy", "/policy", _("Policy"), "see"),
    ("queues", "/queues", _("Queues"), "see"),
    ("discards", "/discards", _("To be discarded"), "see"),
    ("returned", "/returned", _("Returned messages"), "see"),
    ("track", "/track", _("Track a message"), "see"),
    ("journal", "/journal", _("Journal"), "audit"),
    ("users", "/users", _("Users"), "users"),
    ("account", "/account", _("My account"), "self"),
)


def make_console(console: Console) -> Flask:
    """Return the application."""
    app = make_site(console.plan)
    needs = permissions_of(PAGES)
    for page in PAGES:
        app.add_url_rule(
            page.path,
            page.name,
            partial(page.handler, console),
            methods=[page.method],
            provide_automatic_options=False,
        )
    app.before_request(lambda: _judge(console, needs))
    app.register_error_handler(NotThere, lambda _error: say(404))
    app.register_error_handler(StorageError, lambda _error: say(503))
    app.jinja_env.globals.update(
        hub_name=console.settings.hub.name, menu=MENU, may=_may, now_ms=console.clock.now_ms,
        standings=words.STANDINGS, role_word=words.role_word, wilaya=words.wilaya, kind_word=words.kind,
        kinds=words.KINDS, choices=words.choices, party=party_of(console.plan),
    )  # fmt: skip
    return app


def _may(permission: str) -> bool:
    found: Visitor | None = g.get("visitor")
    return found is not None and roles.may(found.user.role, permission)


def _judge(console: Console, needs: dict[str, str]) -> Response | None:
    """Let a request pass if its page is open to its visitor; strangers are sent to sign in."""
    g.visitor = None
    if request.endpoint is None or request.endpoint == "asset":
        return None
    g.visitor = _visitor(console)
    permission = needs[request.endpoint]
    if permission == OPEN:
        return None
    if g.visitor is None:
        asked = request.full_path.rstrip("?") if request.method == "GET" else "/"
        return redirect(f"/sign-in?next={quote(asked, safe='/')}", 303)
    if not roles.may(g.visitor.user.role, permission):
        abort(403)
    return None


def _visitor(console: Console) -> Visitor | None:
    token = request.cookies.get(console.plan.cookie(COOKIE), "")
    if not token:
        return None
    now_ms = console.clock.now_ms()
    found = console.read(lambda c: signin.current(c, ACCOUNTS, token, now_ms))
    if found is None:
        return None
    session, user = found
    asked_by_itself = "HX-Request" in request.headers  # a page that was left open is nobody's presence
    if now_ms - session.seen_ms >= signin.SEEN_EVERY_MS and not asked_by_itself:
        transactions.transact(console.engine, lambda c: accounts.seen(c, ACCOUNTS, session.token, now_ms))
    return Visitor(user, session)
