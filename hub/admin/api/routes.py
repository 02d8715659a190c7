"""What a route of the console's API is, who asks, and how lists are paged.

A handler that looks returns what to say. A handler that changes something returns the operation that does it:
what is slow or needs no transaction is done before, and the operation runs in the one in which its answer is
kept (:mod:`hub.admin.api.once`).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Protocol, TypeVar

from msgspec import Meta, Struct
from sqlalchemy import Connection

from hub.admin.console.context import Console
from hub.admin.roles import Permission
from hub.admin.tokens import Holder
from runtime.web.problems import ApiError
from runtime.web.routes import Media, Route

LISTED: Final = 50
"""Items in one answer, at most and unless fewer are asked for."""
CURSOR_CHARS: Final = 200
KEY_CHARS: Final = 255
IDEMPOTENCY_KEY: Final = "Idempotency-Key"
_T = TypeVar("_T")

Limit = Annotated[int, Meta(ge=1, le=LISTED, description="how many items")]
Cursor = Annotated[str, Meta(max_length=CURSOR_CHARS, description="`next` of the page before")]
Operation = Callable[[Connection], Struct]


class Paged(Protocol):
    """A query that asks for a page."""

    @property
    def limit(self) -> int:
        """How many items."""

    @property
    def cursor(self) -> str | None:
        """Where to go on."""


class PageQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which page of a list that has no filters."""

    limit: Limit = LISTED
    cursor: Cursor | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """One request, read and admitted."""

    console: Console
    holder: Holder
    path: Mapping[str, str]
    query: Any
    body: Any
    now_ms: int

    @property
    def actor(self) -> str:
        """Who asks, as the journal names it."""
        return self.holder.token.actor

    def read(self, operation: Callable[[Connection], _T]) -> _T:
        """Return what a reading transaction says."""
        return self.console.read(operation)


@dataclass(frozen=True, slots=True)
class Text:
    """An answer that is no JSON of ours."""

    content: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class AdminRoute(Route):
    """A route of the console. ``needs``: the permission; ``changes``: it wants an ``Idempotency-Key``."""

    needs: str = ""
    changes: bool = False

    @property
    def headers(self) -> list[dict[str, Any]]:
        """The key of a changing request."""
        if not self.changes:
            return []
        schema = {"type": "string", "minLength": 1, "maxLength": KEY_CHARS, "pattern": "^[!-~]+$"}
        text = "a name of your own for this request, the same when you send it again"
        return [
            {"name": IDEMPOTENCY_KEY, "in": "header", "required": True, "schema": schema, "description": text}
        ]


def look(
    path: str, name: str, summary: str, needs: Permission, handler: Callable[[Ask], Struct | Text],
    answer: type[Struct] | Media, *, query: type[Struct] | None = None, missing: bool = False,
) -> AdminRoute:  # fmt: skip
    """Return a route that only looks; ``missing``: what it is about may not be there."""
    problems = (403, 404) if missing else (403,)
    return AdminRoute(
        "GET", path, name, summary, handler, {200: answer}, query=query, problems=problems, needs=needs
    )


def weigh(
    path: str, name: str, summary: str, needs: Permission, handler: Callable[[Ask], Struct],
    answer: type[Struct], body: type[Struct],
) -> AdminRoute:  # fmt: skip
    """Return a route that looks at what is sent and changes nothing."""
    problems = (403, 404, 413, 415)
    return AdminRoute(
        "POST", path, name, summary, handler, {200: answer}, body=body, problems=problems, needs=needs
    )


def change(
    path: str, name: str, summary: str, needs: Permission, handler: Callable[[Ask], Operation],
    answer: type[Struct], body: type[Struct] | None = None, *, status: int = 200, method: str = "POST",
) -> AdminRoute:  # fmt: skip
    """Return a route that changes something."""
    problems = (403, 404, 409, 507) if body is None else (403, 404, 409, 413, 415, 507)
    return AdminRoute(
        method, path, name, summary, handler, {status: answer}, body=body, problems=problems,
        needs=needs, changes=True,
    )  # fmt: skip


# ── pages ──────────────────────────────────────────────────────────────────────────────────


def after(query: Paged, what: str) -> str:
    """Return behind which key of the list ``what`` a page begins, empty for the first; ApiError (422)."""
    if query.cursor is None:
        return ""
    try:
        padded = query.cursor + "=" * (-len(query.cursor) % 4)
        of, _, key = base64.b64decode(padded, b"-_", validate=True).decode("utf-8").partition(":")
    except (binascii.Error, ValueError):
        of, key = "", ""
    if of != what or not key or "\x00" in key:
        raise ApiError(422, "bad-cursor", "cursor: not one that this list gave out as `next`")
    return key


def after_number(query: Paged, what: str) -> int:
    """Return the number behind which a page begins, 0 for the first; ApiError (422)."""
    key = after(query, what) or "0"
    if not (key.isascii() and key.isdigit() and int(key) < 1 << 63):
        raise ApiError(422, "bad-cursor", "cursor: not one that this list gave out as `next`")
    return int(key)


def page(
    query: Paged, what: str, rows: Sequence[_T], key: Callable[[_T], object]
) -> tuple[Sequence[_T], str | None]:
    """Return the rows of one page, and the cursor of the next; ``rows`` begin behind :func:`after`.

    Behind ``LISTED`` rows there may be more or not: the next page may be empty.
    """
    shown = rows[: query.limit]
    more = len(rows) > len(shown) or len(rows) >= LISTED
    return shown, cursor(what, key(shown[-1])) if more else None


def cursor(what: str, key: object) -> str:
    """Return where the list ``what`` goes on behind ``key``, as text that is only to be given back."""
    return base64.urlsafe_b64encode(f"{what}:{key}".encode()).decode("ascii").rstrip("=")
