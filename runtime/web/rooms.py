"""What the pages of a web process work on, and who asks: the same at the hub's console and at a desk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from flask import g
from sqlalchemy import Connection, Engine
from werkzeug.wrappers import Response as BaseResponse

from runtime import transactions
from runtime.clock import Clock
from runtime.web import signin
from runtime.web.accounts import Session, User
from runtime.web.passwords import Passwords
from runtime.web.site import SitePlan

COOKIE: Final = "wasl-session"
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Room:
    """One web process; any thread. ``poke`` tells its daemon that tables changed, and whether it runs."""

    engine: Engine
    plan: SitePlan
    clock: Clock
    passwords: Passwords
    poke: Callable[[], bool]

    def read(self, operation: Callable[[Connection], _T]) -> _T:
        """Return what a reading transaction says."""
        return transactions.read(self.engine, operation)

    def change(self, operation: Callable[[Connection], _T]) -> _T:
        """Run a transaction that changes something, and tell the daemon."""
        found = transactions.transact(self.engine, operation)
        self.poke()
        return found


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who is signed in, in which session."""

    user: User
    session: Session

    @property
    def name(self) -> str:
        """The account."""
        return self.user.name

    @property
    def actor(self) -> str:
        """The user as audit logs name people."""
        return f"user:{self.user.name}"


def visitor() -> Visitor:
    """Return who asks; only where a page needs a permission."""
    found = g.visitor
    assert isinstance(found, Visitor)
    return found


def give_cookie(room: Room, answer: BaseResponse, token: str) -> None:
    """Let the browser hold a session's token."""
    answer.set_cookie(
        room.plan.cookie(COOKIE), token, path="/", secure=room.plan.secure, httponly=True,
        samesite="Lax", max_age=signin.ABSOLUTE_MS // 1000,
    )  # fmt: skip


def take_cookie(room: Room, answer: BaseResponse) -> None:
    """Take the token back."""
    answer.delete_cookie(
        room.plan.cookie(COOKIE), path="/", secure=room.plan.secure, httponly=True, samesite="Lax"
    )
