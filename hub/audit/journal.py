"""Writing the audit log: one entry for each change, in the transaction of the change.

Entries are numbered by the row in ``numbers``, which is locked until the commit. So numbers have no gaps,
the entry before is the one that is committed, and several hub processes write one chain. Changes that are
recorded wait for each other; messages are not recorded here, and wait for nobody.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection, insert, select

from hub.audit.tables import audit
from hub.spool.store import take_numbers
from protocols.audit.entry import MAX_DETAILS_BYTES, MAX_TEXT_CHARS, NO_ENTRY, Entry, details_text

HUB: Final = "hub"
"""The actor of what the hub does on its own account."""
_CUT: Final = "…"


class AuditBroken(Exception):  # noqa: N818 - it names a state
    """The log's end is missing: nothing is recorded on top of that."""


@dataclass(frozen=True, slots=True)
class Act:
    """Something that was done.

    ``actor``: ``user:NAME``, ``cli:NAME``, ``token:NAME@WHO``, ``node:FACILITY`` or ``hub``. ``action``:
    dotted, like ``facility.invited``. ``subject``: what it was done to. ``details``: never content, patient
    data or secrets. Texts are cut to 200 characters; details longer than 4 KiB of JSON are a mistake of the
    caller's.
    """

    actor: str
    action: str
    subject: str
    details: Mapping[str, str] = field(default_factory=dict)


def record(connection: Connection, act: Act, now_ms: int) -> int:
    """Append an entry and return its number; it is written if the caller's transaction is committed.

    Raises ValueError for details that are too long, AuditBroken if the last entry is not where it should be.
    """
    details = details_text(act.details)
    if len(details.encode("utf-8")) > MAX_DETAILS_BYTES:
        raise ValueError(f"{act.action}: details of an audit entry have at most {MAX_DETAILS_BYTES} bytes")
    number = take_numbers(connection, audit, 1) + 1
    entry = Entry(
        number,
        now_ms,
        _bounded(act.actor),
        _bounded(act.action),
        _bounded(act.subject),
        details,
        _hash_of(connection, number - 1),
    )
    connection.execute(
        insert(audit).values(
            number=number,
            at_ms=entry.at_ms,
            actor=entry.actor,
            action=entry.action,
            subject=entry.subject,
            details=entry.details,
            previous=entry.previous,
            hash=entry.hash(),
        )
    )
    return number


def write(
    connection: Connection, actor: str, action: str, subject: str, details: Mapping[str, str], now_ms: int
) -> int:
    """Do what :func:`record` does, as the web rooms call for it."""
    return record(connection, Act(actor, action, subject, details), now_ms)


def command_line() -> str:
    """Return the actor of a command: ``cli:`` and the Unix user who runs it."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = str(os.getuid())
    return f"cli:{name}"


def person_of(actor: str) -> str:
    """Return the person behind an actor: ``amina`` of ``user:amina``, ``cli:amina``, ``token:nightly@amina``.

    Where two people have to agree, these are what is compared.
    """
    kind, _, name = actor.partition(":")
    return name.partition("@")[2] if kind == "token" else name


def _hash_of(connection: Connection, number: int) -> bytes:
    if number == 0:
        return NO_ENTRY
    found = connection.execute(select(audit.c.hash).where(audit.c.number == number)).scalar_one_or_none()
    if found is None:
        raise AuditBroken(
            f"entry {number} of the audit log is missing: run `wasl-hub audit verify`, and restore a backup"
        )
    return bytes(found)


def _bounded(text: str) -> str:
    """Cut what is too long, and take out what PostgreSQL cannot hold."""
    text = text.replace("\x00", "\N{SYMBOL FOR NULL}")
    return text if len(text) <= MAX_TEXT_CHARS else text[: MAX_TEXT_CHARS - 1] + _CUT
