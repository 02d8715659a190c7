"""A draft into the outbox: the one way out, once.

The key of the put is the draft's id. Of two requests that send the same draft at once, one puts and the other
finds what was put; whoever asks again later is told the same. Files are sealed before the transaction that
puts, and go if another request was faster.

What goes out is what the check page showed: its form carries a digest of the draft and its files
(:func:`mark_of`), and the transaction that puts looks once more whether the draft is still there and says
what was written and sealed, and whether its owner may still send it.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import msgspec
from babel.dates import get_timezone
from sqlalchemy import Connection, select

from crypto.primitives import blake2b
from nodes.desk import audit, catching, departments, heavy
from nodes.desk.compose import picking, receiving, service, store
from nodes.desk.compose.content import HL7_KINDS, Kind
from nodes.desk.compose.store import Draft, Upload
from nodes.desk.compose.writing import Envelope, write
from nodes.desk.context import Desk, Visitor
from nodes.desk.errors import DeskRefused
from nodes.desk.tables import ACCOUNTS
from nodes.home import valid_for_ms
from nodes.link import files, outbox, tracking
from nodes.link.errors import KeyConflict
from nodes.link.ids import id_text
from nodes.link.tables import outbox as outbox_table
from protocols.link.envelope import Priority
from protocols.parties import Author, Place
from runtime.transactions import transact
from runtime.web import accounts
from runtime.web.problems import ApiError

UNREADY: Final = "unready"
CHANGED: Final = "changed"


def local_time(desk: Desk, at_ms: int) -> datetime:
    """Return a moment in the desk's zone."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(get_timezone(desk.plan.zone))


def mark_of(draft: Draft, uploads: Sequence[Upload]) -> str:
    """Return the digest (64 hex digits) of what a draft says and of its files: id, size, name, order."""
    files_named = [(one.id, one.size, one.name) for one in uploads]
    shown = msgspec.msgpack.encode((draft.id, draft.content, files_named))
    return blake2b(shown, person=b"wasl draft check").hex()


def send(desk: Desk, who: Visitor, identifier: str, mark: str) -> bytes:
    """Send a draft and return the message's id; the same again if it was sent before.

    ``mark`` is :func:`mark_of` what was checked. Raises NotThere; DeskRefused (unready: a page has faults;
    changed: the draft is not what was checked; file-lost; busy); NodeError (NoRoom, Refused).
    """
    draft, uploads, recipient, sender = desk.read(lambda c: _whole(c, desk, who, identifier))
    if draft.sent_id is not None:
        return draft.sent_id
    if not hmac.compare_digest(mark_of(draft, uploads).encode(), mark.encode()):
        raise _changed()
    try:
        return _send(desk, who, draft, uploads, recipient, sender)
    except DeskRefused:
        # Another request may have been faster, and have taken the files.
        sent = desk.read(lambda c: service.own(c, who.name, identifier)).sent_id
        if sent is None:
            raise
        return sent


def _changed() -> DeskRefused:
    return DeskRefused(CHANGED, "the draft is not what was checked: check it once more")


def _send(
    desk: Desk, who: Visitor, draft: Draft, uploads: list[Upload], recipient: Place, sender: Place
) -> bytes:
    now_ms = desk.clock.now_ms()
    author = Author(who.name, who.title, sender)
    envelope = Envelope(UUID(draft.id), author, recipient, local_time(desk, now_ms))
    body = write(draft.content, envelope, uploads)
    kind = HL7_KINDS[Kind(draft.content.kind)]
    wanted = outbox.Draft(
        sender=sender.address,
        recipients=(recipient.address,),
        kind=kind,
        prepared=_prepare(desk, body, uploads),
        key=draft.id,
        subject=draft.content.subject,
        patient=draft.content.national or draft.content.number,
        priority=Priority.STAT if draft.content.urgent else Priority.ROUTINE,
        valid_for_ms=valid_for_ms(desk.settings.messages, kind),
    )
    try:
        with files.discarded_if_refused(desk.home, wanted.prepared.files):
            done = transact(desk.engine, lambda c: _put(c, desk, who, draft, uploads, wanted, now_ms))
    except KeyConflict:
        # Another request was faster: it wrote the same draft at another second.
        return desk.change(lambda c: _put_before(c, draft.id, now_ms))
    if not done.fresh:
        files.discard(desk.home, wanted.prepared.files)
    receiving.drop(desk, uploads)
    desk.poke()
    return done.id


def _whole(
    connection: Connection, desk: Desk, who: Visitor, identifier: str
) -> tuple[Draft, list[Upload], Place, Place]:
    draft = service.own(connection, who.name, identifier)
    content = draft.content
    recipient = picking.place_of(connection, content.recipient)
    own = picking.place_of(connection, f"{content.department}@{desk.facility}")
    sender = own or Place(content.department, desk.facility)
    if draft.sent_id is not None:
        return draft, [], sender, sender
    today = local_time(desk, desk.clock.now_ms()).date()
    if recipient is None or service.faults(connection, draft, who, today):
        raise DeskRefused(UNREADY, "something has to be put right first")
    return draft, store.uploads_of(connection, draft.id), recipient, sender


def _prepare(desk: Desk, body: bytes, uploads: list[Upload]) -> files.Prepared:
    kept = receiving.drawer(desk)
    with ExitStack() as opened:
        try:
            sources = [kept.open(kept.find(upload.kept)) for upload in uploads]
        except ApiError as error:
            raise DeskRefused(
                "file-lost", "a file is not here any more: remove it and attach it again"
            ) from error
        for source in sources:
            opened.enter_context(source.stream)
        with heavy.turn(sum(source.size_bytes for source in sources)):
            return files.prepare(desk.home, body, sources, floor_bytes=desk.settings.disk.floor_bytes)


def _put(
    connection: Connection,
    desk: Desk,
    who: Visitor,
    draft: Draft,
    uploads: list[Upload],
    wanted: outbox.Draft,
    now_ms: int,
) -> outbox.Put:
    _still(connection, desk, who, draft, uploads, now_ms)
    done = outbox.put(connection, wanted, now_ms)
    store.mark_sent(connection, draft.id, done.id, now_ms)
    if done.fresh:
        row = connection.execute(select(outbox_table).where(outbox_table.c.id == done.id)).one()
        thread = bytes.fromhex(draft.content.thread) if draft.content.thread else done.id
        catching.put_sent(connection, row, by=who.name, thread=thread)
        details = {
            "from": wanted.sender, "to": wanted.recipients[0], "kind": wanted.kind, "patient": wanted.patient,
            "files": str(len(wanted.prepared.files)), "draft": draft.id,
        }  # fmt: skip
        audit.record(connection, who.actor, "message.sent", id_text(done.id), details, now_ms)
    return done


def _still(
    connection: Connection, desk: Desk, who: Visitor, draft: Draft, uploads: list[Upload], now_ms: int
) -> None:
    """Refuse unless the draft is what was sealed, and its owner may send it: sealing may have taken minutes.

    Raises NotThere (discarded), DeskRefused (changed, unready). One that another request has sent passes: its
    key says so.
    """
    present = service.own(connection, who.name, draft.id)
    if present.sent_id is not None:
        return
    if (present.content, store.uploads_of(connection, draft.id)) != (draft.content, uploads):
        raise _changed()
    user = accounts.find_user(connection, ACCOUNTS, who.name)
    if user is None or not user.active:
        raise DeskRefused(UNREADY, "the account was closed")
    now = replace(who, user=user, departments=departments.of_user(connection, desk, who.name))
    if service.faults(connection, present, now, local_time(desk, now_ms).date()):
        raise DeskRefused(UNREADY, "something has to be put right first")


def _put_before(connection: Connection, key: str, now_ms: int) -> bytes:
    found = tracking.find_by_key(connection, key)
    assert found is not None
    store.mark_sent(connection, key, found.id, now_ms)
    return found.id
