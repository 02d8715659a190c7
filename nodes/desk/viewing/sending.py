"""Files on their way to a browser: parts of them on demand, bytes that are checked, headers that bind.

*Ranges* (RFC 9110 section 14): one range a request, since players and interrupted downloads ask for no more;
several are answered with the whole. The digest of the content is the entity tag, so ``If-Range`` works.

*Checked.* A file is hashed before its first byte goes out, and again only if its size, time or inode changed:
a range request does not read the whole file. What no longer is what arrived raises ``Damaged``. Reading a
large one takes a turn (:mod:`nodes.desk.heavy`); one that was read needs none.

*Handed over.* The server sends the file by itself (:mod:`runtime.web.downloads`), as fast as the browser
reads; only where there is no such server, as in tests, is it read here.

*Bound.* Every file is sent with ``sandbox`` and ``default-src 'none'``, never to be guessed at
(``nosniff``), never kept by caches. So even a file that a browser were to interpret could do nothing.
"""

from __future__ import annotations

import os
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import BinaryIO, Final

from flask import Response, request

from nodes.desk import heavy
from nodes.desk.viewing.names import disposition
from nodes.link import inbox
from nodes.link.inbox import ReceivedFile
from runtime.web.downloads import DOWNLOADS

PIECE_BYTES: Final = 256 * 1024
REMEMBERED: Final = 512
POLICY: Final = "sandbox; default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
_RANGE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_ANY: Final = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes from ``start`` up to, not with, ``end``."""

    start: int
    end: int


class Unsatisfiable(Exception):  # noqa: N818 (reads as what it is)
    """A range that begins behind the end."""


def span_of(asked: str | None, size_bytes: int) -> Span | None:
    """Return the range that a header asks for; None if it asks for all, or for what is not understood."""
    match = _RANGE.fullmatch((asked or "").replace(" ", ""))
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        if int(last) == 0 or size_bytes == 0:
            raise Unsatisfiable
        return Span(max(0, size_bytes - int(last)), size_bytes)
    start = int(first)
    if start >= size_bytes:
        raise Unsatisfiable
    end = min(int(last) + 1, size_bytes) if last else size_bytes
    return Span(start, end) if start < end else None


class Checked:
    """Which files were found to be what arrived, as they lie there now. Any thread."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[object, ...], None] = OrderedDict()
        self._lock = Lock()

    def ensure(self, file: ReceivedFile, home: Path) -> None:
        """Raise Damaged unless ``file`` is what arrived, OSError if it cannot be read, Busy."""
        path = home / file.path
        if self._knows(self._key(path, file)):
            return
        with heavy.turn(file.size):
            key = self._key(path, file)
            if self._knows(key):
                return  # it was read while this waited
            for _ in inbox.file_pieces(file, home):
                pass
        if key is None or key != self._key(path, file):
            return
        with self._lock:
            self._known[key] = None
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)

    def _knows(self, key: tuple[object, ...] | None) -> bool:
        with self._lock:
            if key is None or key not in self._known:
                return False
            self._known.move_to_end(key)
            return True

    def _key(self, path: Path, file: ReceivedFile) -> tuple[object, ...] | None:
        try:
            found = path.stat()
        except FileNotFoundError:
            return None
        return (str(path), found.st_size, found.st_mtime_ns, found.st_ino, file.digest)


def bind(response: Response, policy: str = POLICY) -> Response:
    """Give an answer that holds foreign content the headers that bind it."""
    response.headers["Content-Security-Policy"] = policy
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    response.headers["Cache-Control"] = "private, no-store"
    return response


def send_bytes(data: bytes, media_type: str, name: str, *, inline: bool) -> Response:
    """Answer with bytes that are in memory."""
    response = Response(data, content_type=media_type if inline else _ANY)
    response.headers["Content-Disposition"] = disposition(name, inline=inline)
    return bind(response)


def send_file(path: Path, size_bytes: int, tag: str, media_type: str, name: str, *, inline: bool) -> Response:
    """Answer with a checked file, or with the part of it that is asked for."""
    try:
        span = _span(size_bytes, tag)
    except Unsatisfiable:
        refused = bind(Response(status=416))
        refused.headers["Content-Range"] = f"bytes */{size_bytes}"
        return refused
    shown = span or Span(0, size_bytes)
    body: Iterable[bytes] = pieces(path, shown) if request.method == "GET" else ()
    response = Response(body, status=206 if span else 200, content_type=media_type if inline else _ANY)
    if span:
        response.headers["Content-Range"] = f"bytes {span.start}-{span.end - 1}/{size_bytes}"
    response.headers["Accept-Ranges"] = "bytes"
    response.headers["ETag"] = f'"{tag}"'
    response.headers["Content-Length"] = str(shown.end - shown.start)
    response.headers["Content-Disposition"] = disposition(name, inline=inline)
    return bind(response)


def continues(size_bytes: int, tag: str) -> bool:
    """Return whether the request is answered with a part of the file that begins behind its beginning."""
    try:
        span = _span(size_bytes, tag)
    except Unsatisfiable:
        return False
    return span is not None and span.start > 0


def _span(size_bytes: int, tag: str) -> Span | None:
    """Return the part of a file that the request gets, None for all; raises Unsatisfiable."""
    condition = request.headers.get("If-Range")
    if request.method != "GET" or (condition is not None and condition != f'"{tag}"'):
        return None
    return span_of(request.headers.get("Range"), size_bytes)


def pieces(path: Path, span: Span) -> Iterable[bytes]:
    """Return a part of a file, opened now: an error is one before the answer begins.

    Nothing, if the server takes the file to send it after this.
    """
    file = path.open("rb")
    take: Callable[[BinaryIO, int, int], object] | None = request.environ.get(DOWNLOADS)
    if take is not None:
        take(file, span.start, span.end - span.start)
        return ()
    file.seek(span.start, os.SEEK_SET)

    def read() -> Iterator[bytes]:
        left = span.end - span.start
        with file:
            while left > 0:
                piece = file.read(min(PIECE_BYTES, left))
                if not piece:
                    return
                left -= len(piece)
                yield piece

    return read()
