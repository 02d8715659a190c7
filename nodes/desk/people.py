"""Who may sign in to the desk, as what, and under which name colleagues see them.

Every change is audited in the same transaction. There is always an administrator who can sign in: the last
one can be neither switched off nor given another role here. A new password, another role or being switched
off ends the user's sessions; a password that somebody else sets takes the user's passkeys away as well.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, insert, select, update

from nodes.desk import audit
from nodes.desk.errors import DeskRefused, NotThere
from nodes.desk.roles import Role
from nodes.desk.tables import ACCOUNTS, PASSKEYS, people
from runtime.web import accounts, passkeys
from runtime.web.accounts import Session, User

NAME: Final = re.compile(r"[a-z0-9][a-z0-9._\-]{0,62}")
TITLE_CHARS: Final = 80


@dataclass(frozen=True, slots=True)
class NewUser:
    """Somebody who gets an account."""

    name: str
    title: str
    role: str
    password_hash: str


def check_name(name: str) -> None:
    """Raise DeskRefused unless ``name`` can be an account's: small letters, digits, dot, dash, underscore."""
    if NAME.fullmatch(name) is None:
        raise DeskRefused(
            "bad-name", f"{name[:64]!r} cannot be a user's name: it needs small letters, digits, . - _"
        )


def check_role(role: str) -> Role:
    """Return the role of that name; raises DeskRefused (bad-role)."""
    try:
        return Role(role)
    except ValueError:
        raise DeskRefused("bad-role", f"{role[:40]!r} is no role; there are {', '.join(Role)}") from None


def check_title(title: str) -> str:
    """Return a person's name as colleagues see it; raises DeskRefused (bad-title)."""
    title = " ".join(title.split())
    if not 0 < len(title) <= TITLE_CHARS or not title.isprintable():
        raise DeskRefused("bad-title", f"a full name has 1 to {TITLE_CHARS} printable characters")
    return title


def add(connection: Connection, new: NewUser, *, actor: str, now_ms: int) -> User:
    """Add a user. Raises DeskRefused (bad-name, bad-role, bad-title, user-exists)."""
    check_name(new.name)
    title = check_title(new.title or new.name)
    user = User(
        new.name, check_role(new.role), new.password_hash, active=True, created_ms=now_ms, signed_in_ms=None
    )
    if accounts.find_user(connection, ACCOUNTS, new.name) is not None:
        raise DeskRefused("user-exists", f"there is a user {new.name!r} already")
    accounts.put_user(connection, ACCOUNTS, user)
    connection.execute(insert(people).values(name=new.name, title=title))
    audit.record(connection, actor, "user.added", new.name, {"role": new.role}, now_ms)
    return user


def everybody(connection: Connection) -> list[User]:
    """Return all users, by name."""
    return accounts.users(connection, ACCOUNTS)


def titles(connection: Connection) -> dict[str, str]:
    """Return under which names people are seen, by account."""
    return {row.name: row.title for row in connection.execute(select(people))}


def one(connection: Connection, name: str) -> User:
    """Return a user; raises NotThere."""
    user = accounts.find_user(connection, ACCOUNTS, name)
    if user is None:
        raise NotThere("no-such-user", f"there is no user {name[:64]!r}")
    return user


def change_title(connection: Connection, name: str, title: str, *, actor: str, now_ms: int) -> None:
    """Let colleagues see a user under another name. Raises NotThere, DeskRefused (bad-title)."""
    one(connection, name)
    title = check_title(title)
    connection.execute(update(people).where(people.c.name == name).values(title=title))
    audit.record(connection, actor, "user.title", name, {"to": title}, now_ms)


def change_role(connection: Connection, name: str, role: str, *, actor: str, now_ms: int) -> None:
    """Give a user another role; ends the sessions.

    Raises NotThere, DeskRefused (bad-role, last-administrator).
    """
    user, wanted = one(connection, name), check_role(role)
    if user.role == wanted:
        return
    if wanted is not Role.ADMINISTRATOR:
        _keep_an_administrator(connection, user)
    accounts.change_user(connection, ACCOUNTS, name, role=str(wanted))
    accounts.end_sessions(connection, ACCOUNTS, name)
    audit.record(connection, actor, "user.role", name, {"from": user.role, "to": str(wanted)}, now_ms)


def switch(connection: Connection, name: str, *, active: bool, actor: str, now_ms: int) -> None:
    """Let a user in again, or no longer; the latter ends the sessions. Raises as :func:`change_role` does."""
    user = one(connection, name)
    if user.active == active:
        return
    if not active:
        _keep_an_administrator(connection, user)
        accounts.end_sessions(connection, ACCOUNTS, name)
    accounts.change_user(connection, ACCOUNTS, name, active=active)
    action = "user.activated" if active else "user.deactivated"
    audit.record(connection, actor, action, name, {}, now_ms)


def change_password(
    connection: Connection, name: str, password_hash: str, *, but: str | None, actor: str, now_ms: int
) -> None:
    """Set a new password and end the user's sessions, but the one with token ``but``. Raises NotThere.

    Unless it is the user who does so, signed in: the user's passkeys go too.
    """
    one(connection, name)
    accounts.change_user(connection, ACCOUNTS, name, password=password_hash)
    accounts.end_sessions(connection, ACCOUNTS, name, but=but)
    if actor != f"user:{name}":
        for key in passkeys.of_user(connection, PASSKEYS, name):
            passkeys.take(connection, PASSKEYS, audit.record, name, key.id, actor=actor, now_ms=now_ms)
    audit.record(connection, actor, "user.password", name, {}, now_ms)


def sessions(connection: Connection, name: str | None = None) -> list[Session]:
    """Return who is signed in, one user or all, the last seen first."""
    return accounts.sessions(connection, ACCOUNTS, name)


def end_session(
    connection: Connection, token: str, *, actor: str, now_ms: int, only_of: str | None = None
) -> None:
    """End a session by its (hashed) token; ``only_of`` bounds it to one user's. Raises NotThere."""
    found = accounts.find_session(connection, ACCOUNTS, token)
    if found is None or (only_of is not None and found[0].name != only_of):
        raise NotThere("no-such-session", "there is no such session any more")
    accounts.end_session(connection, ACCOUNTS, token)
    audit.record(connection, actor, "session.ended", found[0].name, {}, now_ms)


def _keep_an_administrator(connection: Connection, user: User) -> None:
    others = [
        each
        for each in everybody(connection)
        if each.role == Role.ADMINISTRATOR and each.active and each.name != user.name
    ]
    if user.role == Role.ADMINISTRATOR and user.active and not others:
        raise DeskRefused(
            "last-administrator", f"{user.name} is the last administrator: make another one first"
        )
