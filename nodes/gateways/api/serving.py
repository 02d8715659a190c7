"""The API on a port: token and host judged by the head alone, large bodies straight to the disk.

Twisted's WSGI server keeps a request's body in memory or in ``/tmp``. Here the body of an upload is written
into ``uploads/`` of the home as it comes, and the application takes over the file. An answer that is a file
is sent as :mod:`runtime.web.downloads` does.

Who has no token gets 401 before any of his body is read.
"""

# twisted.web is mostly unannotated, and its names are camelCase:
# mypy: allow-untyped-calls
# ruff: noqa: N802

from __future__ import annotations

import logging
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Final

from flask import Flask
from twisted.python.threadpool import ThreadPool

from nodes.gateways.api import bounds, problems
from nodes.gateways.api.access import Gate
from nodes.gateways.api.sending import SPOOLED
from nodes.gateways.api.table import DOCUMENT, UPLOADS
from nodes.gateways.api.uploads import Uploads
from runtime.clock import Clock
from runtime.logs import event
from runtime.web.downloads import WsgiChannel, WsgiRequest, WsgiSite
from runtime.web.problems import ApiError

_LOG: Final = logging.getLogger(__name__)


class ApiRequest(WsgiRequest):
    """One request, with its upload on the way in."""

    channel: ApiChannel
    _spool: Path | None = None
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

    def not_kept(self, error: OSError) -> None:
        """Say it as the application would."""
        self._refuse_with(error)

    def connectionLost(self, reason: Any) -> None:
        """Clean up after a client that has gone."""
        self._clean()
        super().connectionLost(reason)

    @property
    def environment(self) -> dict[str, Any]:
        """What the application finds in its WSGI environment: also the upload, if this is one."""
        found = {**super().environment, "wsgi.input_terminated": True}  # chunks are put together by now
        if self._spool is not None:
            found[SPOOLED] = self.take_spool
        return found

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
            self.channel.refuse(self._refusal.raw())

    def _clean(self) -> None:
        spool, self._spool = self._spool, None
        if spool is not None:
            spool.unlink(missing_ok=True)


class ApiChannel(WsgiChannel):
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


class ApiSite(WsgiSite):
    """The factory to listen with."""

    protocol = ApiChannel

    def __init__(
        self, app: Flask, pool: ThreadPool, *, reactor: Any, clock: Clock, gate: Gate, uploads: Uploads
    ) -> None:
        super().__init__(app, pool, reactor=reactor, clock=clock, limits=bounds.HTTP)
        self.requestFactory = ApiRequest
        self.gate, self.uploads = gate, uploads


def _slowest_s(size_bytes: int) -> float:
    return bounds.HTTP.body_s + size_bytes / bounds.SLOWEST_BYTES_PER_S
