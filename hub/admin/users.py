"""Users and their sessions: who may come in, as what, and who is in just now.

Every change is audited in the same transaction. There is always an administrator who can sign in: the last
one can be neither switched off nor given another role here. A new password, another role or being switched
off ends the user's sessions. A password that somebody else sets takes the user's tokens and passkeys as well:
whoever had got into the account is out, whatever they made there. One who is switched off keeps them, and
none of them works (:func:`hub.admin.tokens.holder`, :mod:`runtime.web.keys`).
"""

from __future__ import annotations

from datetime import UTC, datetime
from heapq import heappop, heappush
from typing import Final

from sqlalchemy import Connection, func, select

from hub.admin import tokens
from hub.admin.errors import AdminRefused, NotThere
from hub.admin.roles import NAME, Role, check_role
from hub.admin.tables import ACCOUNTS, PASSKEYS
from hub.audit.journal import Act, person_of, record, write
from hub.audit.tables import audit
from protocols.audit.entry import details_text
from runtime.web import accounts, passkeys
from runtime.web.accounts import Session, User

SECOND_AFTER_MS: Final = 7 * 86_400_000
"""For how long an account counts as in the hand of who made it, or gave it its password."""
HANDS_READ: Final = 10_000
"""Accounts and hands that are looked at: as many were made or given passwords within that time."""
_FOR_EVER_MS: Final = 1 << 62
_Given = dict[str, dict[str, int]]
"""For each account who made it or gave it its password, and until when that counts."""


def check_name(name: str) -> None:
    """Raise AdminRefused unless ``name`` can be a user's: small letters, digits, dot, dash, underscore."""
    if NAME.fullmatch(name) is None:
        raise AdminRefused(
            "bad-name", f"{name[:64]!r} cannot be a user's name: it needs small letters, digits, . - _"
        )


def add(connection: Connection, name: str, role: str, password_hash: str, *, actor: str, now_ms: int) -> User:
    """Add a user. Raises AdminRefused (bad-name, bad-role, user-exists)."""
    check_name(name)
    user = User(name, check_role(role), password_hash, active=True, created_ms=now_ms, signed_in_ms=None)
    if accounts.find_user(connection, ACCOUNTS, name) is not None:
        raise AdminRefused("user-exists", f"there is a user {name!r} already")
    accounts.put_user(connection, ACCOUNTS, user)
    record(connection, Act(actor, "user.added", name, {"role": role}), now_ms)
    return user


def everybody(connection: Connection) -> list[User]:
    """Return all users, by name."""
    return accounts.users(connection, ACCOUNTS)


def one(connection: Connection, name: str) -> User:
    """Return a user; raises NotThere."""
    user = accounts.find_user(connection, ACCOUNTS, name)
    if user is None:
        raise NotThere("no-such-user", f"there is no user {name[:64]!r}")
    return user


def change_role(connection: Connection, name: str, role: str, *, actor: str, now_ms: int) -> None:
    """Give a user another role; ends the sessions.

    Raises NotThere, AdminRefused (bad-role, last-administrator).
    """
    user, wanted = one(connection, name), check_role(role)
    if user.role == wanted:
        return
    if wanted is not Role.ADMINISTRATOR:
        _keep_an_administrator(connection, user)
    accounts.change_user(connection, ACCOUNTS, name, role=str(wanted))
    accounts.end_sessions(connection, ACCOUNTS, name)
    record(connection, Act(actor, "user.role", name, {"from": user.role, "to": str(wanted)}), now_ms)


def switch(connection: Connection, name: str, *, active: bool, actor: str, now_ms: int) -> None:
    """Let a user in again, or no longer; the latter ends the sessions. Raises as :func:`change_role` does."""
    user = one(connection, name)
    if user.active == active:
        return
    if not active:
        _keep_an_administrator(connection, user)
        accounts.end_sessions(connection, ACCOUNTS, name)
    accounts.change_user(connection, ACCOUNTS, name, active=active)
    record(connection, Act(actor, "user.activated" if active else "user.deactivated", name, {}), now_ms)


def change_password(
    connection: Connection, name: str, password_hash: str, *, but: str | None, actor: str, now_ms: int
) -> None:
    """Set a new password and end the user's sessions, but the one with token ``but``. Raises NotThere.

    Unless it is the user who does so, signed in: the user's tokens and passkeys go too.
    """
    one(connection, name)
    accounts.change_user(connection, ACCOUNTS, name, password=password_hash)
    accounts.end_sessions(connection, ACCOUNTS, name, but=but)
    if actor != f"user:{name}":
        tokens.revoke_of(connection, name, actor=actor, now_ms=now_ms)
        for key in passkeys.of_user(connection, PASSKEYS, name):
            passkeys.take(connection, PASSKEYS, write, name, key.id, actor=actor, now_ms=now_ms)
    record(connection, Act(actor, "user.password", name, {}), now_ms)


def second_from_ms(connection: Connection, first: str, second: str, now_ms: int) -> int | None:
    """Return from when actor ``second`` may be the other person where ``first`` asked and two are needed.

    None: never, they are one person. A time to come: both were in one hand within SECOND_AFTER_MS. An account
    is in its own hand, in that of who made it or gave it its password, and in whatever hand that one was in.
    So neither an account that somebody made, nor two of them, nor one made by another stands in for a second
    person. Nobody is kept from it for longer, and the journal tells of all these acts. 0: now, and anybody if
    ``first`` is empty.
    """
    one, other = person_of(first), person_of(second)
    if not one:
        return 0
    if one == other:
        return None
    given, from_ms = _given(connection, now_ms)
    mine, theirs = _hands(given, one), _hands(given, other)
    return max(from_ms, *(min(mine[hand], theirs[hand]) for hand in mine.keys() & theirs.keys()), 0)


def why_not_second(from_ms: int | None) -> str:
    """Return what to say to whom :func:`second_from_ms` keeps from it: who may, and from when."""
    if from_ms is None:
        return "two people are needed, and this is the one who asked: another administrator has to do it"
    when = datetime.fromtimestamp(from_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return (
        "two people are needed, and this account and that of who asked were in one hand within a week (one"
        " made the other or gave it its password, or somebody did so with both, directly or by way of other"
        f" accounts): another administrator has to do it, or this account from {when} on"
    )


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
    record(connection, Act(actor, "session.ended", found[0].name, {}), now_ms)


def _keep_an_administrator(connection: Connection, user: User) -> None:
    others = [
        each
        for each in everybody(connection)
        if each.role == Role.ADMINISTRATOR and each.active and each.name != user.name
    ]
    if user.role == Role.ADMINISTRATOR and user.active and not others:
        raise AdminRefused(
            "last-administrator", f"{user.name} is the last administrator: make another one first"
        )


def _given(connection: Connection, now_ms: int) -> tuple[_Given, int]:
    """Return who made which account or gave it its password within SECOND_AFTER_MS, and 0.

    With more than HANDS_READ of them the oldest are left out, and instead of 0 comes the time when they do
    not count any more: nobody is a second person before.

    What the machine's command line made is in nobody's hand: whoever has its shell has the database. But
    ``cli:NAME`` is NAME, if NAME is an account here. Not so for what was made until the hub had its second
    administrator: one person at the shell has to make both, and they may be two from the first day on.
    """
    last_ms, last = func.max(audit.c.at_ms), func.max(audit.c.number)
    found = connection.execute(
        select(audit.c.subject, audit.c.actor, last_ms.label("at_ms"), last.label("number"))
        .where(audit.c.action.in_(("user.added", "user.password")), audit.c.at_ms > now_ms - SECOND_AFTER_MS)
        .group_by(audit.c.subject, audit.c.actor)
        .order_by(last_ms.desc())
        .limit(HANDS_READ + 1)
    ).all()
    begun = _two_administrators(connection)
    named = {user.name for user in everybody(connection)}
    given: _Given = {}
    for row in found[:HANDS_READ]:
        hand = person_of(row.actor)
        if row.actor.startswith("cli:") and (hand not in named or begun is None or row.number <= begun):
            continue
        hands = given.setdefault(row.subject, {})
        hands[hand] = max(hands.get(hand, 0), row.at_ms + SECOND_AFTER_MS)
    return given, found[HANDS_READ].at_ms + SECOND_AFTER_MS if found[HANDS_READ:] else 0


def _two_administrators(connection: Connection) -> int | None:
    """Return the number of the entry by which the hub had two administrators; None: it has not yet."""
    added = select(audit.c.number).where(
        audit.c.action == "user.added",
        audit.c.details == details_text({"role": str(Role.ADMINISTRATOR)}),
    )
    return connection.execute(added.order_by(audit.c.number).offset(1).limit(1)).scalar_one_or_none()


def _hands(given: _Given, name: str) -> dict[str, int]:
    """Return in whose hands an account was, each with until when that counts: its own for ever.

    Of several ways to one hand the one that counts longest; a way counts until its first step does not.
    Each account is looked at once.
    """
    until: dict[str, int] = {}
    ways = [(-_FOR_EVER_MS, name)]
    while ways:
        neg_ms, hand = heappop(ways)
        if hand in until:
            continue
        until[hand] = -neg_ms
        for before, until_ms in given.get(hand, {}).items():
            heappush(ways, (max(neg_ms, -until_ms), before))
    return until
