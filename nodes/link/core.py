"""What the parts of a node's link share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from nodes.link.identity import Identity
from nodes.link.metrics import LinkMetrics
from nodes.link.post import Post
from nodes.link.trust import Trust
from runtime.clock import Clock
from runtime.database import Database
from runtime.executors import Executor
from runtime.version import VERSION

SOFTWARE: Final = f"wasl-node/{VERSION}"
INCOMING: Final = "incoming"


@dataclass(slots=True)
class LinkCore:
    """One running node's side of the link. ``trust`` is replaced when the address book changes."""

    post: Post
    file_worker: Executor
    metrics: LinkMetrics
    random: Random
    trust: Trust
    floor_bytes: int

    @property
    def identity(self) -> Identity:
        """Who this node is."""
        return self.post.identity

    @property
    def home(self) -> Path:
        """The node's home."""
        return self.post.home

    @property
    def clock(self) -> Clock:
        """The clock."""
        return self.post.clock

    @property
    def database(self) -> Database:
        """The node's tables."""
        return self.post.database

    async def reload_trust(self) -> None:
        """Take up changes of the address book."""
        authority = self.identity.authority_key
        self.trust = await self.database.read(lambda connection: Trust.load(connection, authority))
