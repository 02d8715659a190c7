"""From the outbox to the hub: SUBMIT, and what is answered to it.

Queued messages are read in order, STAT before ROUTINE, as far as the window allows. What
may change between attempts is added here: the content key is wrapped for the keys that the
recipients use now, and the signature is made by our present key; envelope and sealed
content were fixed at the put. For whom nothing can be sealed now, nothing is: that copy comes
back from its recipient (``no-key``), and what else waits goes its way.

A message whose files the hub has not got yet holds back what follows it in its lanes (same
sender, a common recipient, same priority); everything else passes. After a cut, and after
BUSY, the session forgets what it had under way and begins again from the table: the hub
answers a repeat as it did the first time.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Final, NamedTuple

from sqlalchemy import Connection

from crypto import sealing
from crypto.errors import CryptoError
from crypto.identity import Credential
from nodes.link import begin_again, progress
from nodes.link.core import LinkCore
from nodes.link.progress import Outgoing, OutgoingFile
from protocols.link import frames as f
from protocols.link import limits
from protocols.link.envelope import Envelope, Priority, SealedMessage, Wrap, decode_envelope, encode
from runtime import crash
from runtime.logs import event
from runtime.tasks import spawn

if TYPE_CHECKING:
    from nodes.link.session import NodeSession

ROWS_PER_READ: Final = 128
HELD_ROWS: Final = 512
PENDING_BYTES: Final = 1_024 * 1_024
_SUBMISSION_OVERHEAD_BYTES: Final = 24

_LOG = logging.getLogger(__name__)


class _Wanted(NamedTuple):
    """How many rows to read of a priority, behind which sequence number."""

    after: int
    most: int


@dataclass(slots=True)
class _Held:
    row: Outgoing
    envelope: Envelope
    files: list[OutgoingFile]
    again: tuple[str, ...] | None = None
    """Set if the hub may have had it before it was restored: whose copy came back."""

    @property
    def lanes(self) -> set[tuple[str, str, Priority]]:
        envelope = self.envelope
        return {(envelope.sender, recipient, envelope.priority) for recipient in envelope.recipients}


class Sending:
    """The SUBMIT side of one session."""

    def __init__(self, core: LinkCore, session: NodeSession) -> None:
        self._core = core
        self._session = session
        self._after = {Priority.STAT: 0, Priority.ROUTINE: 0}
        self._held: list[_Held] = []
        self._under_way: dict[bytes, _Held] = {}
        # Asked for anew in each session: only the hub knows what it still has, and order hangs on it.
        self._at_hub: set[bytes] = set()
        self._alarmed: set[tuple[str, int]] = set()
        self._unread = False
        """The table may have more than was read."""
        self._running = False
        self._again = False
        self._told_busy = False

    def wake(self) -> None:
        """Look for messages to submit."""
        self._unread = True
        self._go_on()

    def _go_on(self) -> None:
        """Submit what may go now: something has come, or there is room again."""
        self._again = True
        if not self._running and self._session.ready:
            self._running = True
            spawn(self._run(), self._session.failed)

    async def _run(self) -> None:
        try:
            while self._again and self._may_submit():
                self._again = False
                if self._unread:
                    await self._fetch()
                # Time has passed: the hub may have said BUSY, or the session may be over.
                if self._may_submit():
                    self._dispatch()
        finally:
            self._running = False

    def _may_submit(self) -> bool:
        return self._session.ready and not self._told_busy

    async def _fetch(self) -> None:
        """Read what waits behind the marks, as far as there is room; the rest stays unread."""
        link = self._session.link.session
        room = min(link.window_left, ROWS_PER_READ)
        if room <= 0 or link.pending_bytes > PENDING_BYTES:
            return
        held = Counter(one.envelope.priority for one in self._held)
        wanted = {one: _Wanted(after, min(room, HELD_ROWS - held[one])) for one, after in self._after.items()}
        marks, again_seq = self._after, self._core.again_seq
        self._unread = False
        found, files, returned = await self._core.database.read(
            partial(_look, wanted=wanted, again_seq=again_seq)
        )
        if self._after is not marks:  # begun again meanwhile: this look was of before
            return
        for priority, rows in found.items():
            if len(rows) >= wanted[priority].most:
                self._unread = True
            if rows:
                self._again = self._again or self._unread
                marks[priority] = rows[-1].seq
        for row in chain.from_iterable(found.values()):
            if sealing.message_digest(row.envelope, row.sealed) != row.digest:
                spawn(self._set_aside(row), self._session.failed)
                continue
            mine = [file for file in files if file.outbox_seq == row.seq] if row.files else []
            again = returned.get(row.seq, ()) if row.seq <= again_seq else None
            self._held.append(_Held(row, decode_envelope(row.envelope), mine, again))

    def _dispatch(self) -> None:
        """Submit what may go now; ask for the upload of what must come first."""
        blocked: set[tuple[str, str, Priority]] = set()
        still: list[_Held] = []
        going: list[_Held] = []
        room = self._session.link.session.window_left
        for held in self._held:
            lanes = held.lanes
            missing = [file for file in held.files if file.id not in self._at_hub]
            if missing:
                self._session.uploads.need(missing)
            if missing or lanes & blocked or len(going) >= room:
                blocked |= lanes
                still.append(held)
            else:
                going.append(held)
        self._held = still
        self._submit(going)

    def _submit(self, going: list[_Held]) -> None:
        self._say_again(going)
        frame: list[f.Submission] = []
        size = 0
        now_ms = self._core.clock.now_ms()
        for held in going:
            blob = self._finish(held, now_ms)
            if frame and size + len(blob) + _SUBMISSION_OVERHEAD_BYTES > limits.FRAME_BYTES:
                self._session.say(f.Submit(tuple(frame)))
                frame, size = [], 0
            age_ms = max(0, now_ms - held.row.created_ms)
            frame.append(f.Submission(blob, age_ms))
            size += len(blob) + _SUBMISSION_OVERHEAD_BYTES
            self._under_way[held.row.id] = held
        if frame:
            self._session.say(f.Submit(tuple(frame)))
        self._core.metrics.submitted.inc(len(going))

    def _say_again(self, going: list[_Held]) -> None:
        """Tell a hub that was restored which of these it may have accepted before."""
        items: list[f.AgainItem] = []
        size = 0
        for held in going:
            if held.again is None:
                continue
            item_bytes = _SUBMISSION_OVERHEAD_BYTES + len(held.again) * (limits.ADDRESS_CHARS + 3)
            if items and size + item_bytes > limits.FRAME_BYTES:
                self._session.say(f.Again(tuple(items)))
                items, size = [], 0
            items.append(f.AgainItem(held.row.id, held.again))
            size += item_bytes
        if items:
            self._session.say(f.Again(tuple(items)))

    def _finish(self, held: _Held, now_ms: int) -> bytes:
        """Return the sealed message: wraps for today's keys, signature by today's key."""
        identity, trust = self._core.identity, self._core.trust
        content_key = sealing.ContentKey(held.row.content_key)
        wraps = []
        for facility in held.envelope.recipient_facilities:
            credential = trust.present(facility, now_ms)
            if credential is None:
                continue
            try:
                key = sealing.wrap_key(content_key, credential.sealing_key)
            except CryptoError as fault:
                self._cannot_seal(credential, fault)
                continue
            wraps.append(Wrap(facility, credential.serial, key))
        message = SealedMessage(
            held.row.envelope,
            held.row.sealed,
            tuple(wraps),
            identity.credential.serial,
            sealing.sign_message(identity.keys.signing, held.row.digest),
        )
        return encode(message)

    def _cannot_seal(self, credential: Credential, fault: CryptoError) -> None:
        """Tell the operator, once a session, of a key that is none; that copy goes without it."""
        known = credential.facility, credential.serial
        if known not in self._alarmed:
            self._alarmed.add(known)
            text = f"nothing can be sealed for credential {known[1]} of {known[0]}: {fault}"
            spawn(self._session.alarm("bad-sealing-key", text), self._session.failed)

    # ── answers ────────────────────────────────────────────────────────────────────────

    def accepted(self, frame: f.Accepted) -> None:
        """Note that the hub has these."""
        done = [self._under_way.pop(identifier, None) for identifier in frame.ids]
        rows = [held.row for held in done if held is not None]
        self._at_hub.difference_update(file.id for held in done if held is not None for file in held.files)
        if rows:
            spawn(self._accept(rows), self._session.failed)
        self._go_on()

    async def _accept(self, rows: Sequence[Outgoing]) -> None:
        now_ms = self._core.clock.now_ms()
        seqs = [row.seq for row in rows]
        await self._core.database.write(lambda c: progress.accepted(c, seqs, now_ms))
        crash.reached("node-accepted-noted")
        self._core.metrics.accepted.inc(len(rows))
        self._core.post.moved([row.id for row in rows])

    def refused(self, frame: f.Refused) -> None:
        """Give back what the hub will not take; a file that it lost is brought again."""
        for refusal in frame.refusals:
            held = self._under_way.pop(refusal.id, None)
            if held is not None:
                spawn(self._refuse(held, refusal), self._session.failed)

    async def _refuse(self, held: _Held, refusal: f.Refusal) -> None:
        row, now_ms = held.row, self._core.clock.now_ms()
        if refusal.code == "no-file" and held.files:
            self._at_hub.difference_update(file.id for file in held.files)
            self.restart()
            return
        if refusal.code == "id-conflict":
            await self._session.alarm("id-conflict", f"the hub knows {row.id.hex()} with another content")
        await self._core.database.write(
            lambda c: progress.returned(c, row.seq, refusal.code, refusal.text, now_ms)
        )
        event(_LOG, logging.WARNING, "message-refused", message=row.id.hex(), code=refusal.code)
        self._core.metrics.returned.inc()
        self._core.post.moved([row.id])
        self._go_on()

    async def _set_aside(self, row: Outgoing) -> None:
        """Give back what this disk has spoiled: nobody could verify it, and it would hold up the rest."""
        text = f"what this node keeps of message {row.id.hex()} is damaged; it was not sent: check the disk"
        await self._session.alarm("damaged", text)
        now_ms = self._core.clock.now_ms()
        await self._core.database.write(lambda c: progress.returned(c, row.seq, "damaged", text, now_ms))
        self._core.metrics.returned.inc()
        self._core.post.moved([row.id])

    def busy(self, frame: f.Busy) -> None:
        """Wait, then say RESUME and begin again from the table."""
        event(_LOG, logging.WARNING, "hub-busy", retry_after_ms=frame.retry_after_ms, text=frame.text)
        if not self._told_busy:
            self._told_busy = True
            self._core.clock.call_later(frame.retry_after_ms / 1000, self._resume)

    def _resume(self) -> None:
        self._told_busy = False
        if self._session.ready:
            self._session.say(f.Resume())
            self.restart()

    def restart(self) -> None:
        """Forget what is under way and read the table again, from new marks: see ``_fetch``."""
        self._held.clear()
        self._under_way.clear()
        self._after = dict.fromkeys(self._after, 0)
        self.wake()

    def stored(self, identifier: bytes) -> None:
        """Let go what waited for this file: the hub has it."""
        self._at_hub.add(identifier)
        self._go_on()

    def file_refused(self, identifier: bytes, code: str, text: str) -> None:
        """Give back the message of a file that the hub will never take."""
        for held in list(self._held):
            if any(file.id == identifier for file in held.files):
                self._held.remove(held)
                spawn(self._refuse(held, f.Refusal(held.row.id, code, text)), self._session.failed)


def _look(
    connection: Connection, *, wanted: dict[Priority, _Wanted], again_seq: int
) -> tuple[dict[Priority, list[Outgoing]], list[OutgoingFile], dict[int, tuple[str, ...]]]:
    found = {
        priority: progress.queued(connection, priority, after, most) if most > 0 else []
        for priority, (after, most) in wanted.items()
    }
    rows = list(chain.from_iterable(found.values()))
    with_files = [row.seq for row in rows if row.files]
    again = [row.seq for row in rows if row.seq <= again_seq]
    return (
        found,
        progress.files_of(connection, with_files) if with_files else [],
        begin_again.returned_of(connection, again) if again else {},
    )
