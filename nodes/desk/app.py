"""The desk's application: every request is judged by the table of pages before its handler runs."""

from __future__ import annotations

from functools import partial
from typing import Final
from urllib.parse import quote

from flask import Flask, abort, g, redirect, request
from flask_babel import lazy_gettext as _
from sqlalchemy import Connection
from werkzeug.wrappers import Response

from nodes.desk import departments, words
from nodes.desk.context import Desk, Visitor
from nodes.desk.errors import NotThere
from nodes.desk.heavy import Busy
from nodes.desk.mail import views as mail
from nodes.desk.people import titles
from nodes.desk.roles import may
from nodes.desk.table import PAGES, POLLS
from nodes.desk.tables import ACCOUNTS
from nodes.desk.viewing import pages as viewing
from nodes.link.errors import NotFound
from runtime import transactions
from runtime.storage_errors import StorageError
from runtime.web import accounts, signin
from runtime.web.ceremonies import party_of
from runtime.web.rooms import COOKIE
from runtime.web.site import make_site, permissions_of, say

OPEN: Final = ""
"""The permission of pages that need nobody to be signed in."""
MENU: Final = (
    ("departments", "/", _("Departments"), "read"),
    ("compose", "/compose", _("Write"), "send"),
    ("patients", "/patients", _("Patients"), "patients"),
    ("users", "/users", _("Users"), "users"),
    ("journal", "/journal", _("Journal"), "audit"),
    ("account", "/account", _("My account"), "self"),
)


def create_app(desk: Desk) -> Flask:
    """Return the application."""
    app = make_site(desk.plan)
    needs = permissions_of(PAGES)
    for page in PAGES:
        app.add_url_rule(
            page.path,
            page.name,
            partial(page.handler, desk),
            methods=[page.method],
            provide_automatic_options=False,
        )
    app.before_request(lambda: _judge(desk, needs))
    app.register_error_handler(NotThere, lambda _error: say(404))
    app.register_error_handler(NotFound, lambda _error: say(404))
    app.register_error_handler(Busy, viewing.busy)
    app.register_error_handler(StorageError, lambda _error: say(503))
    app.jinja_env.globals.update(
        facility=desk.facility, menu=MENU, may=_may, now_ms=desk.clock.now_ms, me=_me,
        role_word=words.role, kind_word=words.kind, kinds_named=words.kinds, said=mail.said,
        party=party_of(desk.plan),
        idle_s=lambda: signin.IDLE_MS // 1000, left_s=lambda: _left_s(desk),
    )  # fmt: skip
    return app


def _left_s(desk: Desk) -> int:
    """Return after how many seconds this session ends, whatever is done in it."""
    found = _me()
    return (
        0 if found is None else (found.session.created_ms + signin.ABSOLUTE_MS - desk.clock.now_ms()) // 1000
    )


def _me() -> Visitor | None:
    found: Visitor | None = g.get("visitor")
    return found


def _may(permission: str) -> bool:
    found = _me()
    return found is not None and may(found.user.role, permission)


def _judge(desk: Desk, needs: dict[str, str]) -> Response | None:
    """Let a request pass if its page is open to its visitor; strangers are sent to sign in."""
    g.visitor = None
    if request.endpoint is None or request.endpoint == "asset":
        return None
    g.visitor = _visitor(desk, passive=request.endpoint in POLLS and bool(request.headers.get("HX-Request")))
    permission = needs[request.endpoint]
    if permission == OPEN:
        return None
    if g.visitor is None:
        asked = request.full_path.rstrip("?") if request.method == "GET" else "/"
        if request.headers.get("HX-Request"):
            # A page that asks by itself: it leaves the screen, with all that it shows.
            return Response(status=204, headers={"HX-Redirect": "/sign-in?ended=1"})
        return redirect(f"/sign-in?next={quote(asked, safe='/')}", 303)
    if not may(g.visitor.user.role, permission):
        abort(403)
    return None


def _visitor(desk: Desk, *, passive: bool) -> Visitor | None:
    """Return who asks; what a page asks by itself (``passive``) does not keep a session alive."""
    token = request.cookies.get(desk.plan.cookie(COOKIE), "")
    if not token:
        return None
    now_ms = desk.clock.now_ms()

    def find(connection: Connection) -> Visitor | None:
        found = signin.current(connection, ACCOUNTS, token, now_ms)
        if found is None:
            return None
        session, user = found
        served = departments.of_user(connection, desk, user.name)
        return Visitor(user, session, titles(connection).get(user.name, user.name), served)

    found = desk.read(find)
    if found is not None and not passive and now_ms - found.session.seen_ms >= signin.SEEN_EVERY_MS:
        key = found.session.token
        transactions.transact(desk.engine, lambda c: accounts.seen(c, ACCOUNTS, key, now_ms))
    return found
