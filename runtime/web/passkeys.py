"""Passkeys: the table of credentials that authenticators hold for users, and its SQL.

Like the accounts (:mod:`runtime.web.accounts`) the tables belong to the process that declares them. Of a
passkey the public half is kept, so whoever reads the table can sign in with nothing of it. ``spent`` holds
the challenges that have let somebody in, until they would be too old anyhow: an answer that was overheard
does not count twice. Nothing is written for somebody who fails.

What an authenticator says is judged in :mod:`runtime.web.ceremonies`; what may be done with the answer is the
room's own affair, and so is its audit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    LargeBinary,
    MetaData,
    String,
    Table,
    delete,
    insert,
    select,
    update,
)

EACH: Final = 10
"""Passkeys of one user."""
LABEL_CHARS: Final = 60


Record = Callable[[Connection, str, str, str, Mapping[str, str], int], object]
"""Write an entry to the audit log: actor, action, subject, details, now_ms."""


@dataclass(frozen=True, slots=True)
class PasskeyTables:
    """Where passkeys and used challenges are."""

    passkeys: Table
    spent: Table


def passkey_tables(metadata: MetaData) -> PasskeyTables:
    """Declare the tables in ``metadata``, beside those of :func:`runtime.web.accounts.account_tables`."""
    passkeys = Table(
        "passkeys",
        metadata,
        Column(
            "id", LargeBinary, primary_key=True, comment="the credential's, as its authenticator chose it"
        ),
        Column("name", String, nullable=False, comment="the user's"),
        Column("label", String, nullable=False, comment="what the user calls it"),
        Column("handle", LargeBinary, nullable=False, comment="for whom the authenticator keeps it"),
        Column("public_key", LargeBinary, nullable=False, comment="COSE"),
        Column("uses", BigInteger, nullable=False, comment="the authenticator's own count; 0: it keeps none"),
        Column("created_ms", BigInteger, nullable=False),
        Column("used_ms", BigInteger, comment="the last time; none: never"),
    )
    Index("passkeys_name", passkeys.c.name)
    spent = Table(
        "passkey_spent",
        metadata,
        Column("challenge", LargeBinary, primary_key=True, comment="SHA-256"),
        Column("until_ms", BigInteger, nullable=False),
    )
    Index("passkey_spent_until", spent.c.until_ms)
    return PasskeyTables(passkeys, spent)


@dataclass(frozen=True, slots=True)
class Passkey:
    """One credential; ``used_ms`` is None before the first time."""

    id: bytes
    name: str
    label: str
    handle: bytes
    public_key: bytes
    uses: int
    created_ms: int
    used_ms: int | None


def of_user(connection: Connection, tables: PasskeyTables, name: str) -> list[Passkey]:
    """Return a user's passkeys, the oldest first."""
    columns = tables.passkeys.c
    rows = connection.execute(
        select(tables.passkeys).where(columns.name == name).order_by(columns.created_ms, columns.id)
    )
    return [Passkey(*row) for row in rows]


def find(connection: Connection, tables: PasskeyTables, identifier: bytes) -> Passkey | None:
    """Return the passkey with this credential id."""
    row = connection.execute(select(tables.passkeys).where(tables.passkeys.c.id == identifier)).one_or_none()
    return None if row is None else Passkey(*row)


def put(connection: Connection, tables: PasskeyTables, passkey: Passkey) -> None:
    """Keep a new passkey; IntegrityError if its id is known."""
    connection.execute(
        insert(tables.passkeys).values(
            id=passkey.id, name=passkey.name, label=passkey.label, handle=passkey.handle,
            public_key=passkey.public_key, uses=passkey.uses, created_ms=passkey.created_ms,
            used_ms=passkey.used_ms,
        )
    )  # fmt: skip


def remove(connection: Connection, tables: PasskeyTables, name: str, identifier: bytes) -> bool:
    """Forget a user's passkey; returns whether it was there."""
    columns = tables.passkeys.c
    gone = connection.execute(delete(tables.passkeys).where(columns.id == identifier, columns.name == name))
    return gone.rowcount > 0


def take(
    connection: Connection,
    tables: PasskeyTables,
    record: Record,
    name: str,
    identifier: bytes,
    *,
    actor: str,
    now_ms: int,
) -> bool:
    """Take a user's passkey away, audited; returns whether it was there."""
    found = find(connection, tables, identifier)
    if found is None or not remove(connection, tables, name, identifier):
        return False
    record(connection, actor, "passkey.removed", name, {"label": found.label}, now_ms)
    return True


def used(connection: Connection, tables: PasskeyTables, before: Passkey, uses: int, now_ms: int) -> bool:
    """Note that a passkey was used; False if it was used or removed since ``before`` was read."""
    columns = tables.passkeys.c
    done = connection.execute(
        update(tables.passkeys)
        .where(columns.id == before.id, columns.uses == before.uses, columns.name == before.name)
        .values(uses=uses, used_ms=now_ms)
    )
    return done.rowcount > 0


def spend(
    connection: Connection, tables: PasskeyTables, challenge: bytes, *, until_ms: int, now_ms: int
) -> bool:
    """Note that a challenge (its hash) has been answered; False if it had been before."""
    spent = tables.spent
    connection.execute(delete(spent).where(spent.c.until_ms < now_ms))
    known = select(spent.c.challenge).where(spent.c.challenge == challenge)
    if connection.execute(known).first() is not None:
        return False
    connection.execute(insert(spent).values(challenge=challenge, until_ms=until_ms))
    return True
