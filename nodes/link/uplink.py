"""Staying connected: one session after another, for as long as the node lives.

After a loss the next attempt comes after a random wait that grows to a minute (exponential
back-off with full jitter), so that ten thousand nodes do not return in the same second.
A hub that says how long to wait is obeyed; one that says that our key is unknown, revoked
or suspended is asked again, rarely, since an administrator may mend it: an alarm tells the
operator once, and the reason is kept for ``wasl-node status`` until the hub lets us in.

A message that is put while we wait calls at once, unless the last call was a moment ago, or
the hub said to wait, or the last session was given up here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, Protocol

from sqlalchemy import Connection

from crypto.keys import LinkPublicKey
from nodes.link import facts, following, progress
from nodes.link.core import LinkCore
from nodes.link.errors import NodeError
from nodes.link.session import NodeSession
from protocols.link import frames as f
from runtime.backoff import Backoff
from runtime.clock import Handle
from runtime.link import TwistedLink
from runtime.logs import event
from runtime.tasks import spawn

FIRST_RETRY_S: Final = 0.5
RETRY_CAP_S: Final = 60.0
SOON_S: Final = 2.0
"""A put, or a poke, calls the hub at once if the last call is as long ago as this."""
MAINTENANCE_S: Final = 5.0
EXPIRED_PER_ROUND: Final = 500

_LOG = logging.getLogger(__name__)


class Connector(Protocol):
    """Opens a connection for a link: TCP in production, a pipe in simulations."""

    def __call__(self, link: TwistedLink, failed: Callable[[str], object]) -> None:
        """Connect ``link``, or call ``failed`` with the reason, once, later."""


class Uplink:
    """The node's connection to its hub."""

    def __init__(self, core: LinkCore, connect: Connector) -> None:
        self._core = core
        self._connect = connect
        self._backoff = Backoff(base_s=FIRST_RETRY_S, cap_s=RETRY_CAP_S, random=core.random)
        self._session: NodeSession | None = None
        self._retry: Handle | None = None
        self._round: Handle | None = None
        self._stopped = False
        self._told_to_wait = False
        self._attempted_s = 0.0
        self._refused = 0
        self._by_next = True
        """The next call is by the hub's next link key, if there is one."""
        self.last_failure = "not connected yet"
        core.post.on_outbox(self._put)
        core.post.on_receipts(self._concluded)

    @property
    def connected(self) -> bool:
        """The session is open and the address book is up to date."""
        return self._session is not None and self._session.ready

    async def start(self) -> None:
        """Note that no session survived, and begin."""
        await self._core.database.write(facts.session_ended)
        self._refused = await self._core.database.read(lambda c: facts.get(c, facts.REFUSED))
        await self._take_trust()
        await self._core.reload_trust()
        self._attempt()
        self._maintain()

    def stop(self) -> None:
        """Say goodbye and stay away."""
        self._stopped = True
        for timer in (self._retry, self._round):
            if timer is not None:
                timer.cancel()
        if self._session is not None:
            self._session.link.end(f.Goodbye.DONE, "this node is going down")

    def reconnect_soon(self) -> None:
        """Try at once if an attempt is being waited for (somebody poked, or put), with some exceptions."""
        ago_s = self._core.clock.monotonic_s() - self._attempted_s
        if self._retry is not None and not self._told_to_wait and ago_s >= SOON_S:
            self._retry.cancel()
            self._attempt()

    def look_at_keys(self) -> None:
        """Ask for new keys if somebody wants them (``nodes.link.renewal``)."""
        if self._session is not None and self.connected:
            self._session.renewal.look()

    def look_at_trust(self) -> None:
        """Follow changes of the network's own keys that somebody carried here, and call at once."""

        async def take() -> None:
            if await self._take_trust():
                self._by_next = True
                if self._retry is not None:
                    self._retry.cancel()
                    self._attempt()

        spawn(take(), self._maintenance_failed)

    async def _take_trust(self) -> bool:
        try:
            return await following.take_file(self._core)
        except NodeError as error:
            await self._core.post.alarm(error.code, str(error))
            return False

    def _hub_key(self) -> LinkPublicKey:
        """Return by which of the hub's keys to call now: while there are two, by turns until one answers."""
        identity = self._core.identity
        return identity.hub_key_next if self._by_next and identity.hub_key_next else identity.hub_key

    def _put(self) -> None:
        if self._session is not None:
            self._session.sending.wake()
        self.reconnect_soon()

    def _concluded(self) -> None:
        if self._session is not None:
            self._session.news.wake()
        self.reconnect_soon()

    def _wake(self) -> None:
        if self._session is not None:
            self._session.wake()

    def _attempt(self) -> None:
        self._retry = None
        if self._stopped:
            return
        self._attempted_s = self._core.clock.monotonic_s()
        self._core.metrics.connects.inc()
        introduce = self._refused == f.Goodbye.UNKNOWN_KEY
        session = NodeSession(self._core, self._closed, hub_key=self._hub_key(), introduce=introduce)
        self._session = session
        self._connect(session.link, lambda reason: self._closed(session, reason))

    def _closed(self, session: NodeSession, reason: str) -> None:
        if self._session is not session:
            return
        self._session = None
        self._core.metrics.connected.set(0)
        refusal = session.refusal
        level = logging.INFO if session.opened or self._backoff.failures else logging.WARNING
        self.last_failure = reason
        self._by_next = True if session.opened else not self._by_next
        if session.opened:
            if not session.gave_up:  # what fails here, such as a full disk, fails again in the next session
                self._backoff.reset()
            spawn(self._ended(), session.failed)
        self._told_to_wait = session.gave_up or (refusal is not None and refusal.retry_after_s > 0)
        wait_s = None
        if not self._stopped:
            wait_s = self._backoff.next_s()
            if refusal is not None:
                wait_s += refusal.retry_after_s * self._core.random.uniform(0.5, 1.0)
            self._retry = self._core.clock.call_later(wait_s, self._attempt)
        code = refusal.reason.name if refusal else None
        again_s = None if wait_s is None else round(wait_s, 1)
        event(_LOG, level, "hub-lost", reason=reason, code=code, again_in_s=again_s)
        if refusal is not None and refusal.reason in facts.REFUSALS:
            self._note_refusal(refusal.reason, facts.REFUSALS[refusal.reason])

    def _note_refusal(self, reason: int, text: str) -> None:
        """Keep why the hub does not let us in (0: it does), and tell the operator, once for each change."""
        if reason == self._refused:
            return
        self._refused = reason
        spawn(self._keep_refusal(reason, text), self._maintenance_failed)

    async def _keep_refusal(self, reason: int, text: str) -> None:
        await self._core.database.write(lambda c: facts.put(c, facts.REFUSED, reason))
        if reason:
            await self._core.post.alarm("hub-refuses", f"the hub does not let this node in: {text}")

    async def _ended(self) -> None:
        await self._core.database.write(facts.session_ended)

    # ── what time does to queued messages ──────────────────────────────────────────────

    def _maintain(self) -> None:
        self._core.metrics.connected.set(self.connected)
        if self.connected:
            self._note_refusal(0, "")
            self._try_next_key()
        self.look_at_keys()
        self._round = self._core.clock.call_later(MAINTENANCE_S, self._maintain)
        spawn(self._return_expired(), self._maintenance_failed)
        self._wake()

    def _try_next_key(self) -> None:
        """Call again if this session is by the hub's old key and has been for long: by the new one first."""
        session, upcoming = self._session, self._core.identity.hub_key_next
        ago_s = self._core.clock.monotonic_s() - self._attempted_s
        if session and upcoming and session.hub_key != upcoming and ago_s >= following.TRY_AGAIN_S:
            session.call_again("to try the hub's new key again")

    async def _return_expired(self) -> None:
        """Return what expired here and certainly never reached the hub; the hub judges the rest."""
        if self._session is not None and self._session.opened:
            return
        core = self._core
        now_ms = core.clock.now_ms()
        text = f"the hub could not be reached: {self.last_failure}"

        def operation(connection: Connection) -> list[bytes]:
            if facts.get(connection, facts.CONNECTED):
                return []  # a session has begun since: it may have submitted them already
            found = progress.unsent_and_expired(connection, now_ms, EXPIRED_PER_ROUND)
            for seq, _ in found:
                progress.returned(connection, seq, "expired", text, now_ms)
            return [identifier for _, identifier in found]

        if await core.database.read(lambda c: progress.unsent_and_expired(c, now_ms, 1)):
            expired = await core.database.write(operation)
            core.metrics.returned.inc(len(expired))
            core.post.moved(expired)

    def _maintenance_failed(self, error: BaseException) -> None:
        event(_LOG, logging.WARNING, "maintenance-failed", cause=error)
