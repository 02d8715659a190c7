"""What the hub tells us of our messages, and what we tell the senders of those we got.

An event with a receipt is believed only if the recipient's own key signed it, for this
very message (digest), this recipient and this state. One that does not verify changes
nothing and raises an alarm; the hub's own reports (returned, delayed) carry no receipt.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from crypto import sealing
from crypto.errors import CryptoError
from crypto.keys import SealingPrivateKey
from nodes.link import progress
from nodes.link.core import LinkCore
from nodes.link.identity import Identity
from nodes.link.progress import Change, Ours
from nodes.link.trust import Trust
from protocols.link import frames as f
from protocols.link import limits
from protocols.link.envelope import State, decode_receipt, facility_of
from protocols.link.errors import RemoteError
from runtime import crash
from runtime.tasks import spawn

if TYPE_CHECKING:
    from nodes.link.session import NodeSession

RECEIPTS_PER_READ = 100
_HUB_MAY_SAY = (State.RETURNED, State.DELAYED)
_RECEIPT_OVERHEAD_BYTES = 2 * limits.ADDRESS_CHARS + 60


class News:
    """The EVENTS and RECEIPTS side of one session."""

    def __init__(self, core: LinkCore, session: NodeSession) -> None:
        self._core = core
        self._session = session
        self._sent_up_to = 0
        self._stored_up_to = 0
        self._running = False
        self._again = False

    # ── news of ours ───────────────────────────────────────────────────────────────────

    async def events(self, frame: f.Events) -> None:
        """Verify and commit news, then say how far we have it."""
        if not frame.events:
            return
        note = partial(_note, events=frame.events, trust=self._core.trust, identity=self._core.identity)
        changes, doubts = await self._core.database.write(note)
        for text in doubts:
            await self._session.alarm("bad-receipt", text)
        crash.reached("node-events-noted")
        self._session.say(f.EventsTaken(frame.events[-1].sequence))
        self._core.metrics.returned.inc(
            sum(change.state in (State.RETURNED, State.REFUSED) for change in changes)
        )
        self._core.post.moved([change.id for change in changes])

    # ── receipts of ours ───────────────────────────────────────────────────────────────

    def wake(self) -> None:
        """Look for receipts to pass on."""
        self._again = True
        if not self._running and self._session.ready:
            self._running = True
            spawn(self._run(), self._session.failed)

    async def _run(self) -> None:
        try:
            while self._again and self._session.ready:
                if self._sent_up_to > self._stored_up_to:
                    return  # looked for when the hub has stored these
                self._again = False
                found = await self._core.database.read(
                    lambda c: progress.queued_receipts(c, self._sent_up_to, RECEIPTS_PER_READ)
                )
                if found:
                    self._pass_on(found)
        finally:
            self._running = False

    def _pass_on(self, found: list[progress.OutgoingReceipt]) -> None:
        frame: list[f.ReceiptItem] = []
        size = 0
        for one in found:
            item_bytes = len(one.receipt) + _RECEIPT_OVERHEAD_BYTES
            if frame and size + item_bytes > limits.FRAME_BYTES:
                break
            frame.append(f.ReceiptItem(one.seq, one.sender, one.id, one.recipient, one.state, one.receipt))
            size += item_bytes
        self._sent_up_to = frame[-1].sequence
        if len(frame) < len(found) or len(found) == RECEIPTS_PER_READ:
            self._again = True
        self._session.say(f.Receipts(tuple(frame)))

    def stored(self, frame: f.ReceiptsStored) -> None:
        """Forget receipts that the hub has, and pass on the next."""
        if frame.up_to > self._sent_up_to:
            raise RemoteError("malformed", f"RECEIPTS_STORED up to {frame.up_to}, sent {self._sent_up_to}")
        self._stored_up_to = max(self._stored_up_to, frame.up_to)
        # Before anything that the hub says after this: a message that comes again finds the row gone, and
        # what was said of it is said again (``nodes.link.begin_again``).
        spawn(self._forget(frame.up_to), self._session.failed)
        if self._again:
            self.wake()

    async def _forget(self, up_to: int) -> None:
        await self._core.database.write(lambda c: progress.receipts_stored(c, up_to))


def _note(
    connection: Connection, *, events: Sequence[f.Event], trust: Trust, identity: Identity
) -> tuple[list[Change], list[str]]:
    """Commit what can be believed; returns that, and what a person has to hear of the rest.

    Verified here, in the writer's thread: a look by itself would be a turn of threads more for each message.
    """
    ours = progress.ours(connection, [event.id for event in events])
    changes: list[Change] = []
    doubts: list[str] = []
    for event in events:
        mine = ours.get(event.id)
        if mine is None:
            continue
        try:
            changes.append(_verified(event, mine, trust, identity))
        except (CryptoError, RemoteError, _Unbelievable) as problem:
            doubts.append(f"news of {event.id.hex()} for {event.recipient}: {problem}")
    for odd in progress.apply(connection, changes):
        text = f"news of {odd.id.hex()} for {odd.recipient}: {odd.state.word} contradicts what is known"
        doubts.append(text)
    return changes, doubts


def _verified(event: f.Event, mine: Ours, trust: Trust, identity: Identity) -> Change:
    if not event.receipt:
        if event.state not in _HUB_MAY_SAY:
            raise _Unbelievable(f"{event.state.word} without the recipient's receipt")
        return Change(event.id, event.recipient, event.state, event.code, event.at_ms, b"", b"")
    receipt, signed = decode_receipt(event.receipt)
    claim = receipt.message_id, receipt.digest, receipt.sender, receipt.recipient, receipt.state
    if claim != (event.id, mine.digest, mine.sender, event.recipient, event.state):
        raise _Unbelievable("the receipt is about something else")
    facility = facility_of(event.recipient)
    credential = trust.of_serial(facility, receipt.signer_serial)
    if credential is None:
        raise _Unbelievable(f"{facility} has no trusted credential {receipt.signer_serial}")
    sealing.verify_receipt(credential.signing_key, signed.receipt, signed.signature)
    answer = identity.open_with_any(receipt.detail, _open_detail) if receipt.detail else b""
    return Change(event.id, event.recipient, event.state, receipt.code, receipt.at_ms, event.receipt, answer)


def _open_detail(key: SealingPrivateKey, detail: bytes) -> bytes:
    return sealing.open_detail(key, detail)


class _Unbelievable(Exception):  # noqa: N818 - states the condition
    """News that does not verify."""
