"""The hub's own work on its audit log, beside everything else: take in, sign, have witnessed, look again.

Each minute what became of messages meanwhile is taken in (:mod:`hub.audit.messages`) and, if the log has
grown, a checkpoint is signed and told to the sessions. Each round a page of the log is read and checked,
from the beginning to the end and again after a pause, so a change of the file by somebody else is noticed
in the time that one walk takes: within minutes up to some ten thousand entries. Of several processes on one
database one does it (``HubCore.first``).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection

from hub.audit import growth, messages
from hub.audit.journal import AuditBroken
from hub.audit.verify import Trusted, Walk
from runtime.logs import event

if TYPE_CHECKING:
    from hub.core import HubCore

INTERVAL_S: Final = 60.0
"""Between two checkpoints, and between the end of a walk and the next one."""
BATCHES_PER_ROUND: Final = 16
PAGE: Final = 500
WITNESSES: Final = 64
"""Nodes that are asked to countersign one checkpoint (each costs a millisecond); at the next others are."""

_LOG = logging.getLogger(__name__)


class Auditor:
    """Rounds over the audit log."""

    def __init__(self, hub: HubCore) -> None:
        self._hub = hub
        self._due_s = self._walk_due_s = hub.clock.monotonic_s()
        self._walk: Walk | None = None
        self._told: set[str] = set()
        self._witnessed = 0
        self._turn = 0
        self._witness_disagrees = False

    async def round(self) -> None:
        """Do one round; safe to be cut anywhere."""
        try:
            if self._hub.clock.monotonic_s() >= self._due_s:
                more = self._hub.first and await self.take_in()
                await self.seal()
                if not more:
                    self._due_s = self._hub.clock.monotonic_s() + INTERVAL_S
        except AuditBroken as broken:
            self.distrust(str(broken))
        finally:  # whatever keeps the log from growing: to look at it is what finds out
            if self._hub.first:
                await self._step()

    async def take_in(self) -> bool:
        """Record what became of messages; returns whether there may be more."""
        hub = self._hub
        for _ in range(BATCHES_PER_ROUND):
            batch = await hub.database.read(messages.gather)
            if batch is None:
                return False
            root, now_ms = batch.root, hub.clock.now_ms()

            def enter(
                connection: Connection,
                batch: messages.Batch = batch,
                root: bytes = root,
                now_ms: int = now_ms,
            ) -> object:
                return messages.enter(connection, batch, root, now_ms)

            await hub.database.write(enter)
        return True

    async def seal(self) -> None:
        """Sign what is new, if that is ours to do, and have it witnessed."""
        hub, key = self._hub, self._hub.audit_key
        if key is not None and hub.first:
            now_ms = hub.clock.now_ms()
            await hub.database.write(lambda c: growth.seal(c, key, hub.name, now_ms))
        size, recent = await hub.database.read(lambda c: (growth.size_of(c), growth.recent(c, 2)))
        metrics = hub.metrics.audit
        metrics.entries.set(size)
        metrics.unsigned.set(size - recent[0].size if recent else size)
        metrics.signed_at.set(recent[0].at_ms / 1000 if recent else 0)
        metrics.witnesses.set(len(recent[1].witnesses) if len(recent) > 1 else 0)

        if recent and recent[0].size != self._witnessed:
            self._witnessed = recent[0].size
            self._ask_witnesses()

    def _ask_witnesses(self) -> None:
        """Tell some sessions of the newest checkpoint: those whose turn it is."""
        sessions = self._hub.sessions.everyone()
        asked = 0
        for _ in range(len(sessions)):
            self._turn = (self._turn + 1) % len(sessions)
            asked += sessions[self._turn].checkpoint_made()
            if asked == WITNESSES:
                return

    async def _step(self) -> None:
        """Check one page."""
        hub, now_s = self._hub, self._hub.clock.monotonic_s()
        if self._walk is None:
            if now_s < self._walk_due_s:
                return
            key = hub.audit_key.public if hub.audit_key is not None else None
            self._walk = Walk(Trusted(key, hub.issuer.authority_key, hub.clock.now_ms()), PAGE)
        walk = self._walk
        ended = await hub.database.read(walk.step)
        for fault in walk.report.faults:
            self.distrust(str(fault))
        if ended:
            if walk.report.valid and not self._witness_disagrees:
                hub.metrics.audit.valid.set(1)
                self._told.clear()
            self._walk, self._walk_due_s = None, now_s + INTERVAL_S

    def witness_disagrees(self, text: str) -> None:
        """Take note that a node holds a checkpoint of another history; only a restart forgets it."""
        self._witness_disagrees = True
        self.distrust(text)

    def distrust(self, text: str) -> None:
        """Say once, loudly, that the log is not as it was written."""
        self._hub.metrics.audit.valid.set(0)
        if text not in self._told:
            self._told.add(text)
            event(_LOG, logging.ERROR, "audit-broken", fault=text, advice="run `wasl-hub audit verify`")
