"""The desk's door: what people opened is concluded here, where the keys are.

The desk is a process of its own and holds no keys, so it cannot sign that a message was processed. It enters
what somebody opened into ``openings`` and pokes this daemon; the row becomes a signed receipt, with the time
of the opening, and goes away, all in one commit. A lost poke costs ``POLL_S``, never a receipt.
"""

from __future__ import annotations

import logging
from typing import Final

from sqlalchemy import Connection, delete, select

from nodes.link import inbox
from nodes.link.identity import Identity
from nodes.link.post import POLL_S, Post
from nodes.link.tables import openings
from protocols.link.envelope import State
from runtime.clock import Handle
from runtime.logs import event
from runtime.storage_errors import StorageFailed
from runtime.tasks import spawn

AT_ONCE: Final = 200
"""Rows in one commit."""

_LOG = logging.getLogger(__name__)


def conclude_opened(connection: Connection, identity: Identity) -> int:
    """Turn openings into receipts; returns how many there were. Safe to run twice."""
    rows = connection.execute(select(openings).order_by(openings.c.inbox_seq).limit(AT_ONCE)).all()
    for row in rows:
        # One that another door concluded first stays as it was.
        inbox.conclude(connection, identity, row.inbox_seq, State.PROCESSED, row.at_ms)
    if rows:
        connection.execute(delete(openings).where(openings.c.inbox_seq.in_([row.inbox_seq for row in rows])))
    return len(rows)


class DeskDoor:
    """Looks for openings when it is poked, and now and then; reactor's thread."""

    def __init__(self, post: Post) -> None:
        self._post = post
        self._timer: Handle | None = None
        self._busy = self._again = False
        self._stopped = True

    def start(self) -> None:
        """Begin."""
        self._stopped = False
        self._post.on_poke(self._look)
        self._look()

    async def stop(self) -> None:
        """End; what is left waits for the next start."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        if self._stopped:
            return
        if self._busy:
            self._again = True
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._post.clock.call_later(POLL_S, self._look)
        self._busy = True
        spawn(self._conclude(), self._failed)

    async def _conclude(self) -> None:
        try:
            while await self._post.read(_any) and not self._stopped:
                self._again = False
                await self._post.database.write(lambda c: conclude_opened(c, self._post.identity))
                self._post.receipts_queued()
        finally:
            self._busy = False
        if self._again:
            self._again = False
            self._look()

    def _failed(self, error: BaseException) -> None:
        if not isinstance(error, StorageFailed):
            event(_LOG, logging.WARNING, "desk-openings-wait", cause=error)


def _any(connection: Connection) -> bool:
    return connection.execute(select(openings.c.inbox_seq).limit(1)).first() is not None
