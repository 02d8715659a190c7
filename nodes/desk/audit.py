"""Who read, sent and changed what at this desk: one entry for each act, in the transaction of the act.

Entries are chained by hashes as the hub's are (:mod:`protocols.audit.entry`), and the database refuses to
change or remove one. :func:`verify` finds an entry that was altered, dropped or put elsewhere all the same;
that the newest ones were cut off it cannot see, since nobody else keeps their hash.

An entry names messages by id and patients by their identifier, and holds nothing of what was read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, Select, insert, select

from nodes.desk.tables import audit
from nodes.link import facts
from protocols.audit.entry import MAX_DETAILS_BYTES, MAX_TEXT_CHARS, NO_ENTRY, Entry, details_text

NUMBER: Final = "desk_audit"
"""The fact that counts entries; its row is locked until the commit, so numbers have no gaps."""
LISTED: Final = 50
EXPORTED: Final = 10_000
_CUT: Final = "…"


class AuditBroken(Exception):  # noqa: N818 - it names a state
    """The log's end is missing: nothing is recorded on top of that."""


@dataclass(frozen=True, slots=True)
class Line:
    """One entry as people read it."""

    number: int
    at_ms: int
    actor: str
    action: str
    subject: str
    details: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is searched: beginnings of actor and action, a whole subject; empty for any."""

    actor: str = ""
    action: str = ""
    subject: str = ""


def record(
    connection: Connection, actor: str, action: str, subject: str, details: Mapping[str, str], now_ms: int
) -> int:
    """Append an entry and return its number; it is written if the caller's transaction is committed.

    ``actor``: ``user:NAME``, ``cli:NAME`` or ``desk``. ``action``: dotted, like ``message.opened``.
    ``details`` never hold content or secrets, at most 4 KiB of JSON (ValueError).
    """
    text = details_text(details)
    if len(text.encode("utf-8")) > MAX_DETAILS_BYTES:
        raise ValueError(f"{action}: details of an audit entry have at most {MAX_DETAILS_BYTES} bytes")
    number = facts.advance(connection, NUMBER, 1)
    previous = _hash_of(connection, number - 1)
    entry = Entry(number, now_ms, _bounded(actor), _bounded(action), _bounded(subject), text, previous)
    connection.execute(
        insert(audit).values(
            number=number, at_ms=now_ms, actor=entry.actor, action=entry.action, subject=entry.subject,
            details=text, previous=previous, hash=entry.hash(),
        )
    )  # fmt: skip
    return number


def has(
    connection: Connection, actor: str, action: str, subject: str, details: Mapping[str, str], from_ms: int
) -> bool:
    """Return whether there is such an entry, with these very details, since ``from_ms``."""
    found = connection.execute(
        select(audit.c.number).where(
            audit.c.subject == _bounded(subject), audit.c.actor == _bounded(actor),
            audit.c.action == _bounded(action), audit.c.details == details_text(details),
            audit.c.at_ms >= from_ms,
        ).limit(1)
    )  # fmt: skip
    return found.one_or_none() is not None


def page(connection: Connection, wanted: Wanted, before: int | None = None) -> list[Line]:
    """Return entries, the newest first, before number ``before``."""
    query = _query(wanted)
    if before is not None:
        query = query.where(audit.c.number < before)
    return list(_lines(connection, query.order_by(audit.c.number.desc()).limit(LISTED)))


def export(connection: Connection, wanted: Wanted, after: int = 0) -> list[Line]:
    """Return entries, the oldest first, behind number ``after``."""
    query = _query(wanted).where(audit.c.number > after).order_by(audit.c.number).limit(EXPORTED)
    return list(_lines(connection, query))


def verify(connection: Connection) -> str:
    """Return what is wrong with the log, empty if nothing is."""
    expected, before = 1, NO_ENTRY
    for row in connection.execute(select(audit).order_by(audit.c.number)):
        if row.number != expected:
            return f"entry {expected} is missing"
        entry = Entry(row.number, row.at_ms, row.actor, row.action, row.subject, row.details, row.previous)
        if row.previous != before or entry.hash() != row.hash:
            return f"entry {row.number} is not as it was written"
        expected, before = expected + 1, row.hash
    counted = facts.get(connection, NUMBER)
    return "" if counted == expected - 1 else f"entries {expected} to {counted} are missing"


def _query(wanted: Wanted) -> Select[tuple[object, ...]]:
    query = select(audit)
    if wanted.actor:
        query = query.where(audit.c.actor.startswith(wanted.actor, autoescape=True))
    if wanted.action:
        query = query.where(audit.c.action.startswith(wanted.action, autoescape=True))
    if wanted.subject:
        query = query.where(audit.c.subject == wanted.subject)
    return query


def _lines(connection: Connection, query: Select[tuple[object, ...]]) -> Iterator[Line]:
    for row in connection.execute(query):
        yield Line(row.number, row.at_ms, row.actor, row.action, row.subject, json.loads(row.details))


def _hash_of(connection: Connection, number: int) -> bytes:
    if number == 0:
        return NO_ENTRY
    found = connection.execute(select(audit.c.hash).where(audit.c.number == number)).scalar_one_or_none()
    if found is None:
        raise AuditBroken(f"entry {number} of the desk's audit log is missing: restore a backup")
    return bytes(found)


def _bounded(text: str) -> str:
    """Cut what is too long, and take out what PostgreSQL cannot hold."""
    text = text.replace("\x00", "\N{SYMBOL FOR NULL}")
    return text if len(text) <= MAX_TEXT_CHARS else text[: MAX_TEXT_CHARS - 1] + _CUT
