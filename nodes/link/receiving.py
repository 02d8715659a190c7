"""From DELIVER to a committed inbox row to TAKEN.

Deliveries are opened and committed in the order in which they came, one batch in the
database at a time; what comes meanwhile is the next batch. A message with attachments
leaves that line: its files are fetched first (the hub holds back what must not overtake
it), then it is committed with them. TAKEN goes out after the commit, never before, and a
delivery that is known already gets the receipt that it got the first time.
"""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Final

from twisted.internet.defer import Deferred

from crypto.sealing import message_digest
from nodes.link import arrivals
from nodes.link.arrivals import Arrival
from nodes.link.core import LinkCore
from nodes.link.fetching import Fetched
from nodes.link.ids import id_text
from nodes.link.opening import Opened, Rejected, open_delivery
from protocols.link import frames as f
from protocols.link import limits
from protocols.link.envelope import Receipt, State, decode_envelope, decode_message
from protocols.link.errors import RemoteError
from runtime import crash
from runtime.logs import event
from runtime.tasks import spawn

if TYPE_CHECKING:
    from nodes.link.session import NodeSession

BATCH: Final = 128
_TAKING_OVERHEAD_BYTES: Final = 64

_LOG = logging.getLogger(__name__)


class Receiving:
    """The DELIVER side of one session."""

    def __init__(self, core: LinkCore, session: NodeSession) -> None:
        self._core = core
        self._session = session
        self._waiting: deque[f.Delivery] = deque()
        self._running = False
        self._fetching: dict[tuple[str, bytes], list[Deferred[None]]] = {}

    def deliver(self, frame: f.Deliver) -> None:
        """Take a batch of deliveries."""
        self._waiting.extend(frame.deliveries)
        self.go_on()

    def go_on(self) -> None:
        """Work on what waits, once the address book is up to date."""
        if not self._running and self._waiting and self._session.keys_current:
            self._running = True
            spawn(self._run(), self._session.failed)

    async def _run(self) -> None:
        try:
            while self._waiting and self._session.keys_current:
                batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
                await self._take(batch)
        finally:
            self._running = False

    async def _take(self, batch: list[f.Delivery]) -> None:
        ready: list[Arrival] = []
        for delivery in batch:
            try:
                opened = open_delivery(delivery, self._core.identity, self._core.trust)
            except Rejected as rejected:
                await self._commit(ready)
                ready = []
                await self._reject(delivery, rejected)
                continue
            if opened.envelope.attachments:
                await self._commit(ready)
                ready = []
                spawn(self._with_files(opened), self._session.failed)
            else:
                ready.append(self._arrival(opened, Fetched(None, ())))
        await self._commit(ready)

    async def _with_files(self, opened: Opened) -> None:
        """Fetch what a message needs, once for all of our mailboxes that it is for, then commit it."""
        turn = opened.envelope.sender, opened.envelope.id
        while turn in self._fetching:
            twin: Deferred[None] = Deferred()
            self._fetching[turn].append(twin)
            await twin
        self._fetching[turn] = []
        try:
            fetched = await self._fetch(opened)
            crash.reached("node-files-fetched")
            await self._commit([self._arrival(opened, fetched)])
        except Rejected as rejected:
            await self._answer_rejected(opened.sequence, opened.envelope.id, rejected, opened)
        finally:
            for twin in self._fetching.pop(turn):
                twin.callback(None)

    async def _fetch(self, opened: Opened) -> Fetched:
        earlier = await self._core.database.read(partial(arrivals.known, opened=opened))
        if earlier is not None or opened.expired:
            return Fetched(None, ())
        twin = await self._core.database.read(partial(arrivals.files_of_twin, opened=opened))
        if twin is not None:
            return Fetched(*twin)
        return await self._session.fetching.fetch(opened)

    async def _commit(self, ready: list[Arrival]) -> None:
        # What this session has not given to the database when it ends belongs to the next one, which may
        # answer otherwise: what is in time now can be too late then, and must not come in behind that answer.
        if not ready or not self._session.link.session.open:
            return
        core = self._core
        now_ms = core.clock.now_ms()
        outcomes = await core.database.write(partial(arrivals.accept, arrivals=ready, now_ms=now_ms))
        crash.reached("node-arrived-before-answer")
        for arrival, outcome in zip(ready, outcomes, strict=True):
            if outcome is arrivals.CONFLICT:
                envelope = arrival.opened.envelope
                text = f"{envelope.sender} used {id_text(envelope.id)} again with another content"
                await self._session.alarm("id-conflict", text)
        takings = [
            f.Taking(arrival.opened.sequence, outcome.state, outcome.code, outcome.receipt)
            for arrival, outcome in zip(ready, outcomes, strict=True)
        ]
        self._say(takings)
        fresh = [arrival.opened.recipient for arrival, one in zip(ready, outcomes, strict=True) if one.fresh]
        core.metrics.received.inc(len(fresh))
        if fresh:
            core.post.inbox_changed(set(fresh))
        if len(fresh) < len(outcomes):
            self._session.news.wake()  # what an application said of a repeat is said again

    def _say(self, takings: list[f.Taking]) -> None:
        frame: list[f.Taking] = []
        size = 0
        for taking in takings:
            taking_bytes = len(taking.receipt) + _TAKING_OVERHEAD_BYTES
            if frame and size + taking_bytes > limits.FRAME_BYTES:
                self._session.say(f.Taken(tuple(frame)))
                frame, size = [], 0
            frame.append(taking)
            size += taking_bytes
        self._session.say(f.Taken(tuple(frame)))

    # ── receipts ───────────────────────────────────────────────────────────────────────

    def _arrival(self, opened: Opened, fetched: Fetched) -> Arrival:
        return Arrival(
            opened=opened,
            body_path=fetched.body_path,
            files=fetched.files,
            delivered=self._sign(opened, State.DELIVERED, ""),
            expired=self._sign(opened, State.RETURNED, "expired") if opened.expired else b"",
        )

    def _sign(self, opened: Opened, state: State, code: str) -> bytes:
        envelope, identity = opened.envelope, self._core.identity
        return identity.sign_receipt(
            Receipt(
                version=1,
                message_id=envelope.id,
                digest=opened.digest,
                sender=envelope.sender,
                recipient=opened.recipient,
                state=state,
                code=code,
                at_ms=self._core.clock.now_ms(),
                signer_serial=identity.credential.serial,
            )
        )

    async def _reject(self, delivery: f.Delivery, rejected: Rejected) -> None:
        """Refuse a delivery, unless it is here already: keys that changed since take nothing back."""
        identifier = b""
        with contextlib.suppress(RemoteError):
            message = decode_message(delivery.message)
            envelope = decode_envelope(message.envelope)
            identifier = envelope.id
            earlier = await self._core.database.read(
                partial(
                    arrivals.repeated,
                    identifier=identifier,
                    sender=envelope.sender,
                    recipient=delivery.recipient,
                    digest=message_digest(message.envelope, message.sealed),
                )
            )
            if earlier is not None:
                self._say([f.Taking(delivery.sequence, earlier.state, earlier.code, earlier.receipt)])
                return
        await self._answer_rejected(delivery.sequence, identifier, rejected, None)

    async def _answer_rejected(
        self, sequence: int, identifier: bytes, rejected: Rejected, opened: Opened | None
    ) -> None:
        text = f"message {identifier.hex()} was not taken: {rejected}"
        event(_LOG, logging.WARNING, "delivery-rejected", code=rejected.code, message=identifier.hex())
        if rejected.alarming:
            await self._session.alarm(rejected.code, text)
        self._core.metrics.rejected.inc()
        receipt = b"" if opened is None else self._sign(opened, State.RETURNED, rejected.code)
        self._say([f.Taking(sequence, State.RETURNED, rejected.code, receipt)])
