"""What can be asked: the one table that the application answers by and that the document is made from."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

from flask import Request
from msgspec import Struct
from sqlalchemy import Engine

from nodes.gateways.api.uploads import Uploads
from nodes.gateways.drafting import ValidFor
from nodes.link.identity import Identity
from runtime.clock import Clock

_PARAMETER: Final = re.compile(r"\{(\w+)\}")


class Stream:
    """Bytes as they are (``application/octet-stream``), in place of a struct."""


@dataclass(frozen=True, slots=True)
class Node:
    """What the handlers work on; safe to use from any thread.

    ``wake`` tells the daemon that the tables changed; ``connected`` whether the link to the hub stands;
    ``fatal`` that the disk failed and the process has to end; ``alarm`` takes a code and a text.
    """

    engine: Engine
    identity: Identity
    home: Path
    clock: Clock
    uploads: Uploads
    valid_for: ValidFor
    floor_bytes: int
    wake: Callable[[], object]
    connected: Callable[[], bool]
    fatal: Callable[[BaseException], object]
    alarm: Callable[[str, str], object]


@dataclass(frozen=True, slots=True)
class Call:
    """One request, read: parts of the path, query and body as the route declares them."""

    path: Mapping[str, str]
    query: Any
    body: Any
    request: Request


@dataclass(frozen=True, slots=True)
class Bytes:
    """An answer that is bytes: an open file (closed by whoever sends it) and what to say of it."""

    file: BinaryIO
    size_bytes: int
    name: str
    tag: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What a handler says."""

    status: int
    content: Struct | Bytes


@dataclass(frozen=True, slots=True)
class Route:
    """One thing that can be asked. ``answers`` are the good ones, ``problems`` the statuses of its own."""

    method: str
    path: str
    name: str
    summary: str
    handler: Callable[[Node, Call], Answer]
    answers: Mapping[int, type]
    query: type[Struct] | None = None
    body: type | None = None
    problems: tuple[int, ...] = field(default=())

    @property
    def parameters(self) -> list[str]:
        """Names of the parts of the path that vary."""
        return _PARAMETER.findall(self.path)

    @property
    def rule(self) -> str:
        """The path as Flask writes it."""
        return _PARAMETER.sub(r"<\1>", self.path)
