"""An MLLP client over Twisted: a message out, its answer in, one at a time.

:class:`MllpClient` keeps one connection, made when first needed. An answer that ``is_answer`` does
not recognise is dropped and counted. After a timeout, or anything else that leaves a message
unanswered, the connection is aborted, so that a late answer has nowhere to arrive. The next message
makes a new one.

Not promised: that a message was not processed when ``send`` fails. The caller repeats it, and the
receiver tells repeats apart by MSH-10.
"""

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from protocols.mllp import Event, FrameReader, FrameTooLarge, MessageReceived, frame
from runtime.clock import Clock, Handle

#: An answer larger than this ends the connection: answers are short, even those with content.
MAX_ANSWER_BYTES: Final = 16 * 1024 * 1024
#: Silence after which an answer that ended with FS, and no CR, is taken as whole.
QUIET_S: Final = 0.25
CONNECT_TIMEOUT_S: Final = 10.0


class MllpClientError(Exception):
    """A message was sent in vain, as far as this side knows."""


class ConnectFailed(MllpClientError):  # noqa: N818 (reads as what it is)
    """No connection came about; nothing was sent."""


class AnswerTimeout(MllpClientError):  # noqa: N818 (likewise)
    """No answer came in time; the message may have been taken."""


class ConnectionLost(MllpClientError):  # noqa: N818 (likewise)
    """The connection ended before the answer; the message may have been taken."""


class AlreadySending(Exception):  # noqa: N818 (likewise)
    """Our own caller started a second message before the first was answered."""


class _ClientConnection(Protocol):
    """One connection to a hospital system; lives as long as it is of use to its client."""

    def __init__(self, owner: "MllpClient", max_frame_bytes: int) -> None:
        self._owner = owner
        self._reader = FrameReader(max_frame_bytes)
        self._quiet_timer: Handle | None = None
        self.lost = False
        self._abandoned = False

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 (Twisted calls it)
        """Twisted: bytes came."""
        _cancel(self._quiet_timer)
        self._quiet_timer = None
        self._act_on(self._reader.feed(data))
        if self._reader.ended_but_for_cr and not self.lost:
            self._quiet_timer = self._owner.clock.call_later(QUIET_S, self._grown_quiet)

    def _grown_quiet(self) -> None:
        self._quiet_timer = None
        self._act_on(self._reader.flush())

    def _act_on(self, events: list[Event]) -> None:
        for event in events:
            if self._abandoned:
                return
            if isinstance(event, MessageReceived):
                self._owner.received(event.payload)
            elif isinstance(event, FrameTooLarge):
                self._owner.fail(ConnectionLost(f"the answer is larger than {event.limit_bytes} bytes"))

    def write(self, data: bytes) -> None:
        """Send framed bytes."""
        transport: Any = self.transport
        transport.write(data)

    def abort(self) -> None:
        """End at once, unsent bytes included; nothing that still comes is heard."""
        self._abandoned = True
        transport: Any = self.transport
        transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: N802 (Twisted calls it)
        """Twisted: the connection has ended."""
        self.lost = True
        _cancel(self._quiet_timer)
        self._act_on(self._reader.flush())
        self._owner.lost(self, reason)


class MllpClient:
    """One persistent connection to a hospital system, one message at a time.

    ``endpoint`` is Twisted's ``IStreamClientEndpoint``. ``dropped_answers`` counts frames that were no
    answer to the message on the way.
    """

    def __init__(
        self,
        endpoint: Any,
        *,
        clock: Clock,
        max_frame_bytes: int = MAX_ANSWER_BYTES,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
    ) -> None:
        self.clock = clock
        self.dropped_answers = 0
        self._endpoint = endpoint
        self._max_frame_bytes = max_frame_bytes
        self._connect_timeout_s = connect_timeout_s
        self._connection: _ClientConnection | None = None
        self._answer: Deferred[bytes] | None = None
        self._is_answer: Callable[[bytes], bool] | None = None
        self._sending = False
        self._attempt: Deferred[Any] | None = None

    @classmethod
    def to(cls, reactor: Any, host: str, port: int, *, clock: Clock) -> "MllpClient":
        """Make a client for ``host``:``port`` (name, IPv4 or IPv6) on ``reactor``."""
        return cls(HostnameEndpoint(reactor, host, port), clock=clock)

    @property
    def connected(self) -> bool:
        """Whether a connection is there; it may be half dead, which only sending finds out."""
        return self._connection is not None

    async def send(self, payload: bytes, *, timeout_s: float, is_answer: Callable[[bytes], bool]) -> bytes:
        """Send ``payload`` and return the first frame that ``is_answer`` takes, within ``timeout_s``.

        The time runs from sending; connecting has its own limit. Raises :class:`ConnectFailed`,
        :class:`AnswerTimeout` or :class:`ConnectionLost`;
        :class:`protocols.mllp.UnframeablePayload` before anything is sent; :class:`AlreadySending`.
        """
        if self._sending:
            raise AlreadySending("a message is on the way; wait for its answer before the next one")
        framed = frame(payload)
        self._sending = True
        try:
            connection = await self._connect()
            self._answer, self._is_answer = Deferred(), is_answer
            timer = self.clock.call_later(
                timeout_s, self.fail, AnswerTimeout(f"no answer within {timeout_s:g} s of sending")
            )
            try:
                connection.write(framed)
                return await self._answer
            except BaseException:
                # What may still come belongs to this message: it must not meet the next one.
                self._abandon()
                raise
            finally:
                timer.cancel()
                self._answer = self._is_answer = None
        finally:
            self._sending = False

    async def _connect(self) -> _ClientConnection:
        if self._connection is not None:
            return self._connection
        fresh = _ClientConnection(self, self._max_frame_bytes)
        self._attempt = self._endpoint.connect(Factory.forProtocol(lambda: fresh))
        timer = self.clock.call_later(self._connect_timeout_s, self._attempt.cancel)
        try:
            connection: _ClientConnection = await self._attempt
        except Exception as problem:
            raise ConnectFailed(f"no connection: {str(problem) or type(problem).__name__}") from problem
        finally:
            timer.cancel()
            self._attempt = None
        if connection.lost:
            raise ConnectFailed("the connection was closed as soon as it was made")
        self._connection = connection
        return connection

    def received(self, payload: bytes) -> None:
        """Take a frame from the connection."""
        if self._answer is None or self._answer.called or self._is_answer is None:
            self.dropped_answers += 1
            return
        try:
            taken = self._is_answer(payload)
        except Exception as problem:  # noqa: BLE001 (it is the caller's, who shall see it)
            self.fail(problem)
            return
        if taken:
            self._answer.callback(payload)
        else:
            self.dropped_answers += 1

    def fail(self, problem: Exception) -> None:
        """End the message on the way, if there is one, with ``problem``."""
        if self._answer is not None and not self._answer.called:
            self._answer.errback(problem)

    def lost(self, connection: _ClientConnection, reason: Failure) -> None:
        """Note that a connection has ended."""
        if connection is self._connection:
            self._connection = None
            self.fail(ConnectionLost(f"connection ended before the answer: {reason.getErrorMessage()}"))

    def _abandon(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None and not connection.lost:
            connection.abort()

    def close(self) -> None:
        """End the connection; a message on the way fails with :class:`ConnectionLost`."""
        if self._attempt is not None:
            self._attempt.cancel()
        self.fail(ConnectionLost("closed by this side"))
        self._abandon()


def _cancel(timer: Handle | None) -> None:
    if timer is not None:
        timer.cancel()
