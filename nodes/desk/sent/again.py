"""Sending a message of ours again: the same content and files, opened from what was sealed, sealed anew.

It is a message of its own, with an id of its own, for one of the first one's recipients. What it says is the
same bytes, so a hospital system that did take the first one knows it again by its own number (MSH-10).
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, select

from crypto.errors import CryptoError
from crypto.sealing import ContentKey
from nodes.desk import audit, catching, heavy
from nodes.desk.errors import DeskRefused
from nodes.desk.sent.store import Sent
from nodes.link import files, outbox, tracking
from nodes.link.ids import id_text
from nodes.link.reading import plain_chunks
from nodes.link.tables import outbox as outbox_table
from nodes.link.tables import outbox_files
from protocols.link.envelope import AttachmentRef, Content, Priority, decode_envelope
from runtime.transactions import read, transact

NONCE_CHARS: Final = 40


class _Chunks(io.RawIOBase):
    """Chunks as a stream that is read to its end once."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        super().__init__()
        self._chunks = chunks
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]  # what io hands over is a writable buffer
        while not self._rest:
            following = next(self._chunks, None)
            if following is None:
                return 0
            self._rest = following
        count = min(len(view), len(self._rest))
        view[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def send(
    engine: Engine,
    home: Path,
    one: Sent,
    recipient: str,
    *,
    by: str,
    nonce: str,
    floor_bytes: int,
    now_ms: int,
) -> bytes:
    """Put the content of ``one`` again, for ``recipient``; returns the new message's id.

    ``nonce`` is the form's: sent twice, it is one message. Raises DeskRefused (not-kept: its files are
    gone; busy), NoRoom, what :func:`nodes.link.outbox.put` refuses, StorageError.
    """
    if recipient not in {copy.recipient for copy in one.copies}:
        raise DeskRefused("no-such-copy", f"{recipient[:80]!r} is no recipient of this message")
    try:
        content, body = read(engine, lambda c: tracking.open_content(c, one.id, home))
        sources = read(engine, lambda c: _sources(c, one, content, home))
        with heavy.turn(sum(source.size_bytes for source in sources)):
            prepared = files.prepare(home, body, sources, floor_bytes=floor_bytes)
    except (CryptoError, FileNotFoundError) as fault:
        raise DeskRefused("not-kept", "this node does not have its files any more") from fault
    draft = outbox.Draft(
        sender=one.sender,
        recipients=(recipient,),
        kind=one.kind,
        prepared=prepared,
        key=f"again-{id_text(one.id)}-{nonce[:NONCE_CHARS]}",
        subject=one.subject,
        patient=one.patient,
        priority=Priority(one.priority),
        valid_for_ms=max(1, one.expires_ms - one.created_ms),
    )

    def put(connection: Connection) -> outbox.Put:
        done = outbox.put(connection, draft, now_ms)
        if done.fresh:
            row = connection.execute(select(outbox_table).where(outbox_table.c.id == done.id)).one()
            catching.put_sent(connection, row, by=by, thread=one.thread)
            details = {"first": id_text(one.id), "to": recipient}
            audit.record(connection, f"user:{by}", "message.sent-again", id_text(done.id), details, now_ms)
        return done

    with files.discarded_if_refused(home, prepared.files):
        done = transact(engine, put)
    if not done.fresh:
        files.discard(home, prepared.files)
    return done.id


def _sources(connection: Connection, one: Sent, content: Content, home: Path) -> list[files.Source]:
    row = connection.execute(
        select(outbox_table.c.envelope, outbox_table.c.content_key).where(outbox_table.c.seq == one.seq)
    ).one()
    envelope, key = decode_envelope(row.envelope), ContentKey(row.content_key)
    query = select(outbox_files.c.path).where(outbox_files.c.outbox_seq == one.seq)
    paths = connection.execute(query.order_by(outbox_files.c.position)).scalars().all()
    skipped = 1 if envelope.body_outside else 0
    refs: list[tuple[str, AttachmentRef]] = list(zip(paths, envelope.attachments, strict=True))[skipped:]
    return [
        files.Source(named.name, named.media_type, _stream(home / path, key, ref), ref.size)
        for named, (path, ref) in zip(content.files, refs, strict=True)
    ]


def _stream(path: Path, key: ContentKey, ref: AttachmentRef) -> io.BufferedReader:
    return io.BufferedReader(_Chunks(plain_chunks(path, key, ref)))
