"""The routes, and what the document says beside them."""

from __future__ import annotations

from typing import Final

from nodes.gateways.api import bounds, receiving, sending, shapes
from nodes.gateways.api.routes import STREAM
from runtime.web.openapi import Plan
from runtime.web.routes import Route

DOCUMENT: Final = "/openapi.json"
UPLOADS: Final = "/v1/uploads"
_ONE: Final = "/v1/inbox/{id}"
PLAN: Final = Plan(
    title="Wasl node: local API",
    version="1.0",
    parts={
        "id": {"type": "string", "format": "uuid"},
        "number": {"type": "integer", "minimum": 1, "maximum": bounds.LISTED},
    },
    common=(400, 401, 405, 421, 422, 500, 503),
)

ROUTES: Final = (
    Route(
        "POST", UPLOADS, "upload", "Upload a file, to be attached to a message within a day",
        sending.upload, {201: shapes.Uploaded}, query=shapes.UploadQuery, body=STREAM,
        problems=(413, 415, 507),
    ),
    Route(
        "POST", "/v1/messages", "send", "Send a message; 200 if it was sent before under the same id",
        sending.send, {200: shapes.Put, 201: shapes.Put}, body=shapes.NewMessage,
        problems=(404, 409, 413, 415, 507),
    ),
    Route(
        "GET", "/v1/messages", "listSent", "List what was sent last, newest first",
        sending.sent_list, {200: shapes.SentList}, query=shapes.SentQuery,
    ),
    Route(
        "GET", "/v1/messages/{id}", "track", "Show a message that was sent, and its history",
        sending.sent_one, {200: shapes.Sent}, problems=(404,),
    ),
    Route(
        "GET", "/v1/inbox", "listInbox", "List what arrived, oldest first, the latest `limit` of it",
        receiving.inbox_list, {200: shapes.ArrivedList}, query=shapes.InboxQuery,
    ),
    Route(
        "GET", _ONE, "showArrived", "Show a message that arrived",
        receiving.inbox_one, {200: shapes.Arrived}, query=shapes.OneQuery, problems=(404, 409),
    ),
    Route(
        "GET", _ONE + "/body", "fetchBody", "Fetch the body, byte for byte",
        receiving.body, {200: STREAM, 206: STREAM}, query=shapes.OneQuery, problems=(404, 409, 416),
    ),
    Route(
        "GET", _ONE + "/attachments/{number}", "fetchAttachment", "Fetch an attachment; ranges are possible",
        receiving.attachment, {200: STREAM, 206: STREAM}, query=shapes.OneQuery, problems=(404, 409, 416),
    ),
    Route(
        "POST", _ONE + "/acknowledge", "acknowledge", "Say that the message was processed, or refused",
        receiving.acknowledge, {200: shapes.Acknowledged}, query=shapes.OneQuery,
        body=shapes.Acknowledgement, problems=(404, 409, 413, 415, 507),
    ),
    Route(
        "GET", "/v1/directory", "listDirectory", "List facilities with their mailboxes, and groups",
        receiving.directory, {200: shapes.Directory},
    ),
    Route(
        "GET", "/v1/status", "showStatus", "Show how the node is",
        receiving.status, {200: shapes.Status},
    ),
)  # fmt: skip
