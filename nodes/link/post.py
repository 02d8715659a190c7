"""The counter: where every door inside the daemon puts, waits, takes and concludes.

It joins the stores (``outbox``, ``inbox``), which are plain functions over a connection, to
the daemon's group commit, and carries the hints: who changed a table says so with
``outbox_changed``, ``receipts_queued`` or ``inbox_changed``, and whoever waits looks at the
table again. A lost hint costs time (``POLL_S``), never a message: the table is the truth.

Processes beside the daemon (the command line, the desk) call the stores themselves and
send a poke.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from sqlalchemy import Connection
from twisted.internet.defer import CancelledError, Deferred

from nodes.link import facts, files, inbox, outbox, tracking
from nodes.link.errors import NodeError
from nodes.link.identity import Identity
from nodes.link.metrics import LinkMetrics
from protocols.link import limits
from protocols.link.envelope import State
from runtime.clock import Clock
from runtime.database import Database, Lane
from runtime.executors import Executor
from runtime.logs import event

ROOM_CACHE_S: Final = 1.0
NOT_LOGGED: Final = frozenset({"folder-failed", "folder-unclaimed", "folder-trouble", "folder-vanished"})
"""Alarms that name files of a local system, which may be called after a patient: no log gets their texts."""
POLL_S: Final = 5.0
"""How often a waiter looks at the table although nobody told it to."""

_LOG = logging.getLogger(__name__)
_T = TypeVar("_T")
_Concluded = tuple[inbox.Concluded | None, inbox.Received | None]


class _Conclusion(NamedTuple):
    """What an application said of one message; ``recipient``: whose next message is asked for as well."""

    seq: int
    state: State
    code: str
    answer: bytes
    recipient: str | None


Wake = Callable[[], object]
"""Told that something may have changed; must be cheap and must not raise."""
Arrived = Callable[[Collection[str] | None], object]
"""Told for which of our mailboxes something arrived, None: for any; must be cheap and must not raise."""


class Post:
    """The node's stores as the daemon's own parts use them; lives in the reactor's thread."""

    def __init__(
        self,
        *,
        home: Path,
        identity: Identity,
        database: Database,
        clock: Clock,
        sealer: Executor,
        metrics: LinkMetrics,
        floor_bytes: int = files.DISK_FLOOR_BYTES,
    ) -> None:
        self.home = home
        self.identity = identity
        self.database = database
        self.clock = clock
        self.metrics = metrics
        self._sealer = sealer
        self._floor_bytes = floor_bytes
        self._puts: Lane[tuple[outbox.Draft, int], outbox.Put | NodeError, None] = Lane(
            database, lambda c, drafts: (outbox.put_all(c, drafts), None), lambda _none: None
        )
        self._conclusions: Lane[_Conclusion, _Concluded, bool] = Lane(
            database, self._conclude_all, self._concluded
        )
        self._room_until_s = 0.0
        self._outbox_wakes: list[Wake] = []
        self._receipt_wakes: list[Wake] = []
        self._inbox_wakes: list[Arrived] = []
        self._poke_wakes: list[Wake] = []
        self._waiters: dict[bytes, list[Callable[[], None]]] = {}

    # ── sending ────────────────────────────────────────────────────────────────────────

    async def prepare(self, body: bytes, sources: Sequence[files.Source] = ()) -> files.Prepared:
        """Seal a body and its files; in a thread if there is anything to write. See ``files.prepare``."""
        if not sources and len(body) <= limits.INLINE_BODY_BYTES:
            self._check_room()
            return files.inline(body)
        return await self._sealer.run(
            lambda: files.prepare(self.home, body, sources, floor_bytes=self._floor_bytes)
        )

    def _check_room(self) -> None:
        """Raise NoRoom while the disk is below its floor; looked up once a second at most."""
        now_s = self.clock.monotonic_s()
        if now_s >= self._room_until_s:
            files.check_room(self.home, 0, self._floor_bytes)
            self._room_until_s = now_s + ROOM_CACHE_S

    async def put(self, draft: outbox.Draft) -> outbox.Put:
        """Commit a message to the outbox: durable when this returns. Raises as ``outbox.put`` does."""
        now_ms = self.clock.now_ms()
        with files.discarded_if_refused(self.home, draft.prepared.files, unsure=(CancelledError,)):
            done = await self._puts.write((draft, now_ms))
            if isinstance(done, NodeError):
                raise done
        if done.fresh:
            self.outbox_changed(done.id)
        else:
            files.discard(self.home, draft.prepared.files)
        return done

    async def wait_for(self, identifier: bytes, states: frozenset[State], timeout_s: float) -> tracking.Sent:
        """Return the message once its overall state is one of ``states``, or as it is after ``timeout_s``."""
        deadline_s = self.clock.monotonic_s() + timeout_s
        while True:
            changed = self._changed(identifier, min(POLL_S, max(0.0, deadline_s - self.clock.monotonic_s())))
            try:
                sent = await self.read(lambda connection: tracking.find(connection, identifier))
            except BaseException:
                changed.cancel()
                raise
            if sent.state in states or self.clock.monotonic_s() >= deadline_s:
                changed.cancel()
                return sent
            await changed

    # ── receiving ──────────────────────────────────────────────────────────────────────

    async def conclude(self, seq: int, state: State, *, code: str = "", answer: bytes = b"") -> bool:
        """Record that an application took or refused message ``seq``; see ``inbox.conclude``."""
        done, _ = await self._conclude(_Conclusion(seq, state, code, answer, None))
        return done

    async def conclude_for_next(
        self, recipient: str, seq: int, state: State, *, code: str, answer: bytes
    ) -> inbox.Received | None:
        """Record that message ``seq`` was taken or refused, and return what is due next for ``recipient``.

        See ``inbox.next_hl7``; what it says is as of that commit.
        """
        _, following = await self._conclude(_Conclusion(seq, state, code, answer, recipient))
        return following

    async def _conclude(self, conclusion: _Conclusion) -> tuple[bool, inbox.Received | None]:
        done, following = await self._conclusions.write(conclusion)
        if done is not None and done.unsealed:
            await self.alarm("bad-sealing-key", done.unsealed)
        return done is not None, following

    def _conclude_all(
        self, connection: Connection, pieces: list[_Conclusion]
    ) -> tuple[list[_Concluded], bool]:
        now_ms = self.clock.now_ms()
        answers: list[_Concluded] = []
        for one in pieces:
            done = inbox.conclude(
                connection, self.identity, one.seq, one.state, now_ms, code=one.code, answer=one.answer
            )
            following = None if one.recipient is None else inbox.next_hl7(connection, one.recipient)
            answers.append((done, following))
        return answers, any(done is not None for done, _ in answers)

    def _concluded(self, any_done: bool) -> None:
        if any_done:
            self.receipts_queued()

    async def alarm(self, code: str, text: str) -> None:
        """Tell the operator: log it, count it, keep it.

        The text of one in ``NOT_LOGGED`` is only kept: ``wasl-node status`` shows it.
        """
        event(_LOG, logging.ERROR, "alarm", code=code, text=None if code in NOT_LOGGED else text)
        self.metrics.alarm(code)
        now_ms = self.clock.now_ms()
        await self.database.write(lambda connection: facts.raise_alarm(connection, code, text, now_ms))

    def read(self, operation: Callable[[Connection], _T]) -> Deferred[_T]:
        """Read from the stores: ``await post.read(lambda c: inbox.waiting(c, limit=10))``."""
        return self.database.read(operation)

    # ── hints ──────────────────────────────────────────────────────────────────────────

    def on_outbox(self, wake: Wake) -> None:
        """Call ``wake`` whenever there may be a message to send."""
        self._outbox_wakes.append(wake)

    def on_receipts(self, wake: Wake) -> None:
        """Call ``wake`` whenever there may be a receipt to send."""
        self._receipt_wakes.append(wake)

    def on_inbox(self, wake: Arrived) -> None:
        """Call ``wake`` whenever something may have arrived, with the addresses that it may be for."""
        self._inbox_wakes.append(wake)

    def on_poke(self, wake: Wake) -> None:
        """Call ``wake`` whenever another process changed something."""
        self._poke_wakes.append(wake)

    def outbox_changed(self, *identifiers: bytes) -> None:
        """Tell the link that there are messages to send, and waiters that these messages moved."""
        for wake in self._outbox_wakes:
            wake()
        self.moved(identifiers)

    def receipts_queued(self) -> None:
        """Tell the link that there are receipts to send."""
        for wake in self._receipt_wakes:
            wake()

    def inbox_changed(self, recipients: Collection[str] | None = None) -> None:
        """Tell the gateways that something arrived for these addresses; None: for whomever."""
        for wake in self._inbox_wakes:
            wake(recipients)

    def moved(self, identifiers: Sequence[bytes]) -> None:
        """Tell waiters that the states of these messages changed."""
        for identifier in identifiers:
            for tell in self._waiters.pop(identifier, ()):
                tell()

    def poked(self) -> None:
        """Another process changed something: look at everything."""
        self.outbox_changed(*list(self._waiters))
        self.receipts_queued()
        self.inbox_changed()
        for wake in self._poke_wakes:
            wake()

    def _changed(self, identifier: bytes, timeout_s: float) -> Deferred[None]:
        """Fire when ``identifier`` moves, or after ``timeout_s``; cancel it when unused."""

        def finish() -> None:
            timer.cancel()
            tellers = self._waiters.get(identifier, [])
            if finish in tellers:
                tellers.remove(finish)
                if not tellers:
                    del self._waiters[identifier]
            if not result.called:
                result.callback(None)

        result: Deferred[None] = Deferred(lambda _: finish())
        timer = self.clock.call_later(timeout_s, finish)
        self._waiters.setdefault(identifier, []).append(finish)
        return result
