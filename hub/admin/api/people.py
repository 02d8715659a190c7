"""Users of the console, their sessions, and the tokens of programs: for administrators."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct
from sqlalchemy import Connection

from hub.admin import tokens, users
from hub.admin.api import routes
from hub.admin.api.routes import Ask, Operation, PageQuery, change, look
from hub.admin.api.shapes import Time, time, time_or_none
from hub.admin.door import DOOR
from hub.admin.errors import NotThere
from hub.admin.roles import NAME, Permission
from runtime.web import accounts, passkeys
from runtime.web.ceremonies import ID_BYTES
from runtime.web.passkeys import Passkey
from runtime.web.passwords import LEAST_CHARS, MOST_CHARS

RoleName = Literal["viewer", "operator", "administrator", "auditor"]
UserName = Annotated[str, Meta(pattern=f"^{NAME.pattern}$", max_length=63)]
Password = Annotated[str, Meta(min_length=LEAST_CHARS, max_length=MOST_CHARS)]


class User(Struct, frozen=True):
    """Somebody with an account; ``signed_in`` is null before the first time."""

    name: str
    role: str
    active: bool
    created: Time
    signed_in: Time | None


class UserList(Struct, frozen=True):
    """Users, by name."""

    items: list[User]
    next: str | None


class NewUser(Struct, frozen=True, forbid_unknown_fields=True):
    """A user to add."""

    name: UserName
    role: RoleName
    password: Password


class NewRole(Struct, frozen=True, forbid_unknown_fields=True):
    """The role that a user gets."""

    role: RoleName


class Access(Struct, frozen=True, forbid_unknown_fields=True):
    """Whether a user may come in."""

    active: bool


class NewPassword(Struct, frozen=True, forbid_unknown_fields=True):
    """A user's new password."""

    password: Password


class SignedIn(Struct, frozen=True):
    """A browser that is signed in."""

    session: str
    created: Time
    seen: Time
    address: str
    browser: str


class SessionList(Struct, frozen=True):
    """Sessions of one user, the last used first."""

    items: list[SignedIn]


class SessionEnd(Struct, frozen=True, forbid_unknown_fields=True):
    """The session to end."""

    session: Annotated[str, Meta(min_length=1, max_length=100)]


class PasskeyEntry(Struct, frozen=True):
    """A passkey; ``passkey`` is hexadecimal."""

    passkey: str
    label: str
    created: Time
    used: Time | None


class PasskeyList(Struct, frozen=True):
    """A user's passkeys, the oldest first."""

    items: list[PasskeyEntry]


class PasskeyRemoval(Struct, frozen=True, forbid_unknown_fields=True):
    """The passkey to remove."""

    passkey: Annotated[str, Meta(pattern="^([0-9a-f][0-9a-f])+$", max_length=2 * ID_BYTES)]


class TokenEntry(Struct, frozen=True):
    """A token without its secret; ``usable``: it counts."""

    name: str
    role: str
    made_by: str
    usable: bool
    created: Time
    expires: Time
    used: Time | None
    revoked: Time | None


class TokenList(Struct, frozen=True):
    """Tokens, by name."""

    items: list[TokenEntry]
    next: str | None


def _user(one: accounts.User) -> User:
    return User(one.name, one.role, one.active, time(one.created_ms), time_or_none(one.signed_in_ms))


def list_users(ask: Ask) -> UserList:
    """List users."""
    query: PageQuery = ask.query
    after = routes.after(query, "users")
    found = [one for one in ask.read(users.everybody) if one.name > after]
    rows, cursor = routes.page(query, "users", found, lambda one: one.name)
    return UserList([_user(one) for one in rows], cursor)


def show_user(ask: Ask) -> User:
    """Show one user."""
    return _user(ask.read(lambda c: users.one(c, ask.path["name"])))


def add(ask: Ask) -> Operation:
    """Add a user; the password is hashed before the transaction."""
    wanted: NewUser = ask.body
    hashed = ask.console.passwords.hash(wanted.name, wanted.password)

    def operation(connection: Connection) -> User:
        made = users.add(connection, wanted.name, wanted.role, hashed, actor=ask.actor, now_ms=ask.now_ms)
        return _user(made)

    return operation


def role(ask: Ask) -> Operation:
    """Give a user another role."""

    def operation(connection: Connection) -> User:
        name = ask.path["name"]
        users.change_role(connection, name, ask.body.role, actor=ask.actor, now_ms=ask.now_ms)
        return _user(users.one(connection, name))

    return operation


def switch(ask: Ask) -> Operation:
    """Let a user in again, or no longer."""

    def operation(connection: Connection) -> User:
        name = ask.path["name"]
        users.switch(connection, name, active=ask.body.active, actor=ask.actor, now_ms=ask.now_ms)
        return _user(users.one(connection, name))

    return operation


def password(ask: Ask) -> Operation:
    """Set a user's password."""
    name = ask.path["name"]
    hashed = ask.console.passwords.hash(name, ask.body.password)

    def operation(connection: Connection) -> User:
        users.change_password(connection, name, hashed, but=None, actor=ask.actor, now_ms=ask.now_ms)
        return _user(users.one(connection, name))

    return operation


def list_sessions(ask: Ask) -> SessionList:
    """List a user's sessions."""
    name = ask.path["name"]

    def look_up(connection: Connection) -> list[accounts.Session]:
        users.one(connection, name)
        return users.sessions(connection, name)

    return SessionList(_sessions(ask.read(look_up)))


def _sessions(found: list[accounts.Session]) -> list[SignedIn]:
    return [
        SignedIn(one.token, time(one.created_ms), time(one.seen_ms), one.address, one.browser)
        for one in found
    ]


def end_session(ask: Ask) -> Operation:
    """End a session."""

    def operation(connection: Connection) -> SessionList:
        name = ask.path["name"]
        users.end_session(connection, ask.body.session, actor=ask.actor, now_ms=ask.now_ms, only_of=name)
        return SessionList(_sessions(users.sessions(connection, name)))

    return operation


def list_passkeys(ask: Ask) -> PasskeyList:
    """List a user's passkeys."""
    name = ask.path["name"]

    def look_up(connection: Connection) -> list[Passkey]:
        users.one(connection, name)
        return passkeys.of_user(connection, DOOR.passkeys, name)

    return PasskeyList(_passkeys(ask.read(look_up)))


def _passkeys(found: list[Passkey]) -> list[PasskeyEntry]:
    return [
        PasskeyEntry(one.id.hex(), one.label, time(one.created_ms), time_or_none(one.used_ms))
        for one in found
    ]


def remove_passkey(ask: Ask) -> Operation:
    """Remove a user's passkey."""
    raw = bytes.fromhex(ask.body.passkey.strip())

    def operation(connection: Connection) -> PasskeyList:
        name = ask.path["name"]
        if not passkeys.take(
            connection, DOOR.passkeys, DOOR.record, name, raw, actor=ask.actor, now_ms=ask.now_ms
        ):
            raise NotThere("no-such-passkey", "there is no such passkey any more")
        return PasskeyList(_passkeys(passkeys.of_user(connection, DOOR.passkeys, name)))

    return operation


def _token(one: tokens.Token, now_ms: int) -> TokenEntry:
    return TokenEntry(
        one.name, one.role, one.made_by, one.usable(now_ms), time(one.created_ms), time(one.expires_ms),
        time_or_none(one.used_ms), time_or_none(one.revoked_ms),
    )  # fmt: skip


def list_tokens(ask: Ask) -> TokenList:
    """List tokens."""
    query: PageQuery = ask.query
    after = routes.after(query, "tokens")
    found = [one for one in ask.read(tokens.listing) if one.name > after]
    rows, cursor = routes.page(query, "tokens", found, lambda one: one.name)
    return TokenList([_token(one, ask.now_ms) for one in rows], cursor)


def revoke_token(ask: Ask) -> Operation:
    """Let a token count no more."""

    def operation(connection: Connection) -> TokenEntry:
        gone = tokens.revoke(connection, ask.path["name"], actor=ask.actor, now_ms=ask.now_ms)
        return _token(gone, ask.now_ms)

    return operation


def _look(path: str, name: str, summary: str, handler: Any, answer: type[Struct], **more: Any) -> Any:
    return look(path, name, summary, Permission.USERS, handler, answer, **more)


def _change(
    path: str, name: str, summary: str, handler: Any, answer: type[Struct], body: type[Struct] | None = None,
    status: int = 200,
) -> Any:  # fmt: skip
    return change(path, name, summary, Permission.USERS, handler, answer, body, status=status)


_ONE: Final = "/users/{name}"
ROUTES: Final = (
    _look("/users", "listUsers", "Users of the console, by name", list_users, UserList, query=PageQuery),
    _change("/users", "addUser", "Add a user", add, User, NewUser, status=201),
    _look(_ONE, "showUser", "One user", show_user, User, missing=True),
    _change(f"{_ONE}/role", "changeRole", "Give a user another role; ends the sessions", role, User, NewRole),
    _change(f"{_ONE}/access", "changeAccess", "Let a user in again, or no longer", switch, User, Access),
    _change(f"{_ONE}/password", "setPassword",
            "Set a user's password; ends the sessions, revokes tokens, removes passkeys", password, User,
            NewPassword),
    _look(f"{_ONE}/sessions", "listSessions", "Where a user is signed in", list_sessions, SessionList,
          missing=True),
    _change(f"{_ONE}/sessions/end", "endSession", "End a session", end_session, SessionList, SessionEnd),
    _look(f"{_ONE}/passkeys", "listPasskeys", "A user's passkeys", list_passkeys, PasskeyList, missing=True),
    _change(f"{_ONE}/passkeys/remove", "removePasskey", "Remove a user's passkey", remove_passkey,
            PasskeyList, PasskeyRemoval),
    _look("/tokens", "listTokens", "Tokens of programs, by name; never their secrets", list_tokens, TokenList,
          query=PageQuery),
    _change("/tokens/{name}/revoke", "revokeToken", "Let a token count no more", revoke_token, TokenEntry),
)  # fmt: skip
