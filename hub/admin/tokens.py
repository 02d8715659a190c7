"""Tokens: by which programs ask the console's API, each with a name, a role and an end.

A token is shown once, when it is made; only its SHA-256 is kept, so whoever reads the database cannot use it.
It may do what its role may, and of a token that a user of the console made no more than that user may at the
time: who is switched off, or gets a lesser role, takes the tokens along. In the journal it is
``token:NAME@MAKER``, because what two people have to agree on is not agreed on by one of them and a program
of the same one (:func:`hub.audit.journal.person_of`). Names are never used twice.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Select, and_, delete, false, func, insert, select, update

from hub.admin import roles
from hub.admin.errors import AdminRefused, NotThere
from hub.admin.tables import ACCOUNTS, api_answers, api_tokens
from hub.audit.journal import Act, person_of, record
from runtime.web import accounts

PREFIX: Final = "wasl_"
"""So that a token that was published by mistake can be searched for."""
TOKEN_BYTES: Final = 32
TEXT_CHARS: Final = 100
"""No token is longer."""
DAY_MS: Final = 86_400_000
VALID_MS: Final = 90 * DAY_MS
LONGEST_MS: Final = 366 * DAY_MS
MOST: Final = 200
"""Tokens that may be used at one time."""
SEEN_EVERY_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class Token:
    """A token without its secret. ``used_ms`` is None before it was used, ``revoked_ms`` until it is revoked.

    ``asleep``: the user of the console who made it is switched off; it counts again when that user does.
    """

    name: str
    role: str
    made_by: str
    created_ms: int
    expires_ms: int
    used_ms: int | None
    revoked_ms: int | None
    asleep: bool = False

    @property
    def actor(self) -> str:
        """The token as the journal names it."""
        return f"token:{self.name}@{person_of(self.made_by)}"

    def ended(self, now_ms: int) -> bool:
        """Return whether it never counts again."""
        return self.revoked_ms is not None or now_ms >= self.expires_ms

    def usable(self, now_ms: int) -> bool:
        """Return whether it counts."""
        return not self.ended(now_ms) and not self.asleep


@dataclass(frozen=True, slots=True)
class Holder:
    """Who asks with a token: it, and what it may do."""

    token: Token
    permissions: frozenset[roles.Permission]


_BY_USER: Final = "user:"
_MAKER: Final = ACCOUNTS.users
_TOKENS: Final[Select[tuple[Any, ...]]] = select(
    *(
        api_tokens.c[name]
        for name in ("name", "role", "made_by", "created_ms", "expires_ms", "used_ms", "revoked_ms")
    ),
    and_(api_tokens.c.made_by.startswith(_BY_USER), ~func.coalesce(_MAKER.c.active, false())),
).outerjoin(_MAKER, api_tokens.c.made_by == _BY_USER + _MAKER.c.name)
"""Rows of :class:`Token`."""


def create(
    connection: Connection, name: str, role: str, *, valid_for_ms: int, actor: str, now_ms: int
) -> tuple[str, Token]:
    """Make a token; returns its text, which is kept nowhere, and what is kept.

    Raises AdminRefused (bad-name, bad-role, bad-validity, token-exists, too-many-tokens).
    """
    if roles.NAME.fullmatch(name) is None:
        raise AdminRefused(
            "bad-name", f"{name[:64]!r} cannot be a token's name: it needs small letters, digits, . - _"
        )
    role = roles.check_role(role)
    if not 0 < valid_for_ms <= LONGEST_MS:
        raise AdminRefused("bad-validity", f"a token is valid for up to {LONGEST_MS // DAY_MS} days")
    if connection.execute(select(api_tokens.c.name).where(api_tokens.c.name == name)).first() is not None:
        raise AdminRefused("token-exists", f"there is, or was, a token {name!r}: take another name")
    usable = api_tokens.c.revoked_ms.is_(None) & (api_tokens.c.expires_ms > now_ms)
    counted = connection.execute(select(func.count()).select_from(api_tokens).where(usable)).scalar_one()
    if counted >= MOST:
        raise AdminRefused("too-many-tokens", f"there are {MOST} tokens: revoke those that nobody uses")
    secret = PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
    token = Token(name, role, actor, now_ms, now_ms + valid_for_ms, None, None)
    connection.execute(
        insert(api_tokens).values(
            name=name, hash=_hash(secret), role=role, made_by=actor, created_ms=now_ms,
            expires_ms=token.expires_ms,
        )
    )  # fmt: skip
    details = {"role": str(role), "expires_ms": str(token.expires_ms)}
    record(connection, Act(actor, "token.created", name, details), now_ms)
    return secret, token


def listing(connection: Connection) -> list[Token]:
    """Return all tokens that ever were, by name."""
    return [Token(*row) for row in connection.execute(_TOKENS.order_by(api_tokens.c.name))]


def one(connection: Connection, name: str) -> Token:
    """Return a token; raises NotThere."""
    row = connection.execute(_TOKENS.where(api_tokens.c.name == name)).one_or_none()
    if row is None:
        raise NotThere("no-such-token", f"there is no token {name[:64]!r}")
    return Token(*row)


def revoke(connection: Connection, name: str, *, actor: str, now_ms: int) -> Token:
    """Let a token count no more, and forget what it was answered. Raises NotThere."""
    found = one(connection, name)
    if found.revoked_ms is None:
        connection.execute(update(api_tokens).where(api_tokens.c.name == name).values(revoked_ms=now_ms))
        connection.execute(delete(api_answers).where(api_answers.c.token == name))
        record(connection, Act(actor, "token.revoked", name, {}), now_ms)
    return one(connection, name)


def revoke_of(connection: Connection, user: str, *, actor: str, now_ms: int) -> None:
    """Revoke what a user of the console made and still counts, or would when the user is let in again."""
    for token in listing(connection):
        if token.made_by == f"{_BY_USER}{user}" and not token.ended(now_ms):
            revoke(connection, token.name, actor=actor, now_ms=now_ms)


def revoke_all(connection: Connection, now_ms: int) -> None:
    """Let no token count that was made so far: those of a backup may have been revoked since."""
    connection.execute(update(api_tokens).where(api_tokens.c.revoked_ms.is_(None)).values(revoked_ms=now_ms))
    connection.execute(delete(api_answers))


def holder(connection: Connection, secret: str, now_ms: int) -> Holder | None:
    """Return who asks with ``secret``; None if that is no token that counts, or its maker may not come in."""
    if len(secret) > TEXT_CHARS:
        return None
    row = connection.execute(_TOKENS.where(api_tokens.c.hash == _hash(secret))).one_or_none()
    token = None if row is None else Token(*row)
    if token is None or not token.usable(now_ms):
        return None
    granted = roles.granted(token.role)
    if token.made_by.startswith(_BY_USER):
        maker = accounts.find_user(connection, ACCOUNTS, person_of(token.made_by))
        granted &= roles.granted("" if maker is None else maker.role)
    return Holder(token, granted)


def seen(connection: Connection, name: str, now_ms: int) -> None:
    """Note that a token was used."""
    connection.execute(update(api_tokens).where(api_tokens.c.name == name).values(used_ms=now_ms))


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
