"""What the parts of a running hub share: its stores, its directory, its clock, its sessions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from config.hub import HubSettings
from crypto.keys import LinkPrivateKey
from hub.directory import store as directory
from hub.directory.service import Issuer
from hub.directory.view import DirectoryView
from hub.files.store import AttachmentStore
from hub.metrics import HubMetrics
from hub.routing.policy import Rules
from hub.sessions.commits import Commits
from hub.spool.store import SpoolSql
from protocols.link import frames as f
from runtime.clock import Clock
from runtime.database import Database
from runtime.home import free_bytes
from runtime.version import VERSION

if TYPE_CHECKING:
    from hub.sessions.registry import Sessions

SOFTWARE: Final = f"wasl-hub/{VERSION}"
ROOM_CACHE_S: Final = 1.0


@dataclass(slots=True)
class HubCore:
    """One running hub. ``view`` is replaced, as a whole, when the directory changes."""

    name: str
    home: Path
    key: LinkPrivateKey
    issuer: Issuer
    settings: HubSettings
    rules: Rules
    clock: Clock
    database: Database
    sql: SpoolSql
    files: AttachmentStore
    view: DirectoryView
    sessions: Sessions
    metrics: HubMetrics
    commits: Commits = field(init=False)
    free: Callable[[Path], int] = free_bytes
    _room: tuple[float, bool] = field(default=(-ROOM_CACHE_S, True))

    def __post_init__(self) -> None:
        self.commits = Commits(self)

    def welcome(self) -> f.Welcome:
        """Return what a node is told on arrival."""
        return f.Welcome(
            software=SOFTWARE,
            now_ms=self.clock.now_ms(),
            submit_window=self.settings.limits.credit_messages,
            max_attachment_bytes=self.settings.limits.max_attachment_bytes,
            directory_version=self.view.version,
        )

    async def reload_directory(self) -> None:
        """Take up changes of the directory and let every session act on them."""
        version = await self.database.read(directory.version)
        if version != self.view.version:
            self.view = await self.database.read(DirectoryView.load)
            self.sessions.directory_changed(self.view)

    def has_room(self) -> bool:
        """Return whether the disk is above its floor; looked up once a second at most."""
        now_s = self.clock.monotonic_s()
        looked_s, room = self._room
        if now_s - looked_s >= ROOM_CACHE_S:
            room = self.free(self.home) >= self.settings.disk.floor_bytes
            self._room = now_s, room
        return room
