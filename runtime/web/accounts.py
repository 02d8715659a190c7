"""Who may sign in: the tables of users, sessions and tries, and their SQL.

The tables belong to the process that declares them, in its own schema: :func:`account_tables` puts them into
its metadata. Every function takes an open connection, is safe to run twice, and knows no time but ``now_ms``.

Of a session only the hash of its token is kept, so whoever reads the database cannot use it.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    delete,
    insert,
    select,
    update,
)


@dataclass(frozen=True, slots=True)
class AccountTables:
    """Where users, their sessions and failed tries are."""

    users: Table
    sessions: Table
    tries: Table


def account_tables(metadata: MetaData) -> AccountTables:
    """Declare the tables in ``metadata``."""
    users = Table(
        "users",
        metadata,
        Column("name", String, primary_key=True),
        Column("role", String, nullable=False),
        Column("password", String, nullable=False, comment="argon2id"),
        Column("active", Boolean, nullable=False),
        Column("created_ms", BigInteger, nullable=False),
        Column("signed_in_ms", BigInteger, comment="the last time; none: never"),
    )
    sessions = Table(
        "web_sessions",
        metadata,
        Column("token", String, primary_key=True, comment="SHA-256 of what the browser holds"),
        Column("name", String, nullable=False),
        Column("created_ms", BigInteger, nullable=False),
        Column("seen_ms", BigInteger, nullable=False),
        Column("address", String, nullable=False),
        Column("browser", String, nullable=False),
    )
    Index("web_sessions_name", sessions.c.name)
    tries = Table(
        "sign_in_tries",
        metadata,
        Column("who", String, primary_key=True, comment="hash of a name and an address, or of an address"),
        Column("failures", Integer, nullable=False),
        Column("last_ms", BigInteger, nullable=False),
    )
    Index("sign_in_tries_last", tries.c.last_ms)
    return AccountTables(users, sessions, tries)


@dataclass(frozen=True, slots=True)
class User:
    """Somebody with an account; ``signed_in_ms`` is None before the first time."""

    name: str
    role: str
    password: str
    active: bool
    created_ms: int
    signed_in_ms: int | None


@dataclass(frozen=True, slots=True)
class Session:
    """One browser that is signed in; ``token`` is the hash."""

    token: str
    name: str
    created_ms: int
    seen_ms: int
    address: str
    browser: str


def users(connection: Connection, tables: AccountTables) -> list[User]:
    """Return everybody, by name."""
    rows = connection.execute(select(tables.users).order_by(tables.users.c.name))
    return [User(*row) for row in rows]


def find_user(connection: Connection, tables: AccountTables, name: str) -> User | None:
    """Return a user by name."""
    row = connection.execute(select(tables.users).where(tables.users.c.name == name)).one_or_none()
    return None if row is None else User(*row)


def put_user(connection: Connection, tables: AccountTables, user: User) -> None:
    """Enter a new user; IntegrityError if the name is taken."""
    connection.execute(
        insert(tables.users).values(
            name=user.name, role=user.role, password=user.password, active=user.active,
            created_ms=user.created_ms, signed_in_ms=user.signed_in_ms,
        )
    )  # fmt: skip


def change_user(connection: Connection, tables: AccountTables, name: str, **values: object) -> bool:
    """Change columns of a user; returns whether there is one."""
    found = connection.execute(update(tables.users).where(tables.users.c.name == name).values(values))
    return found.rowcount > 0


def put_session(connection: Connection, tables: AccountTables, session: Session) -> None:
    """Enter a session that begins."""
    connection.execute(
        insert(tables.sessions).values(
            token=session.token, name=session.name, created_ms=session.created_ms,
            seen_ms=session.seen_ms, address=session.address, browser=session.browser,
        )
    )  # fmt: skip


def find_session(connection: Connection, tables: AccountTables, token: str) -> tuple[Session, User] | None:
    """Return the session with this (hashed) token, and whose it is."""
    query = (
        select(*tables.sessions.c, *tables.users.c)
        .join(tables.users, tables.users.c.name == tables.sessions.c.name)
        .where(tables.sessions.c.token == token)
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    width = len(tables.sessions.c)
    return Session(*row[:width]), User(*row[width:])


def seen(connection: Connection, tables: AccountTables, token: str, now_ms: int) -> None:
    """Note that a session was used."""
    connection.execute(update(tables.sessions).where(tables.sessions.c.token == token).values(seen_ms=now_ms))


def sessions(connection: Connection, tables: AccountTables, name: str | None = None) -> list[Session]:
    """Return sessions, of one user or of all, the last used first."""
    query = select(tables.sessions).order_by(tables.sessions.c.seen_ms.desc())
    if name is not None:
        query = query.where(tables.sessions.c.name == name)
    return [Session(*row) for row in connection.execute(query)]


def end_session(connection: Connection, tables: AccountTables, token: str) -> bool:
    """End one session; returns whether it was there."""
    gone = connection.execute(delete(tables.sessions).where(tables.sessions.c.token == token))
    return gone.rowcount > 0


def end_sessions(connection: Connection, tables: AccountTables, name: str, *, but: str | None = None) -> int:
    """End all sessions of a user, but the one with token ``but``; returns how many."""
    gone = delete(tables.sessions).where(tables.sessions.c.name == name)
    return connection.execute(gone if but is None else gone.where(tables.sessions.c.token != but)).rowcount


def end_old_sessions(
    connection: Connection, tables: AccountTables, *, created_before_ms: int, seen_before_ms: int
) -> None:
    """Remove sessions whose time is over."""
    columns = tables.sessions.c
    connection.execute(
        delete(tables.sessions).where(
            (columns.created_ms < created_before_ms) | (columns.seen_ms < seen_before_ms)
        )
    )
