"""The WSGI application: admits a request, reads it as its route declares, and says what came of it.

Who may not ask hears no more than that: the token is judged before anything else of a request is looked at,
and the role before its body.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec
from flask import Flask, Request, Response, g, request
from sqlalchemy import Connection
from werkzeug.exceptions import HTTPException

from hub.admin import tokens
from hub.admin.api import once, problems
from hub.admin.api.access import Gate, require
from hub.admin.api.routes import IDEMPOTENCY_KEY, AdminRoute, Ask, Text
from hub.admin.api.table import DOCUMENT, PLAN, ROUTES, fits
from hub.admin.console.context import Console
from hub.admin.tokens import Holder
from runtime import crash
from runtime.logs import event
from runtime.web import openapi
from runtime.web.problems import ApiError, of_http
from runtime.web.routes import JSON, json_of, query_of
from runtime.web.site import caller_address, is_ours

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PATHS: Final = "/api"
"""Everything below is the API's, whatever version."""
BODY_BYTES: Final = 256 * 1_024
_UNKEPT: Final = re.compile("[\x00\ud800-\udfff]")
_LOG: Final = logging.getLogger(__name__)


def make_api(console: Console) -> Flask:
    """Return the application; any number of threads may be in it."""
    app = Flask("wasl-hub-api", static_folder=None, template_folder=None)
    app.url_map.merge_slashes = False
    app.config["MAX_CONTENT_LENGTH"] = BODY_BYTES
    described = msgspec.json.encode(openapi.document(ROUTES, PLAN))
    gate, in_flight = Gate(console), once.InFlight()

    def admit() -> None:
        if not is_ours(console.plan, request):
            raise ApiError(
                421, "wrong-host", "this service is not known by the name in the Host of the request"
            )
        if request.path != DOCUMENT:
            authorization = request.headers.get("Authorization", "")
            g.holder, g.secret = gate.admit(authorization, caller_address(console.plan))

    app.before_request(admit)
    app.after_request(partial(_finish, secure=console.plan.secure))
    app.register_error_handler(Exception, _say_error)
    app.add_url_rule(
        DOCUMENT, "document", lambda: Response(described, mimetype=JSON), methods=["GET"],
        provide_automatic_options=False,
    )  # fmt: skip
    for route in ROUTES:
        app.add_url_rule(
            route.rule,
            route.name,
            partial(_respond, console, in_flight, route),
            methods=[route.method],
            provide_automatic_options=False,
        )
    return app


def beside(pages: WSGIApplication, api: WSGIApplication) -> WSGIApplication:
    """Return the application that gives ``api`` its paths, and the others to ``pages``."""

    def serve(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path != PATHS and not path.startswith(f"{PATHS}/"):
            return pages(environ, start_response)
        environ["wsgi.input_terminated"] = True  # the server has put chunks together by now
        return api(environ, start_response)

    return serve


def _respond(console: Console, in_flight: once.InFlight, route: AdminRoute, **path: str) -> Response:
    asked: Request = request._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001  # Flask's way to the thing itself
    holder: Holder = g.holder
    require(holder, route.needs)
    for name, text in path.items():
        if not fits(name, text):
            raise ApiError(404, "not-found", f"{text[:64]!r} cannot be a {name}: see {DOCUMENT}")
    query = query_of(route, asked)
    body = None if route.body is None else json_of(route, asked, BODY_BYTES)
    for value in (query, body):
        _check_texts(msgspec.to_builtins(value))
    ask = Ask(console, holder, path, query, body, console.clock.now_ms())
    if route.changes:
        return _change(ask, in_flight, route, asked)
    answer = route.handler(ask)
    if isinstance(answer, Text):
        return Response(answer.content, mimetype=answer.media_type)
    return Response(msgspec.json.encode(answer), mimetype=JSON)


def _change(ask: Ask, in_flight: once.InFlight, route: AdminRoute, asked: Request) -> Response:
    """Do a change once, whatever happens to the request and its answer.

    The token is judged again in the transaction of the change: it may have waited for others, or hashed a
    password, since it was admitted.
    """
    key = once.key_of(asked.headers.get(IDEMPOTENCY_KEY))
    parts = (route.name.encode(), msgspec.json.encode(dict(ask.path)), msgspec.json.encode(ask.body))
    secret: str = g.secret
    name = once.Asked(ask.holder.token.name, key, once.fingerprint(secret, *parts))
    (status,) = route.answers

    def run(connection: Connection) -> once.Said:
        require(tokens.holder(connection, secret, ask.now_ms), route.needs)
        said = once.find(connection, name, ask.now_ms)
        if said is None:
            said = once.Said(status, msgspec.json.encode(operation(connection)))
            once.keep(connection, name, said, ask.now_ms)
        return said

    with in_flight.claim(name):
        operation: Callable[[Connection], Any] = route.handler(ask)
        said = ask.console.change(run)
    crash.reached("hub-changed-before-answer")
    headers = {"Idempotency-Replayed": "true"} if said.again else {}
    return Response(said.body, said.status, headers, mimetype=JSON)


def _check_texts(value: object) -> None:
    """Refuse what no database keeps; ApiError (422)."""
    if isinstance(value, dict):
        value = [*value.keys(), *value.values()]
    if isinstance(value, list):
        for one in value:
            _check_texts(one)
    elif isinstance(value, str) and _UNKEPT.search(value):
        raise ApiError(422, "bad-text", "a text holds a sign that cannot be stored: NUL, or half of a pair")


def _finish(response: Response, *, secure: bool) -> Response:
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    if secure:
        response.headers["Strict-Transport-Security"] = "max-age=31536000"
    return response


def _say_error(error: Exception) -> Response:
    if isinstance(error, HTTPException):
        return of_http(error, request, DOCUMENT)
    found = problems.of(error)
    if found is None:
        event(_LOG, logging.ERROR, "api-fault", cause=error, path=request.path)
        found = ApiError(500, "fault", "the hub failed to do this; the log of the console says why")
    return found.response()
