"""The WSGI application: reads a request as its route declares, calls the handler, says what came of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, BinaryIO, Final

import msgspec
from flask import Flask, Request, Response, request
from werkzeug.exceptions import HTTPException

from nodes.gateways.api import bounds, problems
from nodes.gateways.api.access import Gate
from nodes.gateways.api.routes import STREAM, Bytes, Node
from nodes.gateways.api.table import DOCUMENT, PLAN, ROUTES
from nodes.link.files import safe_name
from runtime.logs import event
from runtime.storage_errors import StorageFailed
from runtime.web import openapi
from runtime.web.downloads import DOWNLOADS
from runtime.web.problems import ApiError, of_http
from runtime.web.routes import JSON, Call, Route, json_of, query_of

_BYTES: Final = "application/octet-stream"
_LOG: Final = logging.getLogger(__name__)


def make_app(node: Node, gate: Gate) -> Flask:
    """Return the application; any number of threads may be in it."""
    app = Flask("wasl-api", static_folder=None)
    app.url_map.merge_slashes = False
    described = msgspec.json.encode(openapi.document(ROUTES, PLAN))

    def check() -> None:
        head = request.headers
        public = request.path == DOCUMENT
        gate.check(head.get("Host", ""), head.get("Authorization", ""), public=public)

    def show_document() -> Response:
        return Response(described, mimetype=JSON)

    def finish(response: Response) -> Response:
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    app.before_request(check)
    app.after_request(finish)
    app.register_error_handler(Exception, partial(_say_error, node))
    app.add_url_rule(DOCUMENT, "document", show_document, methods=["GET"], provide_automatic_options=False)
    for route in ROUTES:
        app.add_url_rule(
            route.rule,
            route.name,
            partial(_respond, node, route),
            methods=[route.method],
            provide_automatic_options=False,
        )
    return app


def _respond(node: Node, route: Route, **path: str) -> Response:
    asked: Request = request._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001  # Flask's way to the thing itself
    answer = route.handler(node, Call(path, query_of(route, asked), _body(route, asked), asked))
    if isinstance(answer.content, Bytes):
        return _stream(answer.content, asked)
    return Response(msgspec.json.encode(answer.content), answer.status, mimetype=JSON)


def _body(route: Route, asked: Request) -> Any:
    if route.body is None:
        return None
    if route.body is STREAM:
        asked.max_content_length = bounds.UPLOAD_BYTES
        return None
    return json_of(route, asked, bounds.JSON_BYTES)


def _stream(content: Bytes, asked: Request) -> Response:
    """Answer with a file, or with one range of it (RFC 9110, section 14)."""
    first, last = 0, content.size_bytes
    headers = {"Accept-Ranges": "bytes"}
    wanted = asked.range
    tag = f'"{content.tag}"'
    whole = asked.headers.get("If-Range", tag) != tag
    if not whole and wanted is not None and wanted.units == "bytes" and len(wanted.ranges) == 1:
        found = wanted.range_for_length(content.size_bytes)
        if found is None:
            content.file.close()
            raise ApiError(416, "bad-range", f"there are {content.size_bytes} bytes")
        first, last = found
        headers["Content-Range"] = f"bytes {first}-{last - 1}/{content.size_bytes}"
    if content.tag:
        headers["ETag"] = tag
    status = 206 if "Content-Range" in headers else 200
    take: Callable[[BinaryIO, int, int], object] | None = asked.environ.get(DOWNLOADS)
    pieces: Iterator[bytes] | bytes = b""
    if asked.method == "HEAD":
        content.file.close()
    elif take is not None:
        take(content.file, first, last - first)
    else:
        pieces = _pieces(content.file, first, last - first)
    response = Response(pieces, status, headers, mimetype=_BYTES, direct_passthrough=True)
    response.headers["Content-Length"] = str(last - first)
    response.headers.set("Content-Disposition", "attachment", filename=safe_name(content.name))
    return response


def _pieces(file: BinaryIO, first: int, size_bytes: int) -> Iterator[bytes]:
    with file:
        file.seek(first)
        while size_bytes and (piece := file.read(min(size_bytes, bounds.COPY_BYTES))):
            size_bytes -= len(piece)
            yield piece


def _say_error(node: Node, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        return of_http(error, request, DOCUMENT)
    found = problems.of(error)
    if found is None:
        event(_LOG, logging.ERROR, "api-fault", cause=error, path=request.path)
        found = ApiError(500, "fault", "the node failed to do this; its log says why")
    if isinstance(error, StorageFailed):
        node.fatal(error)
    return found.response()
