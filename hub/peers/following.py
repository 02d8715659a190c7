"""Following what all processes write: which sessions here have to look into the tables, and which to go.

What this process commits itself is handed straight to its sessions as long as it follows directly what is
known already: no other process has written in between. If one has, a *look* finds out for whom. Until the
look has come as far, nothing is handed, because it could overtake a row that nobody here has been told of:
whom a look names reads the table, where everything stands in its order.

A session is cut when a look finds its facility with another process. A look that began before the session's
own claim was committed says nothing about it. All are cut when the numbers have gone back, as after a
fail-over to a standby that had not got everything: a session would wait for numbers that it takes for told.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Final

from hub.peers import store
from hub.peers.store import Position, Written
from protocols.link import frames as f
from runtime.logs import event
from runtime.storage_errors import StorageError, StorageFailed
from runtime.tasks import spawn

if TYPE_CHECKING:
    from hub.core import HubCore

EVERY_S: Final = 1.0
"""Between two looks that nobody asked for."""

_LOG = logging.getLogger(__name__)


class Follower:
    """Knows up to which numbers the sessions here were told of everything."""

    def __init__(self, hub: HubCore, position: Position) -> None:
        self._hub = hub
        self._queued, self._events = position.queued, position.events
        self._running = self._again = False
        self.looks = 0
        """How many looks were begun."""

    def may_hand_queued(self, follows: int, last: int) -> bool:
        """Return whether rows committed here, the first behind ``follows``, may be handed to sessions now.

        If not, their sessions are told by a look.
        """
        if follows == self._queued:
            self._queued = last
            return True
        if last > self._queued:
            self.look()
        return False

    def may_hand_events(self, follows: int, last: int) -> bool:
        """Return the same of events."""
        if follows == self._events:
            self._events = last
            return True
        if last > self._events:
            self.look()
        return False

    def look(self) -> None:
        """Look now, or once more when the present look is done."""
        self._again = True
        if not self._running:
            self._running = True
            spawn(self._run(), self._failed)

    async def _run(self) -> None:
        try:
            while self._again:
                self._again = False
                self.looks += 1
                since = Position(self._queued, self._events)
                ask = partial(store.written_since, number=self._hub.number, since=since)
                written = await self._hub.database.read(ask)
                if written.position.queued < since.queued or written.position.events < since.events:
                    self._begin_anew(written.position)
                else:
                    self._tell(written, self.looks)
        finally:
            self._running = False

    def _begin_anew(self, position: Position) -> None:
        """Part with everybody: numbers that sessions here have seen will be given out again."""
        event(_LOG, logging.ERROR, "database-went-back", queued=position.queued, events=position.events)
        self._queued, self._events = position.queued, position.events
        self._hub.sessions.end_all(f.Goodbye.RESTARTING, "this hub's database was put back")

    def _tell(self, written: Written, look: int) -> None:
        self._queued = max(self._queued, written.position.queued)
        self._events = max(self._events, written.position.events)
        sessions = self._hub.sessions
        for facility in written.lost:
            session = sessions.get(facility)
            if session is not None and session.claimed is not None and session.claimed < look:
                session.replaced()
        sessions.mail_for(written.mail)
        sessions.news_for(written.news)

    def _failed(self, error: BaseException) -> None:
        level = logging.WARNING if isinstance(error, StorageError) else logging.ERROR
        event(_LOG, level, "look-failed", cause=error)
        if not self._hub.shared and not isinstance(error, StorageFailed):
            # Elsewhere there is a look a second anyhow; here nobody would ask again before the next commit.
            self._hub.clock.call_later(EVERY_S, self.look)
