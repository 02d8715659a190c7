"""A WSGI application on a port, and its files sent as fast as they are read and no faster.

Twisted's WSGI server writes what an application yields into the connection's buffer, whether the client reads
or not: a scan of 500 MB to a slow browser is 500 MB of memory. So an application does not yield files. It
hands an open one to the server, by what it finds under ``DOWNLOADS`` in the environment of its request, and
answers with an empty body. The server sends the file after that, ``SEND_BYTES`` at a time, each piece when
the one before has left the process. Only the reading of a piece takes a thread.

So a response costs at most ``SEND_BYTES`` here and what the kernel's socket holds, and readers that are slow,
however many there are, hold up neither memory nor threads. How slow they may be
:class:`runtime.web.serving.BoundedChannel` says.
"""

# twisted.web is mostly unannotated, and its names are camelCase:
# mypy: allow-untyped-calls
# ruff: noqa: N802, N815

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool
from twisted.web.resource import Resource
from twisted.web.wsgi import WSGIResource

from runtime.clock import Clock
from runtime.logs import event
from runtime.web.serving import BoundedChannel, BoundedRequest, BoundedSite, HttpLimits

DOWNLOADS: Final = "wasl.download"
"""Key of the WSGI environment: takes (file, first byte, bytes) for the server to send and close."""
SEND_BYTES: Final = 128 * 1_024
"""A piece of a download. More than Twisted's ``bufferSize``: each one waits until the last has gone."""
_OK: Final = frozenset({200, 206})
_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Download:
    file: BinaryIO
    first: int
    size_bytes: int


class WsgiRequest(BoundedRequest):
    """A request that may be answered with a file."""

    channel: WsgiChannel
    _download: _Download | None = None
    _gone = False

    @property
    def environment(self) -> dict[str, Any]:
        """What the application finds in its WSGI environment."""
        return {DOWNLOADS: self.take_download}

    def take_download(self, file: BinaryIO, first: int, size_bytes: int) -> None:
        """Take a file to send; called by the application, in its thread."""
        self._download = _Download(file, first, size_bytes)
        if self._gone:
            self._take_back()

    def finish(self) -> None:
        """Send the file that the application handed over, if it did; then finish."""
        if self.code not in _OK:
            self._take_back()  # it failed after that
        download, self._download = self._download, None
        if download is None:
            super().finish()
            return
        sending = Deferred.fromCoroutine(self._send(download))
        sending.addErrback(self._failed)

    def connectionLost(self, reason: Any) -> None:
        """Clean up after a client that has gone."""
        self._gone = True
        self._take_back()
        super().connectionLost(reason)

    def _take_back(self) -> None:
        download, self._download = self._download, None
        if download is not None:
            download.file.close()

    async def _send(self, download: _Download) -> None:
        flow = _Flow()
        self.registerProducer(flow, True)  # noqa: FBT003 - Twisted's own parameter: it pushes
        left, file = download.size_bytes, download.file
        try:
            file.seek(download.first)
            while left and not self._gone:
                self.channel.preparing()
                piece = await self.channel.site.in_thread(file.read, min(left, SEND_BYTES))
                if not piece:
                    raise EOFError(f"{left} bytes of a file are missing")
                left -= len(piece)
                if not self._gone:
                    self.write(piece)
                    self.channel.sending()
                    await flow.ready()
        finally:
            file.close()
            if not self._gone:
                self.unregisterProducer()
        if not self._gone:
            super().finish()

    def _failed(self, failure: Any) -> None:
        event(_LOG, logging.ERROR, "download-failed", cause=failure.value)
        if not self._gone:
            self.channel.forceAbortClient()


class _Flow:
    """What the transport says of its buffer (IPushProducer), as something to wait for."""

    def __init__(self) -> None:
        self._full: Deferred[None] | None = None

    async def ready(self) -> None:
        if self._full is not None:
            await self._full

    def pauseProducing(self) -> None:
        if self._full is None:
            self._full = Deferred()

    def resumeProducing(self) -> None:
        full, self._full = self._full, None
        if full is not None:
            full.callback(None)

    stopProducing = resumeProducing


class WsgiChannel(BoundedChannel):
    """One connection to an application."""

    site: WsgiSite


class WsgiSite(BoundedSite):
    """The factory to listen with: a WSGI ``application`` that runs in the threads of ``pool``."""

    protocol = WsgiChannel

    def __init__(
        self, application: Any, pool: ThreadPool, *, reactor: Any, clock: Clock, limits: HttpLimits
    ) -> None:
        """Serve ``application``; the pool is the caller's to start and to stop."""
        root = _Application(application, pool, reactor)
        super().__init__(root, reactor=reactor, clock=clock, limits=limits)
        self.requestFactory = WsgiRequest
        self._pool, self._reactor = pool, reactor

    def in_thread(self, work: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        """Run blocking work in one of the application's threads."""
        return deferToThreadPool(self._reactor, self._pool, work, *arguments)


class _Application(Resource):
    """The WSGI application, told of what its server can do for this request."""

    isLeaf = True

    def __init__(self, application: Any, pool: ThreadPool, reactor: Any) -> None:
        super().__init__()
        self._application, self._pool, self._reactor = application, pool, reactor

    def render(self, request: WsgiRequest) -> Any:
        """Start the application in a thread."""

        def application(environ: dict[str, Any], start_response: Any) -> Any:
            environ.update(request.environment)
            return self._application(environ, start_response)

        return WSGIResource(self._reactor, self._pool, application).render(request)
