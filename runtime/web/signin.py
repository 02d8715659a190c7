"""Signing in and staying signed in: rules over the tables of :mod:`runtime.web.accounts`.

*Tries.* A try is counted before the password is looked at, under name-and-address and under the address
alone, and forgotten when it succeeds. The first few are free; then each one has to wait, twice as long as the
one before and at most ``LONGEST_WAIT_S``. Nobody is ever locked out: somebody who fails on purpose from
elsewhere does not hold up the owner, who comes from another address. A name that does not exist is treated,
counted and timed like one that does.

*Again.* Before an account changes, its password is asked for within the session. Those tries are counted
likewise, under a name of their own, and whatever the address: only who holds a session gets so far, so nobody
else can hold up the owner.

*Sessions.* The browser holds 256 random bits, the table their hash. A session ends after ``IDLE_MS`` without
a request, ``ABSOLUTE_MS`` after it began, when it is ended, and when its user is switched off or gets another
password or role. Signing in always makes a new one, so no token from before means anything afterwards.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, Engine, delete, insert, select, update

from runtime.transactions import transact
from runtime.web import accounts
from runtime.web.accounts import AccountTables, Session, User
from runtime.web.passwords import Passwords

IDLE_MS: Final = 30 * 60_000
ABSOLUTE_MS: Final = 12 * 3_600_000
SEEN_EVERY_MS: Final = 60_000
"""How exactly ``seen_ms`` is kept: a page view is no write."""
FREE_TRIES: Final = 3
FREE_TRIES_OF_ADDRESS: Final = 20
LONGEST_WAIT_S: Final = 60
TRIES_KEPT_MS: Final = 3_600_000
BROWSER_CHARS: Final = 160
_TOKEN_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Try:
    """One attempt to sign in: who says so, and from where."""

    name: str
    address: str
    browser: str
    now_ms: int


def wait_s(connection: Connection, tables: AccountTables, attempt: Try) -> int:
    """Count a try; returns 0 if the password may be looked at, or how many seconds it is too early.

    A try that is too early is not counted: waiting as told is always enough.
    """
    counted = [
        (_who(attempt.name, attempt.address), FREE_TRIES),
        (_who(attempt.address), FREE_TRIES_OF_ADDRESS),
    ]
    connection.execute(delete(tables.tries).where(tables.tries.c.last_ms < attempt.now_ms - TRIES_KEPT_MS))
    found = {
        row.who: (int(row.failures), int(row.last_ms))
        for row in connection.execute(
            select(tables.tries).where(tables.tries.c.who.in_([w for w, _ in counted]))
        )
    }
    wait_ms = max(pause_ms(*found.get(who, (0, 0)), free, attempt.now_ms) for who, free in counted)
    if wait_ms > 0:
        return -(-wait_ms // 1000)
    for who, _ in counted:
        values = {"failures": found.get(who, (0, 0))[0] + 1, "last_ms": attempt.now_ms}
        if (
            connection.execute(update(tables.tries).where(tables.tries.c.who == who).values(values)).rowcount
            == 0
        ):
            connection.execute(insert(tables.tries).values(who=who, **values))
    return 0


def pause_ms(count: int, last_ms: int, free: int, now_ms: int) -> int:
    """Return how much longer one who failed ``count`` times has to wait; a clock set back is no prison."""
    if count < free:
        return 0
    whole_ms = 1_000 * min(LONGEST_WAIT_S, 1 << min(count - free, 10))
    return min(whole_ms, last_ms + whole_ms - now_ms)


def _who(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()


def check(
    connection: Connection, tables: AccountTables, passwords: Passwords, attempt: Try, password: str
) -> User | None:
    """Return the user if name and password fit and the account is active; takes equally long if not.

    Reads only: a tenth of a second must not be spent in a transaction that others wait for.
    """
    user = accounts.find_user(connection, tables, attempt.name)
    usable = user is not None and user.active
    fits = passwords.fits(user.password if user is not None and usable else None, password)
    return user if fits else None


class WrongPassword(Exception):  # noqa: N818 - states the condition
    """What was said is not the present password; ``wait_s`` is not 0 if it is too early to look at it."""

    def __init__(self, wait_s: int = 0) -> None:
        super().__init__("this is not the present password")
        self.wait_s = wait_s


def require_password(
    engine: Engine,
    tables: AccountTables,
    passwords: Passwords,
    user: User,
    said: str,
    now_ms: int,
    *,
    note: Callable[[Connection], object],
) -> None:
    """Raise WrongPassword unless ``said`` is the password of somebody who is signed in.

    ``note`` writes down, in the transaction that it is given, that a wrong one was said. Blocks.
    """
    again = f"{user.name} again"  # no name has a space
    attempt = Try(again, again, "", now_ms)
    early_s = transact(engine, lambda c: wait_s(c, tables, attempt))
    if early_s:
        raise WrongPassword(early_s)
    if not passwords.fits(user.password, said):
        transact(engine, note)
        raise WrongPassword
    transact(engine, lambda c: forget(c, tables, attempt))


class AccountChanged(Exception):  # noqa: N818 - states the condition
    """The account was switched off, or got another password or role, after it was looked at."""


def require_unchanged(connection: Connection, tables: AccountTables, user: User) -> None:
    """Raise AccountChanged unless the account is as it was read, in the transaction that relies on it."""
    now = accounts.find_user(connection, tables, user.name)
    if now is None or not now.active or (now.password, now.role) != (user.password, user.role):
        raise AccountChanged(user.name)


def begin(connection: Connection, tables: AccountTables, attempt: Try) -> str:
    """Forget the tries, begin a session for ``attempt.name``, and return the browser's token."""
    forget(connection, tables, attempt)
    accounts.end_old_sessions(
        connection,
        tables,
        created_before_ms=attempt.now_ms - ABSOLUTE_MS,
        seen_before_ms=attempt.now_ms - IDLE_MS,
    )
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    browser = attempt.browser[:BROWSER_CHARS]
    row = Session(hash_of(token), attempt.name, attempt.now_ms, attempt.now_ms, attempt.address, browser)
    accounts.put_session(connection, tables, row)
    accounts.change_user(connection, tables, attempt.name, signed_in_ms=attempt.now_ms)
    return token


def forget(connection: Connection, tables: AccountTables, attempt: Try) -> None:
    """Forget the tries that were counted for an attempt: it succeeded."""
    counted = [_who(attempt.name, attempt.address), _who(attempt.address)]
    connection.execute(delete(tables.tries).where(tables.tries.c.who.in_(counted)))


def hash_of(token: str) -> str:
    """Return what is kept of a token."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def current(
    connection: Connection, tables: AccountTables, token: str, now_ms: int
) -> tuple[Session, User] | None:
    """Return the session that a browser's token stands for, if its time is not over and its user active."""
    found = accounts.find_session(connection, tables, hash_of(token))
    if found is None:
        return None
    session, user = found
    over = now_ms - session.created_ms > ABSOLUTE_MS or now_ms - session.seen_ms > IDLE_MS
    return None if over or not user.active else found
