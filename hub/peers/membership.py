"""One process among several: its heartbeat, whom it buries, and what it does when it was buried itself.

Hearts are compared, never clocks: a process is dead to another that has beaten ``MISSED_BEATS`` times since
it last saw that one's beats go up. While the database is away nobody beats, so nobody is buried for it.

A process that was stopped for that long and goes on finds its facilities lost and its row gone. It says
goodbye to its nodes, which come back at once, here or elsewhere, and enters under a new number.

Now and then a process looks whether it is said to have facilities that it has not: the word that a session
ended gets lost if the database was away just then. It also frees what is with a number that is no more: a
process that was buried claims under it until its next beat tells it so.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Final

from hub.peers import store
from hub.peers.following import EVERY_S
from hub.spool.ageing import Presence
from protocols.link import frames as f
from runtime.clock import sleep
from runtime.logs import event
from runtime.storage_errors import StorageError
from runtime.tasks import spawn

if TYPE_CHECKING:
    from hub.core import HubCore

BEAT_S: Final = 2.0
MISSED_BEATS: Final = 8
"""Sixteen seconds: longer than anything that a process on a busy machine is held up by."""
TIDY_BEATS: Final = 15

_LOG = logging.getLogger(__name__)


class Membership:
    """The regular work of one process among others."""

    def __init__(self, hub: HubCore, name: str) -> None:
        self._hub = hub
        self._name = name
        self._seen: dict[int, tuple[int, int]] = {}
        """By number: its beats, and how often we have beaten since they last went up."""
        self._running = False
        self._beaten = 0

    def start(self) -> None:
        """Begin to beat and to look."""
        self._running = True
        spawn(self._beats(), self._failed)
        spawn(self._looks(), self._failed)

    async def leave(self) -> None:
        """Go, in good order: what this process had is free at once."""
        self._running = False
        number, now_ms = self._hub.number, self._hub.clock.now_ms()
        try:
            await self._hub.database.write(lambda c: store.bury(c, number, None, now_ms))
        except StorageError as error:
            event(_LOG, logging.WARNING, "leaving-not-noted", cause=error)

    async def _beats(self) -> None:
        while self._running:
            try:
                await self.beat()
            except StorageError as error:
                event(_LOG, logging.WARNING, "heartbeat-failed", cause=error)
            await sleep(self._hub.clock, BEAT_S)

    async def _looks(self) -> None:
        while self._running:
            self._hub.follower.look()
            await sleep(self._hub.clock, EVERY_S)

    async def beat(self) -> None:
        """Beat once, and bury whose heart has stopped."""
        hub = self._hub
        beats = await hub.database.write(partial(store.beat, number=hub.number))
        if hub.number not in beats:
            await self._begin_again()
            return
        self._beaten += 1
        if self._beaten % TIDY_BEATS == 0:
            await self.tidy()
        hub.first = hub.number == min(beats)
        self._seen = {number: self._heard(number, count) for number, count in beats.items()}
        for number, (count, missed) in self._seen.items():
            if number != hub.number and missed >= MISSED_BEATS:
                await self._bury(number, count)

    def _heard(self, number: int, beats: int) -> tuple[int, int]:
        before, missed = self._seen.get(number, (-1, 0))
        return (beats, missed + 1) if beats == before else (beats, 0)

    async def tidy(self) -> None:
        """Give up what is said to be here and is not, or with a process that is no more."""
        hub = self._hub
        if await hub.database.read(store.has_strays):
            now_ms = hub.clock.now_ms()
            await hub.database.write(lambda c: store.free_strays(c, now_ms))
        for facility, software in await hub.database.read(partial(store.owned, number=hub.number)):
            if hub.sessions.get(facility) is None:
                await hub.commits.presence(Presence(facility, connected=False, software=software))

    async def _bury(self, number: int, beats: int) -> None:
        now_ms = self._hub.clock.now_ms()
        if await self._hub.database.write(lambda c: store.bury(c, number, beats, now_ms)):
            event(_LOG, logging.ERROR, "hub-process-dead", number=number)

    async def _begin_again(self) -> None:
        hub = self._hub
        event(_LOG, logging.ERROR, "taken-for-dead", number=hub.number)
        hub.sessions.end_all(f.Goodbye.RESTARTING, "this hub was away for too long")
        name, now_ms = self._name, hub.clock.now_ms()
        hub.number = await hub.database.write(lambda c: store.join(c, name, now_ms))

    def _failed(self, error: BaseException) -> None:
        event(_LOG, logging.ERROR, "membership-ended", cause=error)
