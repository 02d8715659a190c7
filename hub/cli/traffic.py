"""``queue``, ``track``, ``give-up``, ``backup``."""

from __future__ import annotations

import os
import sqlite3
import time
import uuid
from contextlib import closing
from pathlib import Path

from sqlalchemy import Connection

from hub import home as hub_home
from hub.cli.opened import opened_hub
from hub.routing.route import Reason
from hub.spool import ageing, store, tracking
from runtime import disk
from runtime.cli import EXIT_USAGE, facts, fail, moment, plain, say, table
from runtime.transactions import read, transact


def queue(home: Path, as_json: bool) -> None:
    """Do ``wasl-hub queue``."""
    with opened_hub(home) as hub:
        depths = read(hub.engine, tracking.depths)
    now_ms = time.time_ns() // 1_000_000
    value = [
        {
            "facility": depth.facility,
            "messages": depth.messages,
            "bytes": depth.bytes,
            "oldest": moment(depth.oldest_ms),
            "oldest_age_s": max(0, (now_ms - depth.oldest_ms) // 1000),
        }
        for depth in depths
    ]
    header = ("facility", "messages", "bytes", "oldest", "age s")
    facts(value, as_json=as_json, text=lambda: table([tuple(one.values()) for one in value], header))


def track(identifier: str, home: Path, as_json: bool) -> None:
    """Do ``wasl-hub track``."""
    raw = _id(identifier)
    with opened_hub(home) as hub:
        found = read(hub.engine, lambda connection: tracking.track(connection, raw))
    if not found:
        fail(f"no message {identifier} was accepted by this hub")
    value = [
        {
            "id": identifier,
            "from": one.sender,
            "to": list(one.recipients),
            "kind": one.kind,
            "priority": "stat" if one.priority else "routine",
            "size": one.size,
            "attachments": one.files,
            "accepted": moment(one.accepted_ms),
            "expires": moment(one.expires_ms),
            "waiting": list(one.waiting),
            "history": [
                {"recipient": n.recipient, "state": n.state.word, "reason": n.code, "at": moment(n.at_ms)}
                for n in one.news
            ],
        }
        for one in found
    ]
    facts(value if len(value) > 1 else value[0], as_json=as_json, text=lambda: _told(found))


def _id(identifier: str) -> bytes:
    try:
        return uuid.UUID(identifier).bytes
    except ValueError:
        fail(f"{identifier!r} is no message id; it should be like 019a…-….", EXIT_USAGE)


def _told(found: list[tracking.Tracked]) -> str:
    lines: list[str] = []
    for one in found:
        lines.append(
            f"{one.kind} from {one.sender} to {' '.join(one.recipients)}, accepted {moment(one.accepted_ms)}"
        )
        lines += [
            f"  {moment(n.at_ms)}  {n.state.word:<10} {n.recipient}  {n.code}".rstrip() for n in one.news
        ]
        lines += [f"  {'now':<24}  {'waiting':<10} {recipient}" for recipient in one.waiting]
    return "\n".join(plain(line) for line in lines)


def give_up(identifier: str, home: Path, recipient: str | None) -> None:
    """Do ``wasl-hub give-up``."""
    raw = _id(identifier)
    now_ms = time.time_ns() // 1_000_000
    with opened_hub(home) as hub:
        sql = store.SpoolSql(hub.engine)

        def operation(connection: Connection) -> tuple[list[ageing.Due], list[ageing.Due]]:
            found = ageing.waiting(connection, raw)
            found = [one for one in found if recipient in (None, one.recipient)]
            away = [one for one in found if not one.connected]
            sql.conclude(
                connection, [(one.seq, ageing.return_news(one, Reason.GIVEN_UP, now_ms)) for one in away]
            )
            return found, away

        found, away = transact(hub.engine, operation)
        hub.poke()
    if not found:
        fail(f"nothing of message {identifier} waits at this hub")
    for one in away:
        doubt = "; it may have been delivered before" if one.in_doubt else ""
        say(f"{identifier} for {one.recipient} goes back to {one.sender}{doubt}.")
    if len(away) < len(found):
        still = ", ".join(sorted({one.facility for one in found if one.connected}))
        fail(f"{still} is connected and may be taking it now: suspend it first, or wait")


def backup(home: Path, into: Path) -> None:
    """Do ``wasl-hub backup``."""
    with opened_hub(home) as hub:
        if hub.engine.dialect.name != "sqlite":
            fail("this hub's tables are in PostgreSQL: use pg_dump")
        if into.exists():
            fail(f"{into} exists already")
        try:
            _copy(home / hub_home.DATABASE, into)
        except (OSError, sqlite3.Error) as error:
            fail(f"{into} could not be written: {error}")
    say(f"{into} holds the database as it was a moment ago.")


def _copy(database: Path, into: Path) -> None:
    """Write a consistent copy, durable before it has its name; what an earlier attempt left is replaced."""
    partial = into.with_name(into.name + ".part")
    partial.unlink(missing_ok=True)
    os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(partial)) as target:
        source.backup(target)
    with partial.open("rb") as written:
        disk.sync_file(written.fileno(), partial)
    partial.rename(into)
    disk.sync_directory(into.parent)
