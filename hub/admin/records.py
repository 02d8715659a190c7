"""Reading the audit log: search by whom, what, about what and when; whole entries for an export.

The log itself is kept by :mod:`hub.audit`; its order and hashes are proved by ``wasl-hub audit``, not here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, Select, select

from hub.admin.errors import NotThere
from hub.audit.journal import Act, record
from hub.audit.tables import audit
from protocols.audit.entry import Entry

LISTED: Final = 50
EXPORTED: Final = 10_000
"""Entries in one export; the next one goes on from its last."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is searched: beginnings of actor and action, a whole subject, a span of time; empty for any.

    ``from_ms`` is included, ``until_ms`` is not.
    """

    actor: str = ""
    action: str = ""
    subject: str = ""
    from_ms: int = 0
    until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One entry; ``hash`` is what the next one carries on, ``text`` the details as they were hashed."""

    number: int
    at_ms: int
    actor: str
    action: str
    subject: str
    details: Mapping[str, str]
    hash: bytes
    previous: bytes
    text: str

    @property
    def entry(self) -> Entry:
        """The entry as it was hashed."""
        return Entry(self.number, self.at_ms, self.actor, self.action, self.subject, self.text, self.previous)

    @property
    def json(self) -> str:
        """The entry as one line of JSON."""
        value = {
            "number": self.number, "at_ms": self.at_ms, "actor": self.actor, "action": self.action,
            "subject": self.subject, "details": dict(self.details), "hash": self.hash.hex(),
        }  # fmt: skip
        return json.dumps(value, ensure_ascii=False)


def page(connection: Connection, wanted: Wanted, before: int | None = None) -> list[Line]:
    """Return entries, the newest first, before number ``before``."""
    query = _query(wanted)
    if before is not None:
        query = query.where(audit.c.number < before)
    return list(_lines(connection, query.order_by(audit.c.number.desc()).limit(LISTED)))


def one(connection: Connection, number: int) -> Line:
    """Return an entry; raises NotThere."""
    found = next(_lines(connection, select(audit).where(audit.c.number == number)), None)
    if found is None:
        raise NotThere("no-such-entry", f"the journal has no entry {number}")
    return found


def export(connection: Connection, wanted: Wanted, *, after: int = 0, actor: str, now_ms: int) -> list[Line]:
    """Return entries, the oldest first, behind number ``after``; that they were taken is recorded."""
    query = _query(wanted).where(audit.c.number > after).order_by(audit.c.number).limit(EXPORTED)
    found = list(_lines(connection, query))
    details = {"entries": str(len(found)), "after": str(after)}
    record(connection, Act(actor, "audit.exported", "journal", details), now_ms)
    return found


def _query(wanted: Wanted) -> Select[tuple[object, ...]]:
    query = select(audit)
    if wanted.actor:
        query = query.where(audit.c.actor.startswith(wanted.actor, autoescape=True))
    if wanted.action:
        query = query.where(audit.c.action.startswith(wanted.action, autoescape=True))
    if wanted.subject:
        query = query.where(audit.c.subject == wanted.subject)
    if wanted.from_ms:
        query = query.where(audit.c.at_ms >= wanted.from_ms)
    if wanted.until_ms is not None:
        query = query.where(audit.c.at_ms < wanted.until_ms)
    return query


def _lines(connection: Connection, query: Select[tuple[object, ...]]) -> Iterator[Line]:
    for row in connection.execute(query):
        yield Line(
            row.number,
            row.at_ms,
            row.actor,
            row.action,
            row.subject,
            json.loads(row.details or "{}"),
            bytes(row.hash),
            bytes(row.previous),
            row.details,
        )
