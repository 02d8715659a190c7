"""Drafts and uploads in their tables: SQL in, values out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, func, insert, or_, select, update

from nodes.desk.compose.content import Content
from nodes.desk.compose.tables import drafts, uploads


@dataclass(frozen=True, slots=True)
class Draft:
    """One draft; ``sent_id`` is the message's id once it was sent."""

    id: str
    owner: str
    created_ms: int
    changed_ms: int
    content: Content
    sent_id: bytes | None


@dataclass(frozen=True, slots=True)
class Upload:
    """One file of a draft: ``received`` of ``size`` bytes are durable; ``kept`` once it is whole."""

    id: str
    draft: str
    name: str
    size: int
    mark: str
    received: int
    part: str
    kept: str

    @property
    def whole(self) -> bool:
        """Whether all of it came, and was what it should be."""
        return bool(self.kept)


def add(connection: Connection, draft: Draft) -> None:
    """Enter a new draft."""
    connection.execute(
        insert(drafts).values(
            id=draft.id, owner=draft.owner, created_ms=draft.created_ms, changed_ms=draft.changed_ms,
            content=msgspec.json.encode(draft.content), sent_id=None,
        )
    )  # fmt: skip


def find(connection: Connection, identifier: str) -> Draft | None:
    """Return a draft, None if there is none."""
    row = connection.execute(select(drafts).where(drafts.c.id == identifier)).one_or_none()
    return None if row is None else _draft(row)


def of_owner(connection: Connection, owner: str) -> list[Draft]:
    """Return an account's drafts that were not sent, the last changed first."""
    query = select(drafts).where(drafts.c.owner == owner, drafts.c.sent_id.is_(None))
    return [_draft(row) for row in connection.execute(query.order_by(drafts.c.changed_ms.desc()))]


def save(connection: Connection, identifier: str, content: Content, now_ms: int) -> None:
    """Replace what a draft says."""
    connection.execute(
        update(drafts).where(drafts.c.id == identifier)
        .values(content=msgspec.json.encode(content), changed_ms=now_ms)
    )  # fmt: skip


def mark_sent(connection: Connection, identifier: str, message: bytes, now_ms: int) -> None:
    """Note which message a draft became."""
    connection.execute(
        update(drafts).where(drafts.c.id == identifier).values(sent_id=message, changed_ms=now_ms)
    )


def remove(connection: Connection, identifier: str) -> None:
    """Forget a draft and its uploads' rows."""
    connection.execute(delete(uploads).where(uploads.c.draft == identifier))
    connection.execute(delete(drafts).where(drafts.c.id == identifier))


def old(connection: Connection, *, changed_before_ms: int, sent_before_ms: int, limit: int) -> list[Draft]:
    """Return drafts that were not touched since then, and those sent before then."""
    forgotten = drafts.c.changed_ms < changed_before_ms
    done = drafts.c.sent_id.is_not(None) & (drafts.c.changed_ms < sent_before_ms)
    rows = connection.execute(select(drafts).where(or_(forgotten, done)).limit(limit))
    return [_draft(row) for row in rows]


def add_upload(connection: Connection, upload: Upload) -> None:
    """Enter a file that is going to come."""
    connection.execute(
        insert(uploads).values(
            id=upload.id, draft=upload.draft, name=upload.name, size=upload.size, mark=upload.mark,
            received=upload.received, part=upload.part, kept=upload.kept,
            position=_next(connection, upload.draft),
        )
    )  # fmt: skip


def _next(connection: Connection, draft: str) -> int:
    query = select(func.max(uploads.c.position)).where(uploads.c.draft == draft)
    return int(connection.execute(query).scalar() or 0) + 1


def uploads_of(connection: Connection, draft: str) -> list[Upload]:
    """Return a draft's files in the order in which they were added."""
    query = select(uploads).where(uploads.c.draft == draft).order_by(uploads.c.position)
    return [_upload(row) for row in connection.execute(query)]


def bytes_of(connection: Connection, owner: str) -> int:
    """Return how large the files of an account's drafts are that were not sent, here already or not."""
    query = select(func.sum(uploads.c.size)).join(drafts, drafts.c.id == uploads.c.draft)
    found = connection.execute(query.where(drafts.c.owner == owner, drafts.c.sent_id.is_(None))).scalar()
    return int(found or 0)


def find_upload(connection: Connection, draft: str, identifier: str) -> Upload | None:
    """Return a file of a draft, None if it has no such."""
    query = select(uploads).where(uploads.c.id == identifier, uploads.c.draft == draft)
    row = connection.execute(query).one_or_none()
    return None if row is None else _upload(row)


def advance(connection: Connection, identifier: str, before: int, after: int) -> bool:
    """Note that bytes up to ``after`` are durable; False if it was not at ``before``."""
    done = connection.execute(
        update(uploads).where(uploads.c.id == identifier, uploads.c.received == before, uploads.c.kept == "")
        .values(received=after)
    )  # fmt: skip
    return done.rowcount == 1


def keep(connection: Connection, identifier: str, kept: str) -> None:
    """Note that a file is whole, and under which id it is kept."""
    connection.execute(update(uploads).where(uploads.c.id == identifier).values(kept=kept, part=""))


def begin_again(connection: Connection, identifier: str, part: str) -> None:
    """Note that nothing of a file is here, and where it comes to now."""
    connection.execute(update(uploads).where(uploads.c.id == identifier).values(received=0, part=part))


def remove_upload(connection: Connection, identifier: str) -> None:
    """Forget a file."""
    connection.execute(delete(uploads).where(uploads.c.id == identifier))


def names_in_use(connection: Connection) -> tuple[Sequence[str], Sequence[str]]:
    """Return the parts, and the ids of what is kept, that some draft has."""
    parts = connection.execute(select(uploads.c.part).where(uploads.c.part != "")).scalars().all()
    kept = connection.execute(select(uploads.c.kept).where(uploads.c.kept != "")).scalars().all()
    return parts, kept


def _draft(row: Any) -> Draft:
    content = msgspec.json.decode(row.content, type=Content)
    return Draft(row.id, row.owner, row.created_ms, row.changed_ms, content, row.sent_id)


def _upload(row: Any) -> Upload:
    return Upload(row.id, row.draft, row.name, row.size, row.mark, row.received, row.part, row.kept)
