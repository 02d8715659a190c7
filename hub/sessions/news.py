"""Telling senders what became of their messages, and taking the later word of recipients.

Events are a numbered stream per facility. The session sends on from the facility's cursor
and moves the cursor when the node says how far it has them in its own tables, if not at once;
after a cut it begins again at the cursor, and the node ignores what it knows.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection

from hub.core import HubCore
from hub.spool import store
from hub.spool.store import News
from protocols.link import frames as f
from protocols.link import limits
from protocols.link.envelope import State, check_receipt, facility_of
from protocols.link.errors import RemoteError
from runtime.tasks import spawn

if TYPE_CHECKING:
    from hub.sessions.session import HubSession

_EVENT_OVERHEAD_BYTES: Final = limits.ADDRESS_CHARS + limits.REASON_CODE_CHARS + 60


class NewsFeed:
    """The EVENTS and RECEIPTS side of one session."""

    def __init__(self, hub: HubCore, session: HubSession) -> None:
        self._hub = hub
        self._session = session
        self._sent_up_to: int | None = None
        self._unread: list[int] = []
        self._running = False
        self._again = False
        self._caught_up = False
        self._missed = False

    def start(self, events_taken: int, *, unread: bool) -> None:
        """Begin at the facility's cursor; ``unread`` says whether there were events behind it.

        What was committed since then, this has been told.
        """
        if unread or self._missed or self._running or self._sent_up_to is not None:
            self.wake()
        else:
            self._sent_up_to = events_taken
            self._caught_up = True

    def hand(self, news: Sequence[News]) -> None:
        """Take events that were committed just now; they are in the table as well.

        They are told at once if all before them were and there is room. If not, or if none are given (there
        may be any), the table is read.
        """
        if news and self._caught_up and self._session.link.session.open and self._room >= len(news):
            # A look at the table may have been faster than the word of the commit.
            fresh = [one for one in news if one.seq > (self._sent_up_to or 0)]
            if fresh:
                self._tell(fresh)
        else:
            self._caught_up = False
            self._missed = True
            self.wake()

    def wake(self) -> None:
        """Look for events to tell."""
        self._again = True
        if not self._running and self._session.link.session.open:
            self._running = True
            spawn(self._run(), lambda error: self._session.again(error, self.wake))

    @property
    def _room(self) -> int:
        return limits.RECEIPT_WINDOW - len(self._unread)

    async def _run(self) -> None:
        hub, facility = self._hub, self._session.facility
        try:
            while self._again and self._session.link.session.open:
                self._again = False
                if self._caught_up or self._room <= 0:
                    return
                self._missed = False
                look = partial(_news, facility=facility, after=self._sent_up_to, room=self._room)
                found, after = await hub.database.read(look)
                self._caught_up = not found and not self._missed
                if not self._caught_up:
                    self._again = True
                if found:
                    self._tell(found)
                else:
                    self._sent_up_to = after
        finally:
            self._running = False

    def _tell(self, found: Sequence[News]) -> None:
        frame: list[f.Event] = []
        size = 0
        for news in found:
            event_bytes = len(news.receipt) + _EVENT_OVERHEAD_BYTES
            if frame and size + event_bytes > limits.FRAME_BYTES:
                self._session.say(f.Events(tuple(frame)))
                frame, size = [], 0
            frame.append(
                f.Event(news.seq, news.id, news.recipient, news.state, news.code, news.at_ms, news.receipt)
            )
            size += event_bytes
            self._unread.append(news.seq)
        self._session.say(f.Events(tuple(frame)))
        self._sent_up_to = found[-1].seq

    def read(self, frame: f.EventsTaken) -> None:
        """Move the cursor: the node has committed events up to here."""
        if self._sent_up_to is None or frame.up_to > self._sent_up_to:
            raise RemoteError("malformed", f"EVENTS_TAKEN up to {frame.up_to}, sent were {self._sent_up_to}")
        del self._unread[: bisect_right(self._unread, frame.up_to)]
        self._hub.commits.read_up_to(self._session.facility, frame.up_to)
        if not self._caught_up:
            self.wake()

    # ── receipts from this node, for the senders of what it got ────────────────────────

    def receipts(self, frame: f.Receipts) -> None:
        """Commit what applications said of messages that were delivered to this node."""
        if not frame.items:
            return
        for item in frame.items:
            if facility_of(item.recipient) != self._session.facility:
                raise RemoteError("not-yours", f"a receipt of {item.recipient}")
            if item.state not in (State.PROCESSED, State.REFUSED):
                raise RemoteError("malformed", f"a receipt with state {item.state.word}")
            check_receipt(item.receipt, (item.id, item.sender, item.recipient, item.state))
        spawn(self._store(frame.items), self._session.failed)

    async def _store(self, items: tuple[f.ReceiptItem, ...]) -> None:
        await self._hub.commits.receipts(items)
        self._session.say(f.ReceiptsStored(max(item.sequence for item in items)))


def _news(connection: Connection, *, facility: str, after: int | None, room: int) -> tuple[list[News], int]:
    if after is None:
        after = store.events_taken(connection, facility)
    return store.news_for(connection, facility, after, room), after
