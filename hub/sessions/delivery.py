"""Handing messages out: from spool rows to DELIVER to TAKEN, in order.

The spool is read in order of sequence, STAT before ROUTINE, a little ahead of what the
window allows. A message with attachments is a barrier for its lane (same sender, same
recipient, same priority): the node takes it only when all chunks have come, so what
follows it in that lane waits here, and other lanes pass. Only so many rows wait in memory.
Of a lane that is longer, the place of the first row left out is remembered, and reading
begins again from there when its barrier is gone: neither a large file nor a long queue
behind it keeps another sender waiting.

An attachment is asked for by its id alone. Ids are random; a message that names the id of
another facility's attachment which is being fetched just now waits like one behind a barrier.

A row that is read is compared with the digest in the ledger. What the disk has spoiled is never sent:
it goes back to its sender, who still has it.

While the session has caught up with the table, what is committed is handed to it and need not be
read. It falls behind when window or memory are full, and catches up by reading.

People may hold a queue, or single rows of it (``hub.spool.holds``), which a session knows when it begins: a
stopped row is left out with its lane. When a queue is paused later, the session is frozen until it ends.

Sent and unanswered rows are known only in memory. After a cut they are sent again, and the
node, which knows what it has, answers the same again.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection

from crypto.filestream import chunk_count
from hub.core import HubCore
from hub.peers import store as peers
from hub.routing.route import Reason
from hub.sessions.disposal import forget_files
from hub.spool import store
from hub.spool.holds import NOTHING
from hub.spool.store import News, Queued
from protocols.link import frames as f
from protocols.link import limits
from protocols.link.envelope import (
    Priority,
    State,
    check_receipt,
    decode_envelope,
    decode_message,
    facility_of,
)
from protocols.link.errors import RemoteError
from runtime.logs import event
from runtime.tasks import spawn, start

if TYPE_CHECKING:
    from hub.sessions.session import HubSession

ROWS_PER_READ: Final = 128
HELD_ROWS: Final = 256
LANE_ROWS: Final = 64
"""Of ``HELD_ROWS``, what one lane may have behind its barrier."""
PENDING_BYTES: Final = 1_024 * 1_024
_DELIVERY_OVERHEAD_BYTES: Final = limits.ADDRESS_CHARS + 40

_LOG = logging.getLogger(__name__)
_Lane = tuple[str, str, Priority]


@dataclass(frozen=True, slots=True)
class Offered:
    """An attachment that the node may fetch: whose it is, and how many chunks it has."""

    owner: str
    chunks: int


class Delivery:
    """The DELIVER side of one session."""

    def __init__(self, hub: HubCore, session: HubSession) -> None:
        self._hub = hub
        self._session = session
        self._after = {Priority.STAT: 0, Priority.ROUTINE: 0}
        self._sent: dict[int, tuple[Queued, Priority]] = {}
        self._ready: dict[Priority, list[Queued]] = {priority: [] for priority in self._after}
        self._barriers: dict[_Lane, deque[Queued]] = {}
        self._skipped: dict[_Lane, int] = {}
        self._clashing: dict[_Lane, None] = {}  # a set takes three times as much memory, empty
        self._here: set[int] = set()
        self._released: set[int] = set()
        self._offered: dict[bytes, Offered] = {}
        self._uses: Counter[bytes] = Counter()
        self._caught_up = dict.fromkeys(self._after, False)
        self._missed: dict[Priority, None] = {}
        self._stopped: frozenset[int] = NOTHING
        self._seen_seq = 0
        self._frozen = False
        self._started = False
        self._running = False
        self._again = False
        self._more = False

    def start(self, *, queued: bool, seen_seq: int, paused: bool, stopped: frozenset[int]) -> None:
        """Begin: that the node is connected has been committed; ``queued`` says whether anything waited then.

        What was committed since then, this has been told. Sessions before may have been sent what is up to
        ``seen_seq``.
        """
        self._started = True
        self._seen_seq, self._stopped, self._frozen = seen_seq, stopped, self._frozen or paused
        if not queued:
            self._caught_up = {priority: priority not in self._missed for priority in self._after}
        if not all(self._caught_up.values()):
            self.wake()

    def freeze(self) -> int | None:
        """Send nothing any more; returns the last number that this session or those before may have sent.

        None before the beginning.
        """
        self._frozen = True
        return max(self._seen_seq, *self._sent, 0) if self._started else None

    def wake_if_waiting(self) -> None:
        """Look again if the last look ended for want of room."""
        if self._more:
            self.wake()

    def hand(self, rows: Sequence[Queued]) -> None:
        """Take rows that were committed just now; they are in the table as well.

        They go out at once if all rows before them did, and window and memory allow it. If not, or if none
        are given (there may be any), the table is read.
        """
        by_priority: dict[Priority, list[Queued]] = {priority: [] for priority in self._after}
        for row in rows:
            by_priority[Priority(row.priority)].append(row)
        for priority, ours in by_priority.items():
            if ours or not rows:
                self._hand(ours, priority)

    def _hand(self, rows: list[Queued], priority: Priority) -> None:
        link = self._session.link.session
        if (
            rows
            and self._caught_up[priority]
            and not self._frozen
            and not self._ready[priority]
            and link.open
            and link.window_left >= len(rows)
            and link.pending_bytes <= PENDING_BYTES
        ):
            # A look at the table may have been faster than the word of the commit.
            fresh = [row for row in rows if row.seq > self._after[priority]]
            self._after[priority] = max(self._after[priority], rows[-1].seq)
            self._dispatch(fresh, priority)
            self._drain()
        else:
            self._caught_up[priority] = False
            self._missed[priority] = None
            self.wake()

    def wake(self) -> None:
        """Look for messages to deliver."""
        self._again = True
        if self._started and not self._running and not self._frozen and self._session.link.session.open:
            self._running = True
            spawn(self._run(), lambda error: self._session.again(error, self.wake))

    def offered(self, attachment: bytes) -> Offered | None:
        """Return an attachment of a message that is now on its way to this node, None for any other."""
        return self._offered.get(attachment)

    async def _run(self) -> None:
        try:
            while self._again and self._session.link.session.open:
                self._again = self._more = False
                self._drain()
                for priority in self._after:
                    await self._fetch(priority)
        finally:
            self._running = False

    async def _fetch(self, priority: Priority) -> None:
        link = self._session.link.session
        if self._ready[priority] or link.window_left <= 0 or link.pending_bytes > PENDING_BYTES:
            self._more = True
            return
        if self._caught_up[priority]:
            return
        after, facility = self._after[priority], self._session.facility
        self._missed.pop(priority, None)
        self._released.clear()
        found = await self._hub.database.read(
            lambda connection: self._queue(connection, facility, int(priority), after)
        )
        if found is None:
            self._session.replaced()
            return
        rows, spoiled = found
        if self._after[priority] != after:
            # Set back meanwhile: these may not overtake the rows that were left out, and are read again.
            self._again = True
            return
        self._caught_up[priority] = not rows and priority not in self._missed
        if not self._caught_up[priority]:
            self._again = True
        if rows:
            self._after[priority] = rows[-1].seq
        # What was answered while this was read is no longer in the table.
        waiting = [row for row in rows if row.seq not in self._released]
        gone = [row for row in waiting if row in spoiled]
        for row in gone:
            self._hub.metrics.returned(store.kind_of(row.message), row.priority, Reason.DAMAGED)
        self._return_damaged(gone, "message-damaged")
        self._dispatch([row for row in waiting if row not in spoiled], priority)
        self._drain()

    def _queue(
        self, connection: Connection, facility: str, priority: int, after: int
    ) -> tuple[list[Queued], list[Queued]] | None:
        """Return the next rows, and those of them that the disk has spoiled.

        None if the facility is with another process, to which alone they may go.
        """
        if self._hub.shared and not peers.owns(connection, self._hub.number, facility):
            return None
        rows = store.queue(connection, facility, priority, after, ROWS_PER_READ)
        return rows, store.damaged(connection, rows)

    def _dispatch(self, rows: list[Queued], priority: Priority) -> None:
        """Make rows ready, in order; hold or skip those that may not go yet."""
        for row in rows:
            lane = row.sender, row.recipient, priority
            if row.seq in self._here or self._skipped.get(lane, row.seq + 1) <= row.seq:
                continue
            if row.seq in self._stopped:
                self._skipped[lane] = row.seq
                continue
            barrier = self._barriers.get(lane)
            if barrier is not None:
                self._hold(row, lane, barrier)
                continue
            if row.files:
                if not self._own(row):
                    self._skipped[lane] = row.seq
                    self._clashing[lane] = None
                    continue
                self._barriers[lane] = deque()
            self._here.add(row.seq)
            self._ready[priority].append(row)

    def _hold(self, row: Queued, lane: _Lane, barrier: deque[Queued]) -> None:
        if len(barrier) < LANE_ROWS and sum(map(len, self._barriers.values())) < HELD_ROWS:
            self._here.add(row.seq)
            barrier.append(row)
        else:
            self._skipped[lane] = row.seq

    def _set_back(self, lane: _Lane) -> None:
        """Read again from the first row of a lane that was left out."""
        seq = self._skipped.pop(lane, None)
        self._clashing.pop(lane, None)
        if seq is not None:
            self._after[lane[2]] = min(self._after[lane[2]], seq - 1)
            self._caught_up[lane[2]] = False
            self._more = True

    def _drain(self) -> None:
        """Send what is ready, as far as window and memory go."""
        link = self._session.link.session
        if self._frozen:
            return
        for priority, ready in self._ready.items():
            while ready and link.open and link.window_left > 0 and link.pending_bytes <= PENDING_BYTES:
                self._send(ready, link.window_left, priority)
            if ready:
                self._more = True

    def _send(self, ready: list[Queued], most: int, priority: Priority) -> None:
        """Send as many rows as fit into one frame."""
        now_ms = self._hub.clock.now_ms() - self._hub.leap_ms()
        frame: list[f.Delivery] = []
        size = 0
        for row in ready[:most]:
            size += len(row.message) + _DELIVERY_OVERHEAD_BYTES
            if frame and size > limits.FRAME_BYTES:
                break
            self._sent[row.seq] = row, priority
            frame.append(f.Delivery(row.seq, row.recipient, max(0, row.expires_ms - now_ms), row.message))
        del ready[: len(frame)]
        self._session.say(f.Deliver(tuple(frame)))

    # ── answers ────────────────────────────────────────────────────────────────────────

    def taken(self, frame: f.Taken) -> None:
        """Commit what the node says became of its deliveries."""
        answers = []
        for taking in frame.takings:
            if taking.state not in (State.DELIVERED, State.RETURNED):
                raise RemoteError("malformed", f"TAKEN with state {taking.state.word}")
            if "\0" in taking.code:  # PostgreSQL takes none, and all would be done over in pieces
                raise RemoteError("malformed", "TAKEN with a NUL in a code")
            sent = self._sent.get(taking.sequence)
            if sent is None:
                continue
            row = sent[0]
            if taking.receipt or taking.state is State.DELIVERED:
                check_receipt(taking.receipt, (row.id, row.sender, row.recipient, taking.state))
            news = News(
                0, facility_of(row.sender), row.id, row.recipient, taking.state, taking.code,
                self._hub.clock.now_ms(), taking.receipt,
            )  # fmt: skip
            answers.append((row.seq, news))
        if answers:
            self._conclude(answers)

    def _conclude(self, answers: list[tuple[int, News]]) -> None:
        start(
            lambda: self._hub.commits.conclude(answers).addCallback(self._concluded, answers),
            lambda error: self._session.again(error, lambda: self._conclude(answers)),
        )

    def _concluded(self, _committed: None, answers: list[tuple[int, News]]) -> None:
        ended = [(row, news) for seq, news in answers if (row := self._release(seq)) is not None]
        self._drain()
        self.wake_if_waiting()
        self._hub.metrics.ended(ended)
        with_files = [row.message for row, _ in ended if row.files]
        if with_files:
            spawn(forget_files(self._hub, with_files), self._session.failed)

    def _release(self, seq: int) -> Queued | None:
        sent = self._sent.pop(seq, None)
        if sent is None:
            return None
        row, priority = sent
        self._here.discard(seq)
        if self._running:  # a look that is under way may have read it still
            self._released.add(seq)
        if row.files:
            self._open_lane(row, priority)
        return row

    def _open_lane(self, row: Queued, priority: Priority) -> None:
        """Let go what waited behind a message with attachments."""
        self._disown(row)
        lane = row.sender, row.recipient, priority
        behind = self._barriers.pop(lane, deque())
        self._here.difference_update(held.seq for held in behind)
        self._dispatch(list(behind), priority)
        if lane not in self._barriers:
            self._set_back(lane)
        for clashing in list(self._clashing):
            self._set_back(clashing)

    def _own(self, row: Queued) -> bool:
        """Let the node fetch the attachments of a message; False if one has another's id."""
        owner = facility_of(row.sender)
        refs = decode_envelope(decode_message(row.message).envelope).attachments
        offers = {ref.id: Offered(owner, chunk_count(ref.size)) for ref in refs}
        if any(self._offered.get(identifier, offer).owner != owner for identifier, offer in offers.items()):
            return False
        self._offered.update(offers)
        self._uses.update(offers.keys())
        return True

    def _disown(self, row: Queued) -> None:
        for identifier in set(_files_of(row)):
            self._uses[identifier] -= 1
            if not self._uses[identifier]:
                del self._uses[identifier], self._offered[identifier]
                self._session.no_longer_offered(identifier)

    def damaged(self, attachment: bytes) -> None:
        """Return to its sender the message whose attachment cannot be read any more."""
        rows = [row for row, _ in self._sent.values() if row.files and attachment in _files_of(row)]
        self._return_damaged(rows, "attachment-damaged")

    def _return_damaged(self, rows: Sequence[Queued], what: str) -> None:
        """Return messages to their senders that are not what was accepted any more."""
        answers = []
        for row in rows:
            event(_LOG, logging.ERROR, what, message=row.id.hex(), facility=facility_of(row.sender))
            news = News(
                0, facility_of(row.sender), row.id, row.recipient, State.RETURNED, Reason.DAMAGED,
                self._hub.clock.now_ms(), b"",
            )  # fmt: skip
            answers.append((row.seq, news))
        if answers:
            self._conclude(answers)


def _files_of(row: Queued) -> list[bytes]:
    return [ref.id for ref in decode_envelope(decode_message(row.message).envelope).attachments]
