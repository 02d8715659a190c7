"""What time does to messages: warnings, returns, and the end of traces. One round every few seconds.

A message whose time is up is returned only if it certainly has not been delivered. If its
recipient is connected, the delivery itself settles it (the node takes nothing expired that
it did not have already). If the recipient is away and may have got it in its last session,
the message stays in doubt, its sender is told, and the recipient's next session settles it.

A wall clock that leaps ahead is not believed for ``HOLD_S``: nothing is returned or forgotten meanwhile, so
that a clock set wrong by a slip and set right again costs nobody's mail. What decides between two rounds that
time is up asks ``HubCore.leap_ms``, and so decides as a round would.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Final

from sqlalchemy import Connection

from hub.core import HubCore
from hub.files.layout import storage_key
from hub.routing.route import Reason
from hub.spool import ageing, history, store
from protocols.link.envelope import decode_envelope, decode_message, facility_of
from protocols.link.errors import RemoteError
from runtime.logs import event

ROUND_S: Final = 2.0
HOUSEKEEPING_ROUNDS: Final = 300
ROWS_PER_ROUND: Final = 500
LEAP_S: Final = 600.0
HOLD_S: Final = 3_600.0
MESSAGES_PER_READ: Final = 200
"""Sealed messages in memory at once: 12 MiB at most."""

_LOG = logging.getLogger(__name__)


class Sweeper:
    """Rounds over the spool and the ledger."""

    def __init__(self, hub: HubCore) -> None:
        self._hub = hub
        self._rounds = 0
        self._wall_ahead_s = self._ahead_s()
        self._held_until_s = 0.0
        hub.leap_ms = lambda: round(self._leap_s() * 1000)

    async def round(self) -> None:
        """Do one round; safe to be cut anywhere."""
        if self._leaps():
            return
        await self._return_expired()
        await self._warn()
        if self._rounds % HOUSEKEEPING_ROUNDS == 0 and self._hub.first:
            await self._forget()
            now_ms = self._hub.clock.now_ms()
            await self._hub.database.write(lambda connection: history.forget(connection, now_ms))
            await self.sweep_files()
        self._rounds += 1

    @property
    def clock_leapt(self) -> bool:
        """Whether rounds are held because wall time has leapt ahead."""
        return bool(self._held_until_s)

    def _ahead_s(self) -> float:
        """Return how far wall time is ahead of monotonic time: only setting the clock changes that."""
        return self._hub.clock.now_ms() / 1000 - self._hub.clock.monotonic_s()

    def _leap_s(self) -> float:
        """Return how far wall time has leapt ahead within the last ``HOLD_S``; 0 if not, or back since."""
        leap_s = self._ahead_s() - self._wall_ahead_s
        over = self._held_until_s and self._hub.clock.monotonic_s() >= self._held_until_s
        return 0.0 if leap_s < LEAP_S or over else leap_s

    def _leaps(self) -> bool:
        """Whether wall time has leapt ahead and is not believed."""
        leap_s = self._leap_s()
        if not leap_s:
            self._wall_ahead_s, self._held_until_s = self._ahead_s(), 0.0
            return False
        if not self._held_until_s:
            self._held_until_s = self._hub.clock.monotonic_s() + HOLD_S
            text = f"set it right within {HOLD_S / 60:.0f} minutes, or messages expire by it"
            event(_LOG, logging.ERROR, "clock-leapt", ahead_s=round(leap_s), advice=text)
        return True

    async def _return_expired(self) -> None:
        hub = self._hub
        now_ms = hub.clock.now_ms()

        def operation(connection: Connection) -> list[ageing.Due]:
            due = ageing.overdue(connection, now_ms, ROWS_PER_ROUND)
            store.conclude(connection, [(one.seq, ageing.return_news(one, _why(one), now_ms)) for one in due])
            return due

        if not await hub.database.read(lambda c: ageing.overdue(c, now_ms, 1)):
            return
        returned = await hub.database.write(operation)
        for one in returned:
            hub.metrics.returned(one.kind, one.priority, _why(one))
            event(_LOG, logging.WARNING, "message-expired", message=one.id.hex(), facility=one.facility)
        hub.metrics.outcomes["returned"].inc(len(returned))
        hub.sessions.news_for({facility_of(one.sender) for one in returned})

    async def _warn(self) -> None:
        hub = self._hub
        now_ms = hub.clock.now_ms()

        def operation(connection: Connection) -> list[ageing.Due]:
            late = ageing.unwarned(connection, now_ms, ROWS_PER_ROUND)
            store.add_events(connection, [ageing.late_news(one, now_ms) for one in late])
            ageing.mark_warned(connection, [one.seq for one in late])
            return late

        if not await hub.database.read(lambda c: ageing.unwarned(c, now_ms, 1)):
            return
        late = await hub.database.write(operation)
        hub.metrics.outcomes["delayed"].inc(len(late))
        hub.sessions.news_for({facility_of(one.sender) for one in late})

    async def _forget(self) -> None:
        hub = self._hub
        before_ms = hub.clock.now_ms() - int(hub.settings.retention.ledger_s * 1000)
        after: int | None = 0
        while after is not None:
            look = partial(ageing.forget, before_ms=before_ms, limit=ROWS_PER_ROUND, after=after)
            _, after = await hub.database.write(look)

    async def sweep_files(self) -> None:
        """Remove attachments that no waiting message names and that are old enough to be forgotten."""
        hub = self._hub
        keep: set[bytes] = set()
        after: tuple[bytes, int] | None = b"", 0
        while after is not None:
            keys, after = await hub.database.read(partial(_keys_to_keep, after=after))
            keep |= keys
        # What was accepted meanwhile is young: its files were looked at then (``AttachmentFiles.has``).
        await hub.files.sweep(keep, int(hub.settings.retention.attachments_s * 1000))


def _why(due: ageing.Due) -> Reason:
    """Return why an overdue copy comes back: of one that may have been delivered nothing else is certain."""
    return Reason.GIVEN_UP if due.again else Reason.EXPIRED


def _keys_to_keep(
    connection: Connection, *, after: tuple[bytes, int]
) -> tuple[set[bytes], tuple[bytes, int] | None]:
    """Return the storage keys that one page of the spool names, and where the next one begins, if any."""
    page = ageing.messages_with_files(connection, after, MESSAGES_PER_READ)
    keys: set[bytes] = set()
    for one in page:
        try:
            envelope = decode_envelope(decode_message(one.message).envelope)
        except RemoteError as fault:
            # Nobody can deliver it, and it must not keep the files of all others for ever.
            event(_LOG, logging.ERROR, "spooled-message-unreadable", message=one.id.hex(), error=str(fault))
            continue
        keys.update(storage_key(envelope.sender_facility, ref.id) for ref in envelope.attachments)
    return keys, (page[-1].id, page[-1].seq) if len(page) == MESSAGES_PER_READ else None
