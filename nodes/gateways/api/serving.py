"""The API on a port: token and host judged by the head alone, large bodies straight to and from the disk.

Twisted's WSGI server keeps a request's body in memory or in ``/tmp``, and writes an answer as fast as the
application gives it, whether the client reads or not. So two things are done here instead. The body of an
upload is written into ``uploads/`` of the home as it comes, and the application takes over the file. An
answer that is a file is handed back by the application, and sent here, piece by piece, as fast as the client
reads; only the reading of a piece takes a thread.

Who has no token gets 401 before any of his body is read.
"""

# twisted.web is mostly unannotated, and its names are camelCase:
# mypy: allow-untyped-calls
# ruff: noqa: N802, N815

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Final

from flask import Flask
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool
from twisted.web.resource import Resource
from twisted.web.wsgi import WSGIResource

from nodes.gateways.api import bounds, problems
from nodes.gateways.api.access import Gate
from nodes.gateways.api.app import DOWNLOADS
from nodes.gateways.api.problems import ApiError
from nodes.gateways.api.sending import SPOOLED
from nodes.gateways.api.table import DOCUMENT, UPLOADS
from nodes.gateways.api.uploads import Uploads
from runtime.clock import Clock
from runtime.logs import event
from runtime.web.serving import BoundedChannel, BoundedRequest, BoundedSite

_LOG: Final = logging.getLogger(__name__)
_REASONS: Final = {401: "Unauthorized", 413: "Content Too Large", 421: "Misdirected Request", 507: "No Room"}


@dataclass(frozen=True, slots=True)
class _Download:
    file: BinaryIO
    first: int
    size_bytes: int


class ApiRequest(BoundedRequest):
    """One request: its upload on the way in, its download on the way out."""

    channel: ApiChannel
    _spool: Path | None = None
    _download: _Download | None = None
    _gone = False
    _unchecked_bytes = 0
    _refusal = ApiError(413, "too-large", "the body is too large")

    def gotLength(self, length: int | None) -> None:
        """Judge the head; then make ready for the body."""
        method, path = self.channel.asked
        self._is_upload = method == b"POST" and path == UPLOADS.encode("ascii")
        super().gotLength(length)
        if self._refused:
            return
        site = self.channel.site
        try:
            site.gate.check(
                self._header(b"host"), self._header(b"authorization"), public=path == DOCUMENT.encode("ascii")
            )
            if self._is_upload:
                site.uploads.check_room(length or 0)
                self._take(*site.uploads.begin())
                self.channel.allow(bounds.UPLOAD_UNKNOWN_S if length is None else _slowest_s(length))
            else:
                self._take(None, BytesIO())
        except Exception as error:  # noqa: BLE001  # whatever it is, it is said as the application would say it
            self._refuse_with(error)

    def handleContentChunk(self, data: bytes) -> None:
        """Write a piece of an upload to disk."""
        self._unchecked_bytes += len(data)
        try:
            if self._is_upload and self._unchecked_bytes >= bounds.ROOM_CHECK_BYTES:
                self._unchecked_bytes = 0
                self.channel.site.uploads.check_room(bounds.ROOM_CHECK_BYTES)
            super().handleContentChunk(data)
        except Exception as error:  # noqa: BLE001  # as above; nobody waits for an exception here
            self._refuse_with(error)

    def finish(self) -> None:
        """Send the file that the application handed back, if it did; then finish."""
        download, self._download = self._download, None
        if download is None:
            super().finish()
            return
        self.channel.allow(_slowest_s(download.size_bytes))
        sending = Deferred.fromCoroutine(self._send(download))
        sending.addErrback(lambda failure: event(_LOG, logging.WARNING, "api-download", cause=failure.value))

    def connectionLost(self, reason: Any) -> None:
        """Clean up after a client that has gone."""
        self._gone = True
        self._clean()
        super().connectionLost(reason)

    @property
    def spooled(self) -> bool:
        """Whether the body was written into ``uploads/``."""
        return self._spool is not None

    @property
    def received_bytes(self) -> int:
        """How much of a body has come."""
        return self._body_bytes

    # ── called by the application, in its thread ──────────────────────────────────────

    def take_spool(self) -> Path:
        """Give the upload's file to the application."""
        path, self._spool = self._spool, None
        assert path is not None
        return path

    def take_download(self, file: BinaryIO, first: int, size_bytes: int) -> None:
        """Take a file to send."""
        self._download = _Download(file, first, size_bytes)
        if self._gone:
            self._clean()

    # ── inside ────────────────────────────────────────────────────────────────────────

    @property
    def _max_body_bytes(self) -> int:
        return bounds.UPLOAD_BYTES if self._is_upload else self.channel.site.limits.max_body_bytes

    def _header(self, name: bytes) -> str:
        values = self.requestHeaders.getRawHeaders(name, [])
        return values[0].decode("latin-1") if len(values) == 1 else ""

    def _take(self, spool: Path | None, content: BinaryIO) -> None:
        if self.content is not None:
            self.content.close()
        self._spool, self.content = spool, content

    def _refuse_with(self, error: Exception) -> None:
        said = problems.of(error)
        if said is None:
            event(_LOG, logging.ERROR, "api-upload", cause=error)
            said = ApiError(507, "cannot-write", "the upload cannot be written to the node's disk")
        self._refusal = said
        self._refuse()

    def _refuse(self) -> None:
        if not self._refused:
            self._refused = True
            self._clean()
            body = self._refusal.encoded()
            status = self._refusal.status
            head = (
                f"HTTP/1.1 {status} {_REASONS.get(status, 'Refused')}\r\nConnection: close\r\n"
                f"Content-Type: {problems.MEDIA_TYPE}\r\nContent-Length: {len(body)}\r\n"
            )
            head += "WWW-Authenticate: Bearer\r\n" if status == 401 else ""  # noqa: PLR2004 - the status itself
            self.channel.refuse(head.encode("ascii") + b"\r\n" + body)

    def _clean(self) -> None:
        spool, self._spool = self._spool, None
        if spool is not None:
            spool.unlink(missing_ok=True)
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
                piece = await self.channel.site.in_thread(file.read, min(left, bounds.SEND_BYTES))
                await flow.ready()
                if not piece:
                    event(_LOG, logging.ERROR, "api-file-short", missing_bytes=left)
                    self.channel.forceAbortClient()
                    return
                if not self._gone:
                    self.write(piece)
                    left -= len(piece)
        finally:
            file.close()
            if not self._gone:
                self.unregisterProducer()
        if not self._gone:
            super().finish()


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


class ApiChannel(BoundedChannel):
    """One connection of the API."""

    site: ApiSite

    @property
    def asked(self) -> tuple[bytes, bytes]:
        """Method and path of the request whose head has come, before Twisted has told the request."""
        path: Any = self._path
        return self._command, path.partition(b"?")[0]

    def allow(self, seconds: float) -> None:
        """Set the deadline of the present phase anew."""
        self._within(seconds)

    def allContentReceived(self) -> None:
        """Go on to the answer, with time to hash an upload that was large."""
        request: Any = self.requests[-1] if self.requests else None
        super().allContentReceived()
        if request is not None and request.received_bytes and not self._refused:
            hashing_s = request.received_bytes / bounds.HASH_BYTES_PER_S
            self._within(self.site.limits.answer_s + hashing_s)


class ApiSite(BoundedSite):
    """The factory to listen with."""

    protocol = ApiChannel

    def __init__(
        self, app: Flask, pool: ThreadPool, *, reactor: Any, clock: Clock, gate: Gate, uploads: Uploads
    ) -> None:
        super().__init__(_Application(app, pool, reactor), reactor=reactor, clock=clock, limits=bounds.HTTP)
        self.requestFactory = ApiRequest
        self.gate, self.uploads = gate, uploads
        self._pool, self._reactor = pool, reactor

    def in_thread(self, work: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        """Run blocking work in one of the application's threads."""
        return deferToThreadPool(self._reactor, self._pool, work, *arguments)


class _Application(Resource):
    """The WSGI application, told of what its server can do for this request."""

    isLeaf = True

    def __init__(self, app: Flask, pool: ThreadPool, reactor: Any) -> None:
        super().__init__()
        self._app, self._pool, self._reactor = app, pool, reactor

    def render(self, request: ApiRequest) -> Any:
        """Start the application in a thread."""

        def application(environ: dict[str, Any], start_response: Any) -> Any:
            environ["wsgi.input_terminated"] = True  # chunks are put together by now
            environ[DOWNLOADS] = request.take_download
            if request.spooled:
                environ[SPOOLED] = request.take_spool
            return self._app(environ, start_response)

        return WSGIResource(self._reactor, self._pool, application).render(request)


def _slowest_s(size_bytes: int) -> float:
    return bounds.HTTP.body_s + size_bytes / bounds.SLOWEST_BYTES_PER_S
