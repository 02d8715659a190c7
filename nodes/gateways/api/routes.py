"""What the routes of the local API work on, and what they have beside JSON: bytes, both ways."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from sqlalchemy import Engine

from nodes.gateways.api.uploads import Uploads
from nodes.gateways.drafting import ValidFor
from nodes.link.identity import Identity
from runtime.clock import Clock
from runtime.web.routes import Media

STREAM: Final = Media(("application/octet-stream",))
"""Bytes as they are, in place of a struct."""


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
class Bytes:
    """An answer that is bytes: an open file (closed by whoever sends it) and what to say of it."""

    file: BinaryIO
    size_bytes: int
    name: str
    tag: str
