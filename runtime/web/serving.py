"""HTTP under limits: a Site whose connections are few, and whose every phase has an absolute deadline.

twisted.web closes a connection that has been *silent* for a while, so a client that sends one byte now and
then keeps it for ever (a "slow loris"). Here one timer runs in every phase of a connection and no byte resets
it:

- the request's head, from the moment of connecting: ``head_s``;
- its body: ``body_s``, and never more than ``max_body_bytes`` (answered 413, then closed);
- the answer, until all of it is on its way: ``answer_s``;
- waiting for the next request, that request's head included: ``idle_s``.

When it rings the connection is aborted. Connections beyond ``max_connections`` in all, or ``max_per_address``
from one address, are closed as soon as they are accepted, before anything is read.

One thing takes its own time: an answer on its way to a slow client. It is cut when less than
``PROGRESS_BYTES`` of it arrived in ``idle_s``, and not before. The kernel is asked for that: what it holds
for a client is megabytes, and those are minutes on a slow line.

What is not promised: fairness between addresses. Behind a proxy all clients have one address, so a process
that is meant to stand behind one sets ``max_per_address`` accordingly.
"""

# twisted.web is mostly unannotated, and its names are camelCase:
# mypy: allow-untyped-calls
# ruff: noqa: N802

import logging
import socket
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.http import Request as BaseRequest
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from runtime.clock import Clock, Handle
from runtime.logs import event

PROGRESS_BYTES: Final = 16 * 1_024
"""What a client has to take of an answer in ``idle_s``: at 60 seconds, less than any line is slow."""
_ACKED: Final = slice(120, 128)
"""``tcpi_bytes_acked`` in Linux's ``struct tcp_info`` (since 4.1)."""
_LOG: Final = logging.getLogger(__name__)
_REFUSAL = (
    b"HTTP/1.1 413 Content Too Large\r\n"
    b"Connection: close\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 22\r\n\r\n"
    b"The body is too large\n"
)
_NOT_KEPT = (
    b"HTTP/1.1 503 Service Unavailable\r\n"
    b"Connection: close\r\nRetry-After: 10\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: 36\r\n\r\n"
    b"The body cannot be kept: try again.\n"
)


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """The bounds of one HTTP service; seconds, bytes and counts."""

    max_connections: int
    max_per_address: int
    max_body_bytes: int
    head_s: float
    body_s: float
    answer_s: float
    idle_s: float


class BoundedRequest(Request):
    """A request whose body is refused as soon as it is known to be larger than the site allows."""

    channel: "BoundedChannel"
    _refused = False
    _body_bytes = 0

    def gotLength(self, length: int | None) -> None:
        """Judge the length that the head announces; None (chunked) is judged as it comes."""
        try:
            super().gotLength(length)  # a file, from 100,000 bytes on
        except OSError as error:
            self.content = BytesIO()
            self.not_kept(error)
            return
        if (length or 0) > self._max_body_bytes or (length is None and self._max_body_bytes == 0):
            self._refuse()

    def handleContentChunk(self, data: bytes) -> None:
        """Keep a piece of the body, unless it is one too many."""
        self._body_bytes += len(data)
        if self._body_bytes > self._max_body_bytes:
            self._refuse()
        if self._refused:
            return
        try:
            super().handleContentChunk(data)
        except OSError as error:
            self.not_kept(error)

    def not_kept(self, error: OSError) -> None:
        """Refuse a body for which there is no file, or no room, on this machine just now."""
        event(_LOG, logging.WARNING, "body-not-kept", reason=error)
        self._refused = True
        self.channel.refuse(_NOT_KEPT)

    def process(self) -> None:
        """Answer, unless that was done already."""
        if not self._refused:
            super().process()

    def render(self, resrc: Any) -> None:
        """Answer without telling which server, in which version, this is."""
        self.responseHeaders.removeHeader(b"server")
        super().render(resrc)

    @property
    def _max_body_bytes(self) -> int:
        return self.channel.site.limits.max_body_bytes

    def _refuse(self) -> None:
        if not self._refused:
            self._refused = True
            self.channel.refuse(self.channel.too_large)


class BoundedChannel(HTTPChannel):
    """One connection, with the deadline of the phase it is in."""

    site: "BoundedSite"
    transport: Any
    _deadline: Handle | None = None
    _address: str | None = None
    _refused = False
    _arrived = 0

    @property
    def too_large(self) -> bytes:
        """What is answered to a body that is too large, whole."""
        return _REFUSAL

    def admitted(self, address: str) -> None:
        """Remember the ``address`` that this connection counts for."""
        self._address = address

    def refuse(self, answer: bytes) -> None:
        """Send a whole ``answer`` instead of what a handler would say, and close when it is out."""
        self._refused = True
        self._within(self.site.limits.idle_s)
        self.transport.write(answer)
        self.loseConnection()

    def connectionMade(self) -> None:
        """Begin with the head of the first request."""
        super().connectionMade()
        self._within(self.site.limits.head_s)

    def allHeadersReceived(self) -> None:
        """Go on to the body."""
        self._within(self.site.limits.body_s)
        super().allHeadersReceived()

    def allContentReceived(self) -> None:
        """Go on to the answer."""
        if not self._refused:
            self._within(self.site.limits.answer_s)
        super().allContentReceived()

    def requestDone(self, request: Request) -> None:
        """Go on to the next request, or to sending what is left of this answer."""
        self.sending()
        super().requestDone(request)

    def preparing(self) -> None:
        """Wait for the next piece of an answer."""
        self._within(self.site.limits.answer_s)

    def sending(self) -> None:
        """Wait for the client to take what was written, and then for what it asks next."""
        self._arrived = _arrived_bytes(self.transport)
        self._within(self.site.limits.idle_s, self._look)

    def _look(self) -> None:
        if _arrived_bytes(self.transport) - self._arrived >= PROGRESS_BYTES:
            self.sending()
        else:
            self.forceAbortClient()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Make room for another connection."""
        if self._deadline is not None:
            self._deadline.cancel()
        if self._address is not None:
            self.site.released(self._address)
            self._address = None
        super().connectionLost(reason)

    def _within(self, seconds: float, ring: Callable[[], object] | None = None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.site.clock.call_later(seconds, ring or self.forceAbortClient)


def _arrived_bytes(transport: Any) -> int:
    """Return how much a client is known to have got; 0 if the transport is no TCP socket of Linux."""
    try:
        told = transport.getHandle().getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _ACKED.stop)
    except (AttributeError, OSError):
        return 0
    return int.from_bytes(told[_ACKED], sys.byteorder)


class BoundedSite(Site):
    """A Site under :class:`HttpLimits`, to listen with like any Twisted factory. It keeps no access log."""

    protocol = BoundedChannel  # type: ignore[assignment]  # plain HTTP/1.1, without the wrapper that negotiates

    def __init__(self, root: Resource, *, reactor: Any, clock: Clock, limits: HttpLimits) -> None:
        """Serve ``root``; ``clock`` keeps the deadlines, ``reactor`` is for Twisted's own needs."""
        super().__init__(root, requestFactory=BoundedRequest, timeout=None, reactor=reactor)
        self.clock = clock
        self.limits = limits
        self._connections: Counter[str] = Counter()

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return self._connections.total()

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Return a channel for the connection from ``addr``, or None to have it closed."""
        address = str(getattr(addr, "host", ""))
        if (
            self.connections >= self.limits.max_connections
            or self._connections[address] >= self.limits.max_per_address
        ):
            return None
        channel = super().buildProtocol(addr)
        self._connections[address] += 1
        channel.admitted(address)
        return channel

    def released(self, address: str) -> None:
        """Forget one connection from ``address``."""
        self._connections[address] -= 1
        if not self._connections[address]:
            del self._connections[address]

    def startFactory(self) -> None:
        """Open no access log, and so start no timer for its dates."""

    def log(self, request: BaseRequest) -> None:
        """Write no access log: who asks for what is audited by those who answer."""
