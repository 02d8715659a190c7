"""What a node forgets, and when: finished messages after their age, and files that nobody owns.

Nothing that waits, came back or was never taken is removed, and nothing that is old by one clock only: the
hub's and ours must agree on the time (:meth:`nodes.link.core.LinkCore.agreed_ms`), and the other facility's
clock with ours on when it was: ours may have been wrong that day. A node that has not heard its hub since it
was started forgets nothing.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Final

from sqlalchemy import Connection, delete, exists, select

from config.node import Retention
from nodes.link import files, outbox
from nodes.link.core import INCOMING, LinkCore
from nodes.link.tables import inbox, inbox_files, outbox_recipients
from nodes.link.tables import outbox as outbox_table
from protocols.link.envelope import State
from runtime.clock import Handle
from runtime.logs import event
from runtime.storage_errors import StorageError
from runtime.tasks import spawn

ROUND_S: Final = 3_600.0
FIRST_S: Final = 30.0
ROWS: Final = 500
SKEW_MS: Final = 86_400_000
"""So far another facility's clock may go ahead; what it says of a later time says nothing."""
ORPHAN_AGES_S: Final = {files.OUTGOING: 86_400.0, INCOMING: 7 * 86_400.0}
"""Sealing may take hours before a put owns the files; a half-fetched attachment waits a week for its hub."""

_LOG = logging.getLogger(__name__)


class Housekeeping:
    """One round an hour."""

    def __init__(self, core: LinkCore, retention: Retention) -> None:
        self._core = core
        self._retention = retention
        self._timer: Handle | None = None

    def start(self) -> None:
        """Begin, soon."""
        self._timer = self._core.clock.call_later(FIRST_S, self._due)

    async def stop(self) -> None:
        """End."""
        if self._timer is not None:
            self._timer.cancel()

    def _due(self) -> None:
        self._timer = self._core.clock.call_later(ROUND_S, self._due)
        spawn(self.round(), lambda error: event(_LOG, logging.WARNING, "housekeeping-failed", cause=error))

    async def round(self) -> None:
        """Do one round."""
        core, now_ms = self._core, self._core.agreed_ms()
        if now_ms is None:
            return
        try:
            for forget, age_s in (
                (forget_sent, self._retention.sent_s),
                (forget_received, self._retention.received_s),
            ):
                before_ms = now_ms - int(age_s * 1000)
                while await core.database.write(partial(forget, before_ms=before_ms, now_ms=now_ms)) == ROWS:
                    pass
            owned = await core.database.read(_owned)
        except StorageError as error:
            event(_LOG, logging.WARNING, "housekeeping-failed", error=str(error))
            return
        await core.file_worker.run(partial(self._remove_orphans, owned, now_ms))

    def _remove_orphans(self, owned: set[str], now_ms: int) -> None:
        """Remove old files that no message owns. Blocking."""
        for name, age_s in ORPHAN_AGES_S.items():
            for path in files.orphans(self._core.home, name, owned, now_ms=now_ms, older_than_s=age_s):
                event(_LOG, logging.INFO, "orphan-removed", file=path.name)
                path.unlink(missing_ok=True)


def _owned(connection: Connection) -> set[str]:
    received = connection.execute(select(inbox_files.c.path)).scalars()
    bodies = connection.execute(select(inbox.c.body_path).where(inbox.c.body_path.is_not(None))).scalars()
    return outbox.owned_files(connection) | set(received) | {path for path in bodies if path}


def forget_sent(connection: Connection, before_ms: int, now_ms: int) -> int:
    """Remove older messages of ours that every recipient has had since before then; returns how many."""
    missing = select(outbox_recipients.c.outbox_seq).where(
        outbox_recipients.c.outbox_seq == outbox_table.c.seq,
        outbox_recipients.c.state.not_in((int(State.DELIVERED), int(State.PROCESSED)))
        | outbox_recipients.c.at_ms.between(before_ms, now_ms + SKEW_MS),
    )
    seqs = list(
        connection.execute(
            select(outbox_table.c.seq)
            .where(outbox_table.c.created_ms < before_ms, ~exists(missing))
            .limit(ROWS)
        ).scalars()
    )
    if seqs:
        connection.execute(delete(outbox_table).where(outbox_table.c.seq.in_(seqs)))
    return len(seqs)


def forget_received(connection: Connection, before_ms: int, now_ms: int) -> int:
    """Remove messages that an application took, and that were sent and came before; returns how many."""
    seqs = list(
        connection.execute(
            select(inbox.c.seq)
            .where(
                inbox.c.state == int(State.PROCESSED),
                inbox.c.received_ms < before_ms,
                ~inbox.c.created_ms.between(before_ms, now_ms + SKEW_MS),
            )
            .limit(ROWS)
        ).scalars()
    )
    if seqs:
        connection.execute(delete(inbox).where(inbox.c.seq.in_(seqs)))
    return len(seqs)
