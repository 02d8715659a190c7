"""Handlers: uploads, sending, and what became of what was sent."""

from __future__ import annotations

import dataclasses
import mimetypes
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

from sqlalchemy import Connection

from crypto.primitives import blake2b
from crypto.sealing import ContentKey
from nodes.gateways import drafting
from nodes.gateways.api import bounds, shapes
from nodes.gateways.api.routes import Node
from nodes.gateways.api.uploads import Upload
from nodes.link import files, outbox, tracking
from nodes.link.errors import NotFound
from nodes.link.ids import id_text, parse_id
from protocols.link import limits
from protocols.link.envelope import AttachmentRef, NamedFile, Priority
from runtime.transactions import read, transact
from runtime.web.problems import ApiError
from runtime.web.routes import Answer, Call

SPOOLED: Final = "wasl.spooled"
"""Key of the WSGI environment: takes over (a call) the file that the server wrote an upload into."""
_UNKNOWN_TYPE: Final = "application/octet-stream"


def upload(node: Node, call: Call) -> Answer:
    """Keep the body of the request as a file to attach."""
    if call.request.mimetype.startswith("multipart/"):
        raise ApiError(415, "multipart", "send the file's bytes alone as the body, its name as ?name=")
    media_type = mimetypes.guess_type(call.query.name)[0] or _UNKNOWN_TYPE
    take = call.request.environ.get(SPOOLED)
    path: Path = take() if take is not None else _spool(node, call)
    try:
        kept = node.uploads.keep(path, call.query.name, media_type, node.clock.now_ms())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return Answer(201, shapes.Uploaded(kept.id, kept.name, kept.media_type, kept.size, kept.digest.hex()))


def _spool(node: Node, call: Call) -> Path:
    """Write the body to disk where the server did not."""
    path, file = node.uploads.begin()
    try:
        with file:
            while piece := call.request.stream.read(bounds.COPY_BYTES):
                node.uploads.check_room(len(piece))
                file.write(piece)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path


def send(node: Node, call: Call) -> Answer:
    """Put a message into the outbox; the same ``id`` with the same content answers the same."""
    order: shapes.NewMessage = call.body
    if order.body is not None and order.body_base64 is not None:
        raise ApiError(422, "two-bodies", "give `body` or `body_base64`, not both")
    body = order.body.encode("utf-8") if order.body is not None else order.body_base64 or b""
    if not body and not order.attachments:
        raise ApiError(422, "nothing-to-send", "a message needs a `body`, a `body_base64` or `attachments`")
    if len(set(order.attachments)) < len(order.attachments):
        raise ApiError(422, "attached-twice", "`attachments` names one upload twice")
    kind = drafting.kind_of(order.kind, body)
    uploads = [node.uploads.find(identifier) for identifier in order.attachments]
    sender = read(node.engine, lambda c: drafting.sender_of(c, node.identity.facility, order.sender))
    draft = outbox.Draft(
        sender=sender,
        recipients=tuple(order.to),
        kind=kind,
        prepared=_described(body, uploads),
        key=order.id,
        subject=order.subject,
        patient=order.patient,
        priority=Priority[order.priority.upper()],
        valid_for_ms=drafting.valid_for_ms(order.valid_for, kind, node.valid_for),
    )
    put = read(node.engine, partial(_put_before, draft=draft)) or _put(node, draft, body, uploads)
    node.wake()
    return Answer(201 if put.fresh else 200, shapes.Put(id_text(put.id), shapes.word(put.state), put.fresh))


def _described(body: bytes, uploads: list[Upload]) -> files.Prepared:
    """Return what the content will be, nothing sealed yet: enough to compare it with an earlier one."""
    nothing = AttachmentRef(bytes(limits.ID_BYTES), 0, bytes(32))
    named = [NamedFile(upload.name, upload.media_type, upload.digest) for upload in uploads]
    sealed = tuple(files.SealedFile(nothing, one, "") for one in named)
    return files.Prepared(
        ContentKey.generate(), b"", body_outside=False, files=sealed, body_digest=blake2b(body)
    )


def _put_before(connection: Connection, draft: outbox.Draft) -> outbox.Put | None:
    """Return the answer given before to the same key. Raises KeyConflict; writes nothing."""
    if draft.key is None or tracking.find_by_key(connection, draft.key) is None:
        return None
    return outbox.put(connection, draft, 0)


def _put(node: Node, draft: outbox.Draft, body: bytes, uploads: list[Upload]) -> outbox.Put:
    read(node.engine, lambda connection: drafting.check_recipients(connection, draft.recipients))
    with ExitStack() as opened:
        sources = [node.uploads.open(upload) for upload in uploads]
        for source in sources:
            opened.enter_context(source.stream)
        prepared = files.prepare(node.home, body, sources, floor_bytes=node.floor_bytes)
    whole = dataclasses.replace(draft, prepared=prepared)
    now_ms = node.clock.now_ms()
    with files.discarded_if_refused(node.home, prepared.files):
        put = transact(node.engine, lambda connection: outbox.put(connection, whole, now_ms))
    if not put.fresh:
        files.discard(node.home, prepared.files)
    node.uploads.used(uploads)
    return put


def sent_list(node: Node, call: Call) -> Answer:
    """Show what was sent last."""
    query: shapes.SentQuery = call.query
    found = read(node.engine, lambda c: tracking.latest(c, query.limit, unsettled_only=query.unsettled))
    return Answer(200, shapes.SentList([shapes.sent(one) for one in found]))


def sent_one(node: Node, call: Call) -> Answer:
    """Show one message and its history."""
    identifier = identifier_of(call)
    return Answer(200, shapes.sent(read(node.engine, lambda c: tracking.find(c, identifier))))


def identifier_of(call: Call) -> bytes:
    """Return the id in the path; NotFound if it cannot be one."""
    identifier = parse_id(call.path["id"][:64])
    if identifier is None:
        raise NotFound("not-found", "the path holds no message id, which is a UUID")
    return identifier
