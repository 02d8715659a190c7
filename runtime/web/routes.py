"""What can be asked of an API: a table of routes, by which it answers and from which its document is made.

A route names the structs that really decode what is asked and encode what is said, so the document cannot
say anything else. Requests are read here, before a handler sees them: unknown parameters and fields, wrong
types and what is out of bounds are :class:`runtime.web.problems.ApiError`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from flask import Request
from msgspec import Struct

from runtime.web.problems import ApiError

JSON: Final = "application/json"
_PARAMETER: Final = re.compile(r"\{(\w+)\}")
_SHOWN_CHARS: Final = 60


@dataclass(frozen=True, slots=True)
class Media:
    """A body that is no JSON of ours, in place of a struct: what types it may have."""

    types: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """One request, read: parts of the path, query and body as the route declares them."""

    path: Mapping[str, str]
    query: Any
    body: Any
    request: Request


@dataclass(frozen=True, slots=True)
class Answer:
    """What a handler says: a struct, or what its application knows to send."""

    status: int
    content: object


@dataclass(frozen=True, slots=True)
class Route:
    """One thing that can be asked. ``answers`` are the good ones, ``problems`` the statuses of its own."""

    method: str
    path: str
    name: str
    summary: str
    handler: Callable[..., Any]
    answers: Mapping[int, type[Struct] | Media]
    query: type[Struct] | None = None
    body: type[Struct] | Media | None = None
    problems: tuple[int, ...] = field(default=())

    @property
    def parameters(self) -> list[str]:
        """Names of the parts of the path that vary."""
        return _PARAMETER.findall(self.path)

    @property
    def rule(self) -> str:
        """The path as Flask writes it."""
        return _PARAMETER.sub(r"<\1>", self.path)

    @property
    def headers(self) -> list[dict[str, Any]]:
        """Headers that it wants, as parameters of the document."""
        return []


def query_of(route: Route, asked: Request) -> Any:
    """Return the query as the route declares it; ApiError (422)."""
    if route.query is None:
        if asked.args:
            name = str(next(iter(asked.args)))[:40]
            raise ApiError(422, "bad-query", f"there are no parameters here, but {name!r} was given")
        return None
    try:
        return msgspec.convert(asked.args.to_dict(), route.query, strict=False)
    except msgspec.ValidationError as error:
        raise ApiError(422, "bad-query", f"in the query: {error}") from None


def json_of(route: Route, asked: Request, most_bytes: int) -> Any:
    """Return the body, of JSON, as the route declares it; ApiError (400, 415, 422), RequestEntityTooLarge."""
    assert isinstance(route.body, type)
    asked.max_content_length = most_bytes
    if asked.mimetype != JSON:
        raise ApiError(415, "not-json", f"the body must be {JSON}, not {asked.mimetype[:_SHOWN_CHARS]!r}")
    raw = asked.get_data(cache=False)
    try:
        return msgspec.json.decode(raw, type=route.body)
    except msgspec.ValidationError as error:
        raise ApiError(422, "bad-request", f"in the body: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ApiError(400, "bad-json", f"the body is not JSON: {error}") from None
