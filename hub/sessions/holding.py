"""Queues that people hold back, as the sessions of this process know them (:mod:`hub.spool.holds`).

The tables are the truth. They are read in the very transaction that notes that a session begins, every round,
and when somebody pokes; the latest reading counts, by its number. A session never changes its mind: what
holds when it begins holds until it ends. So when something is held or let go, the facility's session ends and
its node comes back after a second.

A session whose queue is paused is frozen first. When the table knows how far it had sent, it ends. So nothing
is ever taken for undelivered that was on its way, and nothing is sent from memory that the table has
meanwhile returned. A session that begins paused has sent nothing and stays.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from hub.spool import holds
from hub.spool.ageing import Waiting
from hub.spool.holds import Holds
from protocols.link import frames as f
from runtime.logs import event
from runtime.storage_errors import StorageError
from runtime.tasks import spawn

if TYPE_CHECKING:
    from hub.core import HubCore
    from hub.sessions.session import HubSession

_LOG = logging.getLogger(__name__)


class Holding:
    """What is held back, for one process."""

    def __init__(self, hub: HubCore) -> None:
        self._hub = hub
        self._now = Holds()
        self._marks: dict[str, tuple[int, HubSession | None]] = {}
        """By facility: what the table is to be told, and the session that ends then."""

    async def reload(self) -> None:
        """Take up what changed; raises StorageError."""
        if await self._hub.database.read(holds.version) != self._now.version:
            found = await self._hub.database.read(holds.look)
            if found.version < self._now.version:
                # Either a session brought a later reading meanwhile, or the database went back: ask again.
                found = await self._hub.database.read(holds.look)
                self._now = Holds() if found.version < self._now.version else self._now
            self._take(found)
        await self._say()

    def began(self, facility: str, waiting: Waiting) -> tuple[bool, frozenset[int]]:
        """Return whether a facility whose session begins is paused, and what is stopped of its queue."""
        self._take(waiting.held, but=facility)
        if facility in self._now.paused and facility in self._now.unsaid:
            self._marks[facility] = waiting.seen_seq, None
            spawn(self._say(), self._not_said)
        return facility in self._now.paused, self._now.stopped_of(facility)

    def _take(self, found: Holds, but: str = "") -> None:
        """Take up a reading, unless a later one is known; the session of ``but`` begins with it."""
        if found.version <= self._now.version:
            return
        before, self._now = self._now, found
        for facility in sorted(before.facilities | found.facilities):
            # Let go and paused again between two readings is a pause like the one before, but not yet held.
            changed = before.of(facility) != found.of(facility) or facility in found.unsaid
            session = self._hub.sessions.get(facility)
            if not changed or session is None:
                continue
            paused, stopped = found.of(facility)
            event(
                _LOG, logging.WARNING, "queue-held" if paused or stopped else "queue-let-go",
                facility=facility, paused=paused, stopped=len(stopped),
            )  # fmt: skip
            if facility == but:
                continue
            mark = session.freeze() if paused and facility in found.unsaid else -1
            if mark == -1:
                _end(session)
            elif mark is not None:
                self._marks[facility] = mark, session
            # None: it has yet to begin, and will do so paused.

    async def _say(self) -> None:
        """Let the table know how far sessions had sent that send nothing any more; then they end."""
        if not self._marks:
            return
        marks, self._marks = self._marks, {}
        numbers = {facility: mark for facility, (mark, _) in marks.items()}
        try:
            await self._hub.database.write(lambda c: holds.say_held(c, numbers, self._hub.number))
        except StorageError:
            self._marks = {**marks, **self._marks}
            raise
        for _, session in marks.values():
            if session is not None:
                _end(session)

    def _not_said(self, error: BaseException) -> None:
        event(_LOG, logging.WARNING, "pause-not-noted", cause=error)


def _end(session: HubSession) -> None:
    session.link.end(f.Goodbye.RESTARTING, "what is held of this queue was changed", retry_after_s=1)
