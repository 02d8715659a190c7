"""An audit log with a history, and an attacker who owns the database's file."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine

from crypto.keys import SigningPrivateKey
from hub.audit import growth, messages
from hub.audit.journal import Act, record
from hub.audit.verify import Report, Trusted, verify
from hub.spool import store
from protocols.link.envelope import State
from runtime.transactions import read, transact
from tests.hub.hubs import AUDIT, AUTHORITY, DAY_MS, EPOCH_MS, ORAN, entry, message_id

TRUSTED: Final = Trusted(AUDIT.public, AUTHORITY.public, EPOCH_MS - DAY_MS)


def act(connection: Connection, number: int) -> int:
    return record(connection, Act("cli:root", "facility.suspended", f"chu-{number}"), EPOCH_MS + number)


def deliver(connection: Connection, number: int) -> None:
    """Accept message ``number`` and have it delivered."""
    done = store.accept(connection, [entry(number, ORAN)], EPOCH_MS)
    news = store.News(0, "chu-alger", message_id(number), ORAN, State.DELIVERED, "", EPOCH_MS, b"receipt")
    store.conclude(connection, [(done.queued[0].seq, news)])


def take_in(connection: Connection) -> None:
    batch = messages.gather(connection)
    assert batch is not None
    assert messages.enter(connection, batch, batch.root, EPOCH_MS) is not None


def seal(connection: Connection, key: SigningPrivateKey = AUDIT) -> growth.Kept | None:
    return growth.seal(connection, key, "hub", EPOCH_MS)


def make_history(engine: Engine) -> None:
    """Eleven entries: five acts, a batch of 12 rows (entry 6), five acts; checkpoints 6, 9 and 11."""
    for number in range(1, 6):
        transact(engine, lambda c, n=number: act(c, n))  # type: ignore[misc]  # bound now
    for number in range(1, 7):
        transact(engine, lambda c, n=number: deliver(c, n))  # type: ignore[misc]  # bound now
    transact(engine, take_in)
    transact(engine, seal)
    for number in range(7, 12):
        transact(engine, lambda c, n=number: act(c, n))  # type: ignore[misc]  # bound now
        if number == 9:
            transact(engine, seal)
    transact(engine, seal)


def verified(engine: Engine, trusted: Trusted = TRUSTED) -> Report:
    return read(engine, lambda c: verify(c, trusted))


def attack(file: Path, *statements: str) -> None:
    """Change the file as its owner can: guards first."""
    with closing(sqlite3.connect(file, isolation_level=None)) as opened:
        for guard in ("audit_never_changed", "audit_never_removed"):
            opened.execute(f"DROP TRIGGER IF EXISTS {guard}")
        for statement in statements:
            assert opened.execute(statement).rowcount, statement
