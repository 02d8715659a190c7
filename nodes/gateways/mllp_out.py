"""MLLP out: what arrived for a mailbox is handed to the local system, one message after the other.

Each mailbox of ``[mllp.deliver]`` has a :class:`_Courier` of its own, with a connection of its own; ``"*"``
stands for every other mailbox for which something arrives. A courier takes what is due first (STAT before
ROUTINE, else in order), sends the bytes as they are, and waits for the answer. The commit that records the
outcome also tells what is due next:

- AA, or CA if MSH-16 asks for nothing more: processed. The answer goes back to the sender, sealed.
- AE or CE: refused; the sender learns it, with the answer, and the next message has its turn.
- AR or CR, silence, no connection: the same message again, after a back-off. The next one waits: order is
  kept, but a STAT message that arrives meanwhile goes first.
- CA although MSH-16 asks for more (AL, SU): the application's answer is waited for; if it does not come in
  ``answer_timeout`` the CA stands, for by it the local system has taken the message over.
- MSH-15 and MSH-16 that want no answer to success (NE, ER): silence on a standing connection is success.

An answer belongs to a message if its MSA-2 is the message's MSH-10; nothing else in it has to be right. One
with an empty MSA-2 is taken only where it can mean nothing else, as the first frame on a connection that
carried this message alone; the connection is then given up, so the next message begins on a fresh one. Every
other frame is dropped. After silence the connection is given up too, so a late answer has nowhere to arrive.

What MLLP cannot carry (no MSH with a control id, FS CR inside) is refused, with a text. Only the
body travels; attachments stay in the inbox, to be fetched by the other doors. Plain files are left to those
doors altogether, and so is what the folder has laid out.

Not promised: exactly once towards the local system. If this process or the connection dies between its taking
a message and our committing its answer, the message comes to it again, same bytes, same MSH-10. MLLP has no
other protection than a receiver that knows its MSH-10 again.
"""

import logging
from collections.abc import Callable, Collection, Coroutine
from random import Random
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter
from twisted.internet.defer import CancelledError, Deferred

from config.fields import HostPort
from config.kinds import ANY
from config.node import Mllp
from nodes.gateways.mllp_exchange import NO_ANSWER_CODE, Exchange, Verdict, exchange_of
from nodes.link import inbox
from nodes.link.ids import id_text
from nodes.link.inbox import Received
from nodes.link.post import POLL_S, Post
from protocols.errors import ProtocolError
from protocols.hl7.acks import ACK_CODES
from protocols.link.envelope import FILE_KIND, State, mailbox_of
from runtime.backoff import Backoff
from runtime.clock import Clock, sleep
from runtime.logs import RepeatLimit, event
from runtime.mllp_client import AnswerTimeout, MllpClient, MllpClientError
from runtime.storage_errors import StorageError, StorageFailed

ALARM_AFTER_FAILURES: Final = 5
"""Attempts in vain in a row after which a person is told, once."""

_log = logging.getLogger(__name__)

ClientFactory = Callable[[HostPort], MllpClient]


class _Metrics:
    def __init__(self, registry: CollectorRegistry | None) -> None:
        answers = Counter(
            "wasl_mllp_out_answers", "Answers of local systems to deliveries", ["code"], registry=registry
        )
        self.answers = {code: answers.labels(code) for code in (*sorted(ACK_CODES), NO_ANSWER_CODE)}
        self.failures = Counter(
            "wasl_mllp_out_failures", "Deliveries without an answer that counts", registry=registry
        )
        self.undeliverable = Counter(
            "wasl_mllp_out_undeliverable", "Messages that MLLP cannot carry", registry=registry
        )
        self.strays = Counter("wasl_mllp_out_strays", "Frames that answered nothing", registry=registry)


class MllpOutbound:
    """All deliveries over MLLP of one node; reactor thread only.

    ``connect`` makes the client for a target, one call a mailbox; ``alarm`` is told (code, text) of what a
    person must look at; ``random`` spreads the retries; mailboxes ``at_desk`` are not among the ``"*"``.
    """

    def __init__(
        self,
        post: Post,
        settings: Mllp,
        alarm: Callable[[str, str], None],
        clock: Clock,
        registry: CollectorRegistry | None,
        connect: ClientFactory,
        random: Random,
        at_desk: frozenset[str] = frozenset(),
    ) -> None:
        self._post = post
        self._settings = settings
        self._at_desk = at_desk
        self._alarm = alarm
        self._clock = clock
        self._metrics = _Metrics(registry)
        self._connect = connect
        self._random = random
        self._couriers: dict[str, _Courier] = {}
        self._bell = _Bell(clock)
        self._watching: Deferred[None] | None = None

    def start(self) -> None:
        """Begin to deliver; does nothing without ``[mllp.deliver]``."""
        if not self._settings.deliver or self._watching is not None:
            return
        self._post.on_inbox(self._wake)
        for mailbox, target in self._settings.deliver.items():
            if mailbox != ANY:
                self._engage(f"{mailbox}@{self._post.identity.facility}", target)
        self._watching = _background(self._watch())

    async def stop(self) -> None:
        """Give up what is on the way (it is sent again after the next start) and close the connections."""
        watching, self._watching = self._watching, None
        couriers, self._couriers = list(self._couriers.values()), {}
        if watching is not None:
            watching.cancel()
        for courier in couriers:
            courier.stop()

    def _wake(self, recipients: Collection[str] | None) -> None:
        if recipients is None or not self._couriers.keys() >= {*recipients}:
            self._bell.ring()
        for recipient in self._couriers if recipients is None else recipients:
            if recipient in self._couriers:
                self._couriers[recipient].bell.ring()

    def _engage(self, recipient: str, target: HostPort) -> None:
        courier = _Courier(
            self._post, self._settings, recipient, self._alarm, self._clock, self._metrics,
            self._connect(target), self._random,
        )  # fmt: skip
        self._couriers[recipient] = courier
        courier.start()

    async def _watch(self) -> None:
        """Engage a courier for each mailbox without one of its own for which something arrives."""
        target = self._settings.deliver.get(ANY)
        while target is not None:
            try:
                lots = await self._post.read(inbox.waiting_lots)
            except StorageError as fault:
                event(_log, logging.ERROR, "mllp-inbox-unreadable", cause=fault)
                lots = []
            for recipient, kind in lots:
                elsewhere = kind == FILE_KIND or mailbox_of(recipient) in self._at_desk
                if not elsewhere and recipient not in self._couriers:
                    self._engage(recipient, target)
            await self._bell.wait(POLL_S)


class _Courier:
    """Delivers to one mailbox's local system, one message at a time."""

    def __init__(
        self,
        post: Post,
        settings: Mllp,
        recipient: str,
        alarm: Callable[[str, str], None],
        clock: Clock,
        metrics: _Metrics,
        client: MllpClient,
        random: Random,
    ) -> None:
        self.bell = _Bell(clock)
        self._post = post
        self._recipient = recipient
        self._patience_s = settings.delivery.answer_timeout_s
        self._alarm = alarm
        self._clock = clock
        self._metrics = metrics
        self._client = client
        self._repeat_log = RepeatLimit(clock)
        self._backoff = Backoff(
            base_s=settings.delivery.retry_first_s, cap_s=settings.delivery.retry_cap_s, random=random
        )
        self._running: Deferred[None] | None = None
        self._next: Received | None = None
        self._empty = False
        """The last commit found nothing else due: look no more until the bell rings."""

    def start(self) -> None:
        self._running = _background(self._run())

    def stop(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            running.cancel()
        self._client.close()

    async def _run(self) -> None:
        while True:
            try:
                done = await self._deliver_next()
            except (CancelledError, StorageFailed):
                raise
            except Exception as fault:  # noqa: BLE001 - whatever it is, this mailbox must go on
                self._log_fault("fault", fault)
                done = self._failed(f"{type(fault).__name__}, see the log")
            if done is None:
                await self.bell.wait(POLL_S)
            elif done:
                self._backoff.reset()
            else:
                await sleep(self._clock, self._backoff.next_s())

    async def _deliver_next(self) -> bool | None:
        """Try what is due first: True, it is done with; False, try again later; None, nothing is due."""
        message, self._next = self._next, None
        empty, self._empty = self._empty, False
        if message is None and (self.bell.rung or not empty):
            self.bell.hush()
            message = await self._post.read(lambda c: inbox.next_hl7(c, self._recipient))
        if message is None:
            return None
        body = await self._body_of(message)
        try:
            exchange = exchange_of(body, fresh=not self._client.connected)
        except ProtocolError as fault:
            return await self._undeliverable(message, str(fault))
        try:
            await self._client.send(body, timeout_s=self._patience_s, is_answer=exchange.is_answer)
        except AnswerTimeout as fault:
            exchange.time_is_up()
            if exchange.verdict is Verdict.AGAIN:
                return self._failed(str(fault))
        except MllpClientError as fault:
            if exchange.verdict is Verdict.AGAIN:
                return self._failed(str(fault))
        except ProtocolError as fault:
            return await self._undeliverable(message, str(fault))
        if exchange.unnamed:
            self._client.close()
        self._metrics.strays.inc(exchange.strays)
        return await self._conclude(message, exchange)

    async def _body_of(self, message: Received) -> bytes:
        home = self._post.home
        if message.body_path is None:
            return inbox.read_body(message, home)
        return await self._post.read(lambda _connection: inbox.read_body(message, home))

    async def _conclude(self, message: Received, exchange: Exchange) -> bool:
        self._metrics.answers[exchange.code].inc()
        if exchange.verdict is Verdict.AGAIN:
            return self._failed(f"it answered {exchange.code}: not now")
        state = State.PROCESSED if exchange.verdict is Verdict.TAKEN else State.REFUSED
        await self._record(message, state, exchange.code, exchange.answer)
        event(_log, logging.DEBUG, "mllp-delivered", id=id_text(message.id), code=exchange.code)
        return True

    async def _undeliverable(self, message: Received, text: str) -> bool:
        self._metrics.undeliverable.inc()
        event(
            _log, logging.WARNING, "mllp-undeliverable",
            id=id_text(message.id), recipient=self._recipient, sender=message.sender, reason=text,
        )  # fmt: skip
        await self._record(message, State.REFUSED, "not-for-mllp", text.encode())
        return True

    async def _record(self, message: Received, state: State, code: str, answer: bytes) -> None:
        """Commit the outcome, however long the database takes: sending again would make it a second one."""
        while True:
            try:
                self._next = await self._post.conclude_for_next(
                    self._recipient, message.seq, state, code=code, answer=answer
                )
            except StorageFailed:
                raise
            except StorageError as fault:
                self._log_fault("storage", fault)
                await sleep(self._clock, self._backoff.next_s())
            else:
                self._empty = self._next is None
                return

    def _failed(self, reason: str) -> bool:
        """Note an attempt in vain; the back-off counts them."""
        self._metrics.failures.inc()
        attempts = self._backoff.failures + 1
        self._repeat_log.event(
            "failed", _log, logging.WARNING, "mllp-delivery-failed",
            recipient=self._recipient, reason=reason, attempts=attempts,
        )  # fmt: skip
        if attempts == ALARM_AFTER_FAILURES:
            self._alarm(
                "mllp-delivery-stuck",
                f"{attempts} attempts in a row to deliver to the local system of "
                f"{mailbox_of(self._recipient)!r} were in vain ({reason}): look at that system; "
                "what waits for it is kept, in order, and tried again",
            )
        return False

    def _log_fault(self, what: str, fault: Exception) -> None:
        self._repeat_log.event(
            what, _log, logging.ERROR, "mllp-courier-fault", cause=fault, recipient=self._recipient
        )


class _Bell:
    """Wakes one waiter; rung while nobody waits, it wakes the next one at once."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rung = False
        self._waiter: Deferred[None] | None = None

    def ring(self) -> None:
        self._rung = True
        if self._waiter is not None:
            waiter, self._waiter = self._waiter, None
            waiter.callback(None)

    @property
    def rung(self) -> bool:
        return self._rung

    def hush(self) -> None:
        """Forget that it was rung: who does so looks now."""
        self._rung = False

    async def wait(self, timeout_s: float) -> None:
        if not self._rung:
            timer = self._clock.call_later(timeout_s, self.ring)
            self._waiter = Deferred()
            try:
                await self._waiter
            finally:
                timer.cancel()
                self._waiter = None
        self._rung = False


def _background(work: Coroutine[Any, Any, None]) -> Deferred[None]:
    """Run ``work`` on its own; being cancelled is how it ends."""
    running = Deferred.fromCoroutine(work)
    running.addErrback(_ended)
    return running


def _ended(failure: Any) -> None:
    if failure.check(CancelledError) is None:
        event(_log, logging.ERROR, "mllp-courier-ended", cause=failure.value)
