"""What the parts of a node's link share."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

from twisted.internet.defer import DeferredLock

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
    hub_epoch_ms: float | None = None
    """The hub's wall time when our monotonic time was zero, by its last welcome; None before the first."""
    again_seq: int = 0
    """What we put up to here the hub may have accepted, and forgotten when it was restored; 0: it was not."""
    identity_lock: DeferredLock = field(default_factory=DeferredLock)
    """Held by who changes ``identity.json``."""

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

    def agreed_ms(self) -> int | None:
        """Return the earlier of our wall time and the hub's; None if it was not told since we started.

        For what cannot be taken back: one clock that is set wrong must not make a node forget.
        """
        if self.hub_epoch_ms is None:
            return None
        return min(self.clock.now_ms(), round(self.hub_epoch_ms + self.clock.monotonic_s() * 1000))

    async def reload_trust(self) -> None:
        """Take up changes of the address book."""
        authorities = self.identity.known_authorities
        self.trust = await self.database.read(lambda connection: Trust.load(connection, *authorities))
