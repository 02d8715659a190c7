"""Taking messages in: from SUBMIT to a committed spool row to ACCEPTED.

One batch of a session is in the database at a time; what arrives meanwhile is the next
batch. So a failure has nothing behind it that could overtake: the hub says BUSY, drops
everything until the node answers RESUME, and the node submits again from the first
message that has no answer. Order is kept and nothing is taken twice, because the ledger
knows every id: the same id with the same digest gets ACCEPTED again and nothing happens.

The acknowledgement leaves after the commit, never before.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Final

from config.fields import size_text
from crypto.sealing import message_digest
from hub.core import HubCore
from hub.routing.route import Reason, Routed, check_sender
from hub.spool.store import Entry
from protocols.link import frames as f
from protocols.link import limits
from protocols.link.envelope import Envelope, decode_envelope, decode_message
from protocols.link.errors import RemoteError
from runtime.logs import event
from runtime.storage_errors import StorageError
from runtime.tasks import spawn

if TYPE_CHECKING:
    from hub.sessions.session import HubSession

BATCH: Final = 256
BUSY_DISK_MS: Final = 10_000
BUSY_STORAGE_MS: Final = 2_000
WARN_FRACTION: Final = 5
"""A sender is warned when one fifth of a message's time is left."""

_LOG = logging.getLogger(__name__)


class Intake:
    """The SUBMIT side of one session."""

    def __init__(self, hub: HubCore, session: HubSession) -> None:
        self._hub = hub
        self._session = session
        self._waiting: deque[f.Submission] = deque()
        self._waiting_bytes = 0
        self._running = False
        self._refusing = False
        self._again: dict[bytes, frozenset[str]] = {}

    def again(self, frame: f.Again) -> None:
        """Take note of what may have been accepted before this hub was restored, and is submitted next."""
        if self._refusing:
            return
        if self._hub.epoch.at_ms == 0:
            raise RemoteError("out-of-turn", "AGAIN at a hub that was never restored from a backup")
        if len(self._again) + len(frame.items) > limits.SUBMIT_WINDOW:
            raise RemoteError("window", f"AGAIN of more than {limits.SUBMIT_WINDOW} messages")
        self._again.update((item.id, frozenset(item.returned)) for item in frame.items)

    def submit(self, frame: f.Submit) -> None:
        """Take a batch, unless BUSY is out and not yet answered."""
        if self._refusing:
            return
        self._waiting.extend(frame.messages)
        self._waiting_bytes += sum(len(submission.message) for submission in frame.messages)
        if self._waiting_bytes > self._hub.settings.limits.credit_volume_bytes:
            self._session.link.pause_reading()
        if not self._running:
            self._running = True
            spawn(self._run(), self._session.failed)

    def resume(self) -> None:
        """Go on: the node has seen BUSY."""
        self._refusing = False

    async def _run(self) -> None:
        try:
            while self._waiting and not self._refusing:
                batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
                self._waiting_bytes -= sum(len(submission.message) for submission in batch)
                await self._take(batch)
                self._session.link.resume_reading()
        finally:
            self._running = False
            self._session.link.resume_reading()

    async def _take(self, batch: list[f.Submission]) -> None:
        hub = self._hub
        if not hub.has_room():
            self._busy(BUSY_DISK_MS, "this hub's disk is nearly full")
            return
        entries: list[Entry] = []
        refusals: list[f.Refusal] = []
        now_ms = hub.clock.now_ms()
        for submission in batch:
            try:
                entry, envelope = self._entry(submission, now_ms)
                if envelope.attachments:
                    await self._check_files(envelope)
                entries.append(entry)
            except _Refusing as refusing:
                refusals.append(refusing.refusal)
        try:
            verdicts = await hub.commits.accept(entries)
        except StorageError as error:
            event(_LOG, logging.ERROR, "intake-failed", facility=self._session.facility, error=str(error))
            self._busy(BUSY_STORAGE_MS, "this hub's store does not answer")
            return
        self._answer(entries, verdicts, refusals)

    def _answer(self, entries: list[Entry], verdicts: list[bool], refusals: list[f.Refusal]) -> None:
        if all(verdicts):
            accepted = tuple(entry.id for entry in entries)
        else:
            accepted = tuple(entry.id for entry, good in zip(entries, verdicts, strict=True) if good)
            for entry, good in zip(entries, verdicts, strict=True):
                if not good:
                    refusals.append(self._conflict(entry.id))
        self._hub.metrics.refused.inc(len(refusals))
        if accepted:
            self._session.say(f.Accepted(accepted))
        if refusals:
            self._session.say(f.Refused(tuple(refusals)))

    def _conflict(self, identifier: bytes) -> f.Refusal:
        facility = self._session.facility
        event(_LOG, logging.WARNING, "id-conflict", facility=facility, message=identifier.hex())
        self._hub.metrics.conflicts.inc()
        return f.Refusal(identifier, "id-conflict", "this id was used before with another content")

    def _busy(self, retry_after_ms: int, text: str) -> None:
        self._refusing = True
        self._waiting.clear()
        self._again.clear()
        self._waiting_bytes = 0
        self._hub.metrics.busy.inc()
        self._session.say(f.Busy(retry_after_ms, text))

    def _entry(self, submission: f.Submission, now_ms: int) -> tuple[Entry, Envelope]:
        """Check one submission, all but its files, and decide where it goes; raises :class:`_Refusing`."""
        hub, settings = self._hub, self._hub.settings
        try:
            message = decode_message(submission.message)
            envelope = decode_envelope(message.envelope)
        except RemoteError as fault:
            # Without an id there is nothing that an answer could name: the session ends.
            self._session.fault(fault)
            raise _Refusing(f.Refusal(bytes(limits.ID_BYTES), fault.code, fault.text)) from None
        try:
            check_sender(envelope, self._session.facility, int(settings.messages.valid_for_max_s * 1000))
            self._check_body(envelope)
        except RemoteError as fault:
            raise _Refusing(f.Refusal(envelope.id, fault.code, fault.text)) from None
        left_ms = envelope.valid_for_ms - submission.age_ms
        named = self._again.pop(envelope.id, None)
        put_ms = now_ms - hub.leap_ms() - submission.age_ms
        again_until_ms = 0 if named is None else hub.epoch.again_until(put_ms)
        returned = named if again_until_ms else None
        if returned is not None:
            routed = _routed_again(hub.routes.of(envelope), returned.intersection(envelope.recipients))
        elif left_ms > 0:
            routed = hub.routes.of(envelope)
        else:
            routed = Routed((), tuple((address, Reason.EXPIRED) for address in envelope.recipients))
        files = len(envelope.attachments)
        entry = Entry(
            id=envelope.id,
            facility=self._session.facility,
            digest=message_digest(message.envelope, message.sealed),
            sender=envelope.sender,
            recipients=" ".join(envelope.recipients),
            kind=envelope.kind,
            priority=int(envelope.priority),
            size=len(submission.message) + (sum(ref.size for ref in envelope.attachments) if files else 0),
            files=files,
            expires_ms=now_ms + max(0, left_ms),
            due_ms=now_ms + max(0, left_ms) - envelope.valid_for_ms // WARN_FRACTION,
            message=submission.message,
            deliveries=routed.deliveries,
            returns=routed.returns,
            again_until_ms=again_until_ms,
        )
        return entry, envelope

    def _check_body(self, envelope: Envelope) -> None:
        most = self._hub.settings.limits.max_message_bytes
        if envelope.body_outside and envelope.attachments and envelope.attachments[0].size > most:
            size = envelope.attachments[0].size
            raise RemoteError(
                "too-large", f"a body of {size_text(size)}, this hub takes up to {size_text(most)}"
            )

    async def _check_files(self, envelope: Envelope) -> None:
        for ref in envelope.attachments:
            if not await self._hub.files.has(self._session.facility, ref.id, ref.size, ref.root):
                text = f"attachment {ref.id.hex()} has not been stored here"
                raise _Refusing(f.Refusal(envelope.id, "no-file", text))


def _routed_again(routed: Routed, returned: frozenset[str]) -> Routed:
    """Leave out who is known to have given its copy back; whoever is asked again answers as before.

    A copy for somebody who is out of traffic now may be there already: it waits, like all that is in doubt.
    """
    back = tuple((address, Reason.RETURNED_BEFORE) for address in sorted(returned))
    inactive = (address for address, reason in routed.returns if reason is Reason.INACTIVE)
    return Routed(
        tuple(address for address in (*routed.deliveries, *inactive) if address not in returned),
        (
            *(one for one in routed.returns if one[0] not in returned and one[1] is not Reason.INACTIVE),
            *back,
        ),
    )


class _Refusing(Exception):  # noqa: N818 - carries an answer
    def __init__(self, refusal: f.Refusal) -> None:
        super().__init__(refusal.code)
        self.refusal = refusal
