"""The Twisted end of a link: a thin wrapper that gives a pure session a socket and a clock.

The session decides everything; this class feeds it, hands its events to an owner, writes
what it wants to send, once a reactor turn for all that was said in that turn, and keeps
the timers: the handshake's deadline, a ping into silence, a new key now and then, and the
end of a goodbye that nobody answers.

Frames and chunks are written only while the transport has room, and the owner is asked for
more then (``link_has_room``), so that neither memory nor the socket's buffer fills with a scan
while an order waits, or with answers to a peer that asks and never reads. Where the system
can, it is told to keep its unsent buffer small.
"""

from __future__ import annotations

import contextlib
import socket
from typing import Any, Final, Protocol

from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol as TwistedProtocol
from zope.interface import implementer  # type: ignore[import-untyped]  # ships no types

from protocols.link import frames as f
from protocols.link import limits
from protocols.link.errors import LocalError
from protocols.link.session import Broken, LinkEvent, LinkSession, Opened, PeerLeft
from protocols.link.states import Phase
from runtime.clock import Clock, Handle

BULK_RECORDS_PER_WRITE: Final = 4
UNSENT_BYTES: Final = 131_072
_TCP_NOTSENT_LOWAT: Final = getattr(socket, "TCP_NOTSENT_LOWAT", 25)
_TICK_S: Final = 5.0


class LinkOwner(Protocol):
    """Who acts on a link's events."""

    def link_event(self, event: LinkEvent) -> None:
        """Act on one event of the session."""

    def link_has_room(self) -> None:
        """Say more chunks, if there are any: the transport takes them."""

    def link_lost(self, reason: str) -> None:
        """Take note that the link is gone; the last call."""


@implementer(IPushProducer)
class TwistedLink(TwistedProtocol):
    """A Twisted protocol around one :class:`~protocols.link.session.LinkSession`."""

    def __init__(self, session: LinkSession, owner: LinkOwner, clock: Clock) -> None:
        self.transport: Any = None
        self.session = session
        self._owner = owner
        self._clock = clock
        self._flush_due = False
        self._deadline: Handle | None = None
        self._ticker: Handle | None = None
        self._paused = False
        self._reading = True
        self._heard_s = 0.0
        self._asked_s = 0.0
        self._rekeyed_s = 0.0
        self._closing = False
        self._lost = False
        self._reason = ""
        self.peer = ""

    # ── for the owner ──────────────────────────────────────────────────────────────────

    def send(self, frame: f.AnyFrame) -> None:
        """Say one frame; it is written at the end of this turn."""
        self.session.send(frame)
        self.flush_soon()

    def flush_soon(self) -> None:
        """Write what the session has to say at the end of this turn."""
        if not self._flush_due and not self._lost:
            self._flush_due = True
            self._clock.soon(self._flush)

    def end(self, reason: f.Goodbye, text: str = "", retry_after_s: int = 0) -> None:
        """Say goodbye, and close when the peer has read it or ``GOODBYE_S`` later."""
        if self._lost:
            return
        self._reason = self._reason or text or reason.name.lower()
        self.session.end(f.End(reason, text[: limits.REASON_TEXT_CHARS], retry_after_s))
        self.close_after_goodbye()

    def close_after_goodbye(self) -> None:
        """Write what is pending and close; again is nothing new."""
        if self._closing or self._lost:
            return
        self._flush()
        self._set_deadline(limits.GOODBYE_S)
        if self.transport is not None:
            self._closing = True
            # A paused producer would be asked for more when all is written, and the connection stay open.
            self.transport.unregisterProducer()
            self.transport.loseConnection()

    def abort(self, reason: str) -> None:
        """Cut the connection now."""
        self._reason = self._reason or reason
        if self.transport is not None and not self._lost:
            self.transport.abortConnection()

    def pause_reading(self) -> None:
        """Take no more bytes from the peer until :meth:`resume_reading`."""
        if self._reading and self.transport is not None and not self._lost:
            self._reading = False
            self.transport.pauseProducing()

    def resume_reading(self) -> None:
        """Take bytes again."""
        if not self._reading and self.transport is not None and not self._lost:
            self._reading = True
            self._heard_s = self._clock.monotonic_s()
            self.transport.resumeProducing()

    @property
    def has_room(self) -> bool:
        """The transport takes chunks now."""
        return not self._paused and not self._lost and self.session.open and self.session.bulk_room > 0

    # ── called by Twisted ──────────────────────────────────────────────────────────────

    def connectionMade(self) -> None:  # noqa: N802 - Twisted's name
        """Begin: write the first packet, if this end has one, and start the timers."""
        assert self.transport is not None
        self.peer = _peer_of(self.transport)
        self._bound_unsent()
        self.transport.registerProducer(self, True)  # noqa: FBT003 - Twisted's signature
        now_s = self._clock.monotonic_s()
        self._heard_s = self._asked_s = self._rekeyed_s = now_s
        self._set_deadline(limits.HANDSHAKE_TIMEOUT_S)
        self._flush()

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        """Feed the session and act on what it says."""
        self._heard_s = self._clock.monotonic_s()
        for event in self.session.receive(data):
            if self._lost:
                return
            if self._closing and not isinstance(event, (PeerLeft, Broken)):
                continue  # it came in one piece with what made the owner say goodbye
            self._act(event)
        self.flush_soon()

    def connectionLost(self, reason: Any = None) -> None:  # noqa: N802 - Twisted's name
        """Stop every timer and tell the owner, once."""
        if self._lost:
            return
        self._lost = True
        for timer in (self._deadline, self._ticker):
            if timer is not None:
                timer.cancel()
        self.session.lost()
        text = getattr(reason, "getErrorMessage", lambda: "connection lost")()
        self._owner.link_lost(self._reason or text)

    def pauseProducing(self) -> None:  # noqa: N802 - Twisted's name
        """Hold chunks back: the transport's buffer is full."""
        self._paused = True

    def resumeProducing(self) -> None:  # noqa: N802 - Twisted's name
        """Go on: the transport's buffer is empty."""
        self._paused = False
        self.flush_soon()

    def stopProducing(self) -> None:  # noqa: N802 - Twisted's name
        """Ignore: the loss of the connection is told by ``connectionLost``."""

    # ── inside ─────────────────────────────────────────────────────────────────────────

    def _act(self, event: LinkEvent) -> None:
        if isinstance(event, Opened) and self.session.phase is Phase.OPEN:
            # While joining, the deadline stays: it is meant for that whole session.
            self._set_deadline(None)
            self._ticker = self._clock.call_later(_TICK_S, self._tick)
        elif isinstance(event, PeerLeft):
            self._reason = self._reason or event.end.text or event.end.reason.name.lower()
        elif isinstance(event, Broken):
            self._reason = self._reason or f"{event.code}: {event.text}"
        self._owner.link_event(event)
        if isinstance(event, (PeerLeft, Broken)):
            self.close_after_goodbye()

    def _flush(self) -> None:
        self._flush_due = False
        if self._lost or self.transport is None:
            return
        if self._paused and self.session.open:
            # The peer does not read. What it is told waits in the session, which has a bound, and not in
            # the transport, which has none.
            return
        if self.session.open and self.has_room:
            self._owner.link_has_room()
        data = self.session.data_to_send(0 if self._paused else BULK_RECORDS_PER_WRITE)
        if not data:
            return
        self.transport.write(data)
        if self.session.phase is Phase.ENDING:
            return
        if not self._paused and self.session.bulk_room < limits.PENDING_BULK_FRAMES:
            self.flush_soon()

    def _set_deadline(self, seconds: float | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if seconds is not None:
            self._deadline = self._clock.call_later(seconds, self._too_late)

    def _too_late(self) -> None:
        self._deadline = None
        self.abort(f"no progress: {self.session.phase.value}")

    def _tick(self) -> None:
        now_s = self._clock.monotonic_s()
        quiet_s = now_s - self._heard_s
        # A silent link costs as little as may be: one of thousands, it rests until it is time to ask.
        wait_s = _TICK_S
        if quiet_s >= _TICK_S:
            self.session.rest()
            wait_s = max(wait_s, limits.PING_S - quiet_s)
        self._ticker = self._clock.call_later(wait_s, self._tick)
        if not self.session.open:
            return
        if self._reading and quiet_s > limits.SILENCE_S:
            self.abort(f"no byte from the peer for {limits.SILENCE_S:.0f} s")
            return
        if now_s - max(self._heard_s, self._asked_s) > limits.PING_S:
            self._asked_s = now_s
            with contextlib.suppress(LocalError):  # too much waits already: then it is asked later
                self.send(f.Ping(int(now_s)))
        if now_s - self._rekeyed_s > limits.REKEY_S:
            self._rekeyed_s = now_s
            self.session.rekey()
            self.flush_soon()

    def _bound_unsent(self) -> None:
        get_handle = getattr(self.transport, "getHandle", None)
        if get_handle is None:
            return
        with contextlib.suppress(OSError, AttributeError):
            get_handle().setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, UNSENT_BYTES)
        with contextlib.suppress(OSError, AttributeError):
            self.transport.setTcpNoDelay(True)


def _peer_of(transport: Any) -> str:
    peer = transport.getPeer()
    host, port = getattr(peer, "host", None), getattr(peer, "port", None)
    return f"{host}:{port}" if host is not None else str(peer)
