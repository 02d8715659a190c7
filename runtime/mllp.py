"""An MLLP listener over Twisted: one awaited handler per message, answers in order, everything bounded.

Thin, as is the client (:mod:`runtime.mllp_client`): :class:`protocols.mllp.FrameReader` knows the
framing, the caller knows HL7, and here are only timers, order and bounds. All time comes from the
:class:`runtime.clock.Clock` that is passed in.

The listener (:class:`MllpServerFactory`, one :class:`MllpServerProtocol` per connection) calls
``handler(payload, peer)`` for each message in the order of arrival, several at once within a bound,
and writes the answers in that same order. When the bound is reached, or the peer does not read its
answers, it stops reading: TCP then holds the sender back. A handler that raises has acknowledged
nothing: the connection is closed after the answers before it, and the sender repeats. A peer that
closes its sending side still gets its answers.

Not promised: that a handler which fails stops those that were started after it for the same sender,
which has sent several messages without waiting. ``max_in_flight=1`` promises that.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer  # type: ignore[import-untyped]  # zope ships no types

from protocols.mllp import Event, FrameReader, FrameTooLarge, GarbageSkipped, MessageReceived, frame
from runtime.clock import Clock, Handle

MAX_FRAME_BYTES: Final = 16 * 1024 * 1024
MAX_CONNECTIONS: Final = 200
MAX_IN_FLIGHT: Final = 8
#: Unfinished frames and messages being handled, over all connections of a listener.
MAX_BUFFERED_BYTES: Final = 256 * 1024 * 1024
#: Bytes outside frames after which a peer is not speaking MLLP.
MAX_GARBAGE_BYTES: Final = 1024 * 1024
IDLE_TIMEOUT_S: Final = 600.0
FRAME_TIMEOUT_S: Final = 60.0
#: Silence after which a frame that ended with FS, and no CR, is taken as whole.
QUIET_S: Final = 0.25

_log = Logger()

Handler = Callable[[bytes, "Peer"], Awaitable[bytes | list[bytes] | None]]
FaultHandler = Callable[[GarbageSkipped | FrameTooLarge, "Peer"], bytes | None]


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end of a connection."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class MllpLimits:
    """Bounds of a listener; see the constants of the same names."""

    max_frame_bytes: int = MAX_FRAME_BYTES
    max_connections: int = MAX_CONNECTIONS
    max_in_flight: int = MAX_IN_FLIGHT
    max_buffered_bytes: int = MAX_BUFFERED_BYTES
    max_garbage_bytes: int = MAX_GARBAGE_BYTES
    idle_timeout_s: float = IDLE_TIMEOUT_S
    frame_timeout_s: float = FRAME_TIMEOUT_S
    quiet_s: float = QUIET_S


@dataclass(slots=True)
class _Turn:
    """A message's place in the order of answers."""

    size_bytes: int
    answers: list[bytes] | None = None
    failed: bool = False


@implementer(IHalfCloseableProtocol, IPushProducer)
class MllpServerProtocol(Protocol):
    """One connection of a hospital system to us (a Twisted protocol)."""

    def __init__(self, factory: "MllpServerFactory") -> None:
        self._owner = factory
        self._limits = factory.limits
        self._clock = factory.clock
        self._reader = FrameReader(self._limits.max_frame_bytes)
        self._peer = Peer("", 0)
        self._waiting: deque[tuple[bytes, _Turn]] = deque()
        self._turns: deque[_Turn] = deque()
        self._running = 0
        self._pending_bytes = 0
        self._held_bytes = 0
        self._garbage_bytes = 0
        self._connected = False
        self._leaving = False
        self._ending = False
        self._peer_is_slow = False
        self._paused = False
        self._last_activity_s = 0.0
        self._idle_timer: Handle | None = None
        self._frame_timer: Handle | None = None
        self._quiet_timer: Handle | None = None

    @property
    def held_bytes(self) -> int:
        """Bytes in memory for this connection: the unfinished frame and the unanswered messages."""
        return self._held_bytes

    def _account(self) -> None:
        held = self._reader.buffered_bytes + self._pending_bytes
        if held != self._held_bytes:
            change, self._held_bytes = held - self._held_bytes, held
            self._owner.account(change)

    def connectionMade(self) -> None:  # noqa: N802 (Twisted calls it)
        """Twisted: the connection is there."""
        address: Any = self._transport.getPeer()
        self._peer = Peer(str(getattr(address, "host", address)), int(getattr(address, "port", 0)))
        self._connected = True
        if not self._owner.admit(self):
            self._transport.abortConnection()
            return
        self._transport.registerProducer(self, streaming=True)
        self._last_activity_s = self._clock.monotonic_s()
        self._watch_idleness(self._limits.idle_timeout_s)

    @property
    def _transport(self) -> Any:
        assert self.transport is not None
        return self.transport

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 (Twisted calls it)
        """Twisted: bytes came."""
        if not self._connected:
            return
        self._last_activity_s = self._clock.monotonic_s()
        _cancel(self._quiet_timer)
        self._quiet_timer = None
        self._act_on(self._reader.feed(data))
        if self._reader.ended_but_for_cr:
            self._quiet_timer = self._clock.call_later(self._limits.quiet_s, self._grown_quiet)
        self._watch_frame()

    def _act_on(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, MessageReceived):
                # The next frame gets its full time again.
                _cancel(self._frame_timer)
                self._frame_timer = None
                turn = _Turn(len(event.payload))
                self._turns.append(turn)
                self._waiting.append((event.payload, turn))
                self._pending_bytes += turn.size_bytes
            else:
                self._note_fault(event)
        self._account()
        self._start_handlers()

    def _note_fault(self, fault: GarbageSkipped | FrameTooLarge) -> None:
        answer = None if self._owner.on_fault is None else self._owner.on_fault(fault, self._peer)
        if answer is not None:
            # Behind the answers of the messages before it, which may not even have started.
            self._turns.append(_Turn(0, [frame(answer)]))
            self._write_answers()
        if isinstance(fault, GarbageSkipped):
            self._garbage_bytes += fault.size_bytes
            if self._garbage_bytes > self._limits.max_garbage_bytes:
                self.drop("sends bytes that are not MLLP")

    def _start_handlers(self) -> None:
        while self._waiting and self._running < self._limits.max_in_flight:
            payload, turn = self._waiting.popleft()
            self._running += 1
            ensureDeferred(self._handle(payload, turn))
        self._regulate()

    async def _handle(self, payload: bytes, turn: _Turn) -> None:
        try:
            answer = await self._owner.handler(payload, self._peer)
            answers = answer if isinstance(answer, list) else [] if answer is None else [answer]
            turn.answers = [frame(part) for part in answers]
        except Exception:  # noqa: BLE001 (whatever it was, nothing may be acknowledged)
            _log.failure("MLLP handler failed for {peer}", peer=self._peer)
            turn.failed = True
        self._running -= 1
        self._pending_bytes -= turn.size_bytes
        self._write_answers()
        self._account()
        self._start_handlers()

    def _write_answers(self) -> None:
        while self._turns and (self._turns[0].answers is not None or self._turns[0].failed):
            turn = self._turns.popleft()
            if not self._connected:
                continue
            if turn.failed:
                self._drop_waiting()
                self._leave()
            elif turn.answers:
                self._last_activity_s = self._clock.monotonic_s()
                self._transport.write(b"".join(turn.answers))
        if self._ending and self._connected and not self._turns:
            self._leave()

    def _drop_waiting(self) -> None:
        self._pending_bytes -= sum(turn.size_bytes for _, turn in self._waiting)
        self._waiting.clear()
        self._turns.clear()

    def _leave(self) -> None:
        """Close once everything written has gone out; a peer that does not read it is still dropped."""
        self._connected, self._leaving = False, True
        # Twisted waits for a paused producer before it closes.
        self._transport.unregisterProducer()
        self._transport.loseConnection()

    def _regulate(self) -> None:
        if not self._connected or self._ending:
            return
        full = self._running >= self._limits.max_in_flight or bool(self._waiting) or self._peer_is_slow
        if full != self._paused:
            self._paused = full
            if full:
                self._transport.pauseProducing()
            else:
                self._transport.resumeProducing()

    def pauseProducing(self) -> None:  # noqa: N802 (Twisted calls it)
        """Twisted: the peer does not read its answers; take nothing more from it."""
        self._peer_is_slow = True
        self._regulate()

    def resumeProducing(self) -> None:  # noqa: N802 (Twisted calls it)
        """Twisted: the peer reads again."""
        self._peer_is_slow = False
        self._regulate()

    def stopProducing(self) -> None:  # noqa: N802 (Twisted calls it)
        """Twisted: no more writing; connectionLost follows."""

    def _grown_quiet(self) -> None:
        self._quiet_timer = None
        self._act_on(self._reader.flush())
        self._watch_frame()

    def _watch_frame(self) -> None:
        if not self._reader.inside_frame:
            _cancel(self._frame_timer)
            self._frame_timer = None
        elif self._frame_timer is None:
            self._frame_timer = self._clock.call_later(
                self._limits.frame_timeout_s, self._drop_unless_paused, "began a frame and did not end it"
            )

    def _drop_unless_paused(self, reason: str) -> None:
        """Drop the peer, unless it is we who do not read."""
        self._frame_timer = None
        if self._paused:
            self._watch_frame()
        elif self._connected:
            self.drop(reason)

    def _watch_idleness(self, delay_s: float) -> None:
        self._idle_timer = self._clock.call_later(delay_s, self._check_idleness)

    def _check_idleness(self) -> None:
        left_s = self._last_activity_s + self._limits.idle_timeout_s - self._clock.monotonic_s()
        if self._turns and not self._peer_is_slow:
            # Waiting for us, not we for it.
            left_s = self._limits.idle_timeout_s
        if left_s > 0:
            self._watch_idleness(left_s)
        else:
            self.drop("was idle too long")

    def finish(self) -> None:
        """Read nothing more; close when the answers that are due have been written."""
        if self._connected and not self._ending:
            self._transport.pauseProducing()
            self._ending = True
            self._write_answers()

    def drop(self, reason: str) -> None:
        """Abort the connection; the peer repeats what was not acknowledged."""
        if self._connected or self._leaving:
            _log.info("MLLP connection of {peer} dropped: it {reason}", peer=self._peer, reason=reason)
            self._connected = self._leaving = False
            self._drop_waiting()
            self._owner.dropped += 1
            self._transport.abortConnection()

    def readConnectionLost(self) -> None:  # noqa: N802 (Twisted calls it)
        """Twisted: the peer has sent all that it will send, and may still read."""
        self._ending = True
        self._act_on(self._reader.flush())
        self._write_answers()

    def writeConnectionLost(self) -> None:  # noqa: N802 (Twisted calls it)
        """Twisted: the peer reads no more; connectionLost follows."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: N802 (Twisted calls it)
        """Twisted: the connection has ended."""
        admitted = self._connected
        self._connected = self._leaving = False
        for timer in (self._idle_timer, self._frame_timer, self._quiet_timer):
            _cancel(timer)
        if admitted and isinstance(reason.value, ConnectionDone):
            self._act_on(self._reader.flush())
        self._reader = FrameReader(1)
        self._account()
        self._owner.forget(self)


class MllpServerFactory(Factory):
    """The listener's connections and what they share (a Twisted factory).

    ``handler(payload, peer)`` gives the answer or answers to frame, or None for none. ``on_fault``
    (optional, must not raise) is told of garbage and of frames over the limit and may answer.
    ``refused`` counts connections over the limit, ``dropped`` those closed for their behaviour.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        clock: Clock,
        limits: MllpLimits | None = None,
        on_fault: FaultHandler | None = None,
    ) -> None:
        self.handler = handler
        self.clock = clock
        self.limits = MllpLimits() if limits is None else limits
        self.on_fault = on_fault
        self.connections: set[MllpServerProtocol] = set()
        self.refused = 0
        self.dropped = 0
        self._held_bytes = 0
        self._closing = False
        self._all_gone: list[Deferred[None]] = []

    def buildProtocol(self, addr: IAddress | None) -> MllpServerProtocol:  # noqa: ARG002, N802 (Twisted's signature)
        """Twisted: somebody connects."""
        return MllpServerProtocol(self)

    def admit(self, connection: MllpServerProtocol) -> bool:
        """Count a connection in, or refuse it."""
        if self._closing or len(self.connections) >= self.limits.max_connections:
            self.refused += 1
            return False
        self.connections.add(connection)
        return True

    def forget(self, connection: MllpServerProtocol) -> None:
        """Count a connection out."""
        self.connections.discard(connection)
        if not self.connections:
            waiting, self._all_gone = self._all_gone, []
            for gone in waiting:
                gone.callback(None)

    def account(self, change_bytes: int) -> None:
        """Keep the sum of what is held; drop whoever holds most while it is too much."""
        self._held_bytes += change_bytes
        if self._held_bytes > self.limits.max_buffered_bytes:
            greediest = max(self.connections, key=lambda connection: connection.held_bytes, default=None)
            if greediest is not None:
                greediest.drop("held too much memory")

    async def close(self, grace_s: float) -> None:
        """Answer what was received, then close all connections; abort what is left after ``grace_s``."""
        self._closing = True
        for connection in tuple(self.connections):
            connection.finish()
        if not self.connections:
            return
        gone: Deferred[None] = Deferred()
        self._all_gone.append(gone)
        timer = self.clock.call_later(grace_s, self._abort_all)
        await gone
        timer.cancel()

    def _abort_all(self) -> None:
        for connection in tuple(self.connections):
            connection.drop("did not end in time")


def _cancel(timer: Handle | None) -> None:
    if timer is not None:
        timer.cancel()
