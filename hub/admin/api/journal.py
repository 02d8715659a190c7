"""The audit log: search, entries with their proof, export, checkpoints."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from hub.admin import records
from hub.admin.api import routes
from hub.admin.api.routes import LISTED, Ask, Cursor, Limit, PageQuery, Text, look
from hub.admin.api.shapes import Moment, Sought, Time, moment_ms, time
from hub.admin.records import Line, Wanted
from hub.admin.roles import Permission
from hub.audit import export as formats
from hub.audit import growth, prove
from protocols.audit.receipt import Receipt
from runtime.web.routes import Media

_MOST_MS: Final = 1 << 53
EXPORTS: Final = Media(("application/x-ndjson", "application/fhir+ndjson", "application/xml"))
_TYPES: Final = dict(zip(("jsonl", "fhir", "atna"), EXPORTS.types, strict=True))


class AuditEntry(Struct, frozen=True):
    """One entry; ``hash`` is what the next one carries on, in hexadecimal."""

    number: int
    at: Time
    actor: str
    action: str
    subject: str
    details: Mapping[str, str]
    hash: str


class AuditList(Struct, frozen=True):
    """Entries, the newest first."""

    items: list[AuditEntry]
    next: str | None


class AuditQuery(Struct, frozen=True, forbid_unknown_fields=True, rename={"since": "from"}):
    """Which entries: beginnings of actor and action, a whole subject, ``from`` and before ``until``."""

    actor: Sought = ""
    action: Sought = ""
    subject: Sought = ""
    since: Moment | None = None
    until: Moment | None = None
    limit: Limit = LISTED
    cursor: Cursor | None = None


class ExportQuery(Struct, frozen=True, forbid_unknown_fields=True, rename={"since": "from"}):
    """Which entries, how written, and behind which number: the last of the export before."""

    format: Literal["jsonl", "fhir", "atna"] = "jsonl"
    actor: Sought = ""
    action: Sought = ""
    subject: Sought = ""
    since: Moment | None = None
    until: Moment | None = None
    after: Annotated[int, Meta(ge=0, le=_MOST_MS)] = 0


class Checkpoint(Struct, frozen=True):
    """A signed checkpoint over entries 1 to ``size``; ``statement`` is base64, ``root`` hexadecimal."""

    size: int
    at: Time
    root: str
    statement: bytes
    witnesses: list[str]


class CheckpointList(Struct, frozen=True):
    """Checkpoints, the newest first."""

    items: list[Checkpoint]
    next: str | None


def _wanted(query: AuditQuery | ExportQuery) -> Wanted:
    until_ms = None if query.until is None else moment_ms("until", query.until)
    from_ms = 0 if query.since is None else moment_ms("from", query.since)
    return Wanted(query.actor, query.action, query.subject, from_ms, until_ms)


def _entry(one: Line) -> AuditEntry:
    return AuditEntry(
        one.number, time(one.at_ms), one.actor, one.action, one.subject, one.details, one.hash.hex()
    )


def search(ask: Ask) -> AuditList:
    """Search the log."""
    query: AuditQuery = ask.query
    wanted, before = _wanted(query), routes.after_number(query, "audit") or None
    found = ask.read(lambda c: records.page(c, wanted, before))
    rows, cursor = routes.page(query, "audit", found, lambda one: one.number)
    return AuditList([_entry(one) for one in rows], cursor)


def show(ask: Ask) -> AuditEntry:
    """Show one entry."""
    number = int(ask.path["number"])
    return _entry(ask.read(lambda c: records.one(c, number)))


def prove_entry(ask: Ask) -> Receipt:
    """Make the receipt of an entry."""
    number = int(ask.path["number"])
    return ask.read(lambda c: prove.of_entry(c, number))


def prove_message(ask: Ask) -> Receipt:
    """Make the receipt of a message."""
    raw = uuid.UUID(ask.path["id"]).bytes
    return ask.read(lambda c: prove.of_message(c, raw))


def export(ask: Ask) -> Text:
    """Write entries for another system; that they were taken is an entry as well."""
    query: ExportQuery = ask.query
    wanted = _wanted(query)
    rows = ask.console.change(
        lambda c: records.export(c, wanted, after=query.after, actor=ask.actor, now_ms=ask.now_ms)
    )
    entries, source = ((one.entry, one.hash) for one in rows), f"wasl-hub/{ask.console.settings.hub.name}"
    if query.format == "atna":
        lines = formats.atna(entries, source)
    elif query.format == "fhir":
        lines = formats.fhir(entries, source)
    else:
        lines = (one.json for one in rows)
    return Text("".join(f"{line}\n" for line in lines).encode("utf-8", "replace"), _TYPES[query.format])


def checkpoints(ask: Ask) -> CheckpointList:
    """List checkpoints."""
    query: PageQuery = ask.query
    before = routes.after_number(query, "checkpoints") or None
    found = ask.read(lambda c: growth.recent(c, LISTED, before))
    rows, cursor = routes.page(query, "checkpoints", found, lambda one: one.size)
    shown = [
        Checkpoint(one.size, time(one.at_ms), one.root.hex(), one.statement, list(one.witnesses))
        for one in rows
    ]
    return CheckpointList(shown, cursor)


_AUDIT: Final = Permission.AUDIT
ROUTES: Final = (
    look("/audit", "searchAudit", "Search the audit log, the newest entries first", _AUDIT, search, AuditList,
         query=AuditQuery),
    look("/audit/export", "exportAudit",
         f"Entries from the oldest on, {records.EXPORTED:,} at most; the taking is recorded", _AUDIT, export,
         EXPORTS, query=ExportQuery),
    look("/audit/checkpoints", "listCheckpoints", "Signed checkpoints, newest first, and who countersigned",
         _AUDIT, checkpoints, CheckpointList, query=PageQuery),
    look("/audit/{number}", "showEntry", "One entry", _AUDIT, show, AuditEntry, missing=True),
    look("/audit/{number}/proof", "proveEntry", "The receipt of an entry, for `wasl-hub audit check`", _AUDIT,
         prove_entry, Receipt, missing=True),
    look("/messages/{id}/proof", "proveMessage", "The receipt of a message, for `wasl-hub audit check`",
         _AUDIT, prove_message, Receipt, missing=True),
)  # fmt: skip
