"""Uploads as a browser speaks of them: the protocol of ``upload.js``, and the form without it.

- ``POST /compose/D/files`` (name, size, mark): 201 with the place, how much is here, and the size of a piece;
  413 if one's drafts hold too much already, 507 if the disk does.
- ``PATCH …/files/F`` with ``Upload-Offset`` and, if it can, ``Upload-Checksum: sha256 BASE64``: 204 when the
  piece is durable. 409 with the right ``Upload-Offset`` if it is another one; 422 if the piece is damaged.
- ``HEAD`` and ``GET …/files/F``: ``Upload-Offset`` and ``Upload-Length``.
- ``POST …/files/F/finish`` (root, hexadecimal): 204 when the file is whole and kept; 422 if it is another;
  503 with ``Retry-After`` if too many large ones are being read.

Errors are problems as the API's (RFC 9457), in the reader's language. After tus (tus.io, protocol 1.0.0),
which this is not: pieces are of one size, and the whole has a hash.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable
from typing import Any, BinaryIO, Final, cast

import msgspec
from flask import Response, redirect, render_template, request

from nodes.desk import heavy
from nodes.desk.compose import bounds, receiving, service, store, words
from nodes.desk.compose.receiving import WrongOffset
from nodes.desk.context import Desk, visitor
from nodes.desk.errors import DeskRefused, NotThere
from nodes.desk.roles import Permission
from nodes.link.errors import NodeError
from runtime.storage_errors import StorageFull
from runtime.web.problems import MEDIA_TYPE, Problem
from runtime.web.site import Page

_NUMBER: Final = re.compile(r"[0-9]{1,19}")
_ROOT: Final = re.compile(r"[0-9a-f]{64}")
_CHECKSUM: Final = "sha256 "
_DIGEST_BYTES: Final = 32
_STATUS: Final = {"no-room": 507, "sent": 409, "too-much": 413, heavy.CODE: 503}


def _said(act: Callable[[], Response]) -> Response:
    """Do it, or say as a problem why not."""
    try:
        return act()
    except WrongOffset as error:
        answer = _problem(409, error)
        answer.headers["Upload-Offset"] = str(error.received)
        return answer
    except NotThere as error:
        return _problem(404, error)
    except (DeskRefused, NodeError) as error:
        return _problem(_STATUS.get(error.code, 422), error)
    except StorageFull as error:
        return _problem(507, DeskRefused("no-room", str(error)))


def _problem(status: int, error: DeskRefused | NodeError) -> Response:
    body = Problem("about:blank", "", status, words.refusal(error), error.code)
    answer = Response(msgspec.json.encode(body), status, mimetype=MEDIA_TYPE)
    if error.code == heavy.CODE:
        answer.headers["Retry-After"] = str(heavy.RETRY_AFTER_S)
    return answer


def _number(text: str) -> int:
    """Return a number of bytes as it is said; refuses what is none, or more than there can be."""
    if not _NUMBER.fullmatch(text) or int(text) > bounds.FILE_BYTES:
        raise DeskRefused("bad-number", f"{text[:40]!r} is no number of bytes up to {bounds.FILE_BYTES}")
    return int(text)


def announce(desk: Desk, draft: str) -> Response:
    """Give a file its place."""

    def act() -> Response:
        form = request.form
        size = _number(form.get("size", ""))
        upload = receiving.announce(desk, visitor(), draft, form.get("name", ""), size, form.get("mark", ""))
        told = {
            "at": f"/compose/{draft}/files/{upload.id}", "name": upload.name, "received": upload.received,
            "piece": bounds.PIECE_BYTES,
        }  # fmt: skip
        answer = Response(msgspec.json.encode(told), 201, mimetype="application/json")
        answer.headers["Location"] = str(told["at"])
        return answer

    return _said(act)


def where(desk: Desk, draft: str, upload: str) -> Response:
    """Tell how much of a file is here."""

    def act() -> Response:
        found = desk.read(lambda c: receiving.find(c, visitor(), draft, upload))
        answer = Response(status=204)
        answer.headers["Upload-Offset"], answer.headers["Upload-Length"] = (
            str(found.received),
            str(found.size),
        )
        return answer

    return _said(act)


def piece(desk: Desk, draft: str, upload: str) -> Response:
    """Take a piece."""

    def act() -> Response:
        offset = _number(request.headers.get("Upload-Offset", ""))
        digest = _digest(request.headers.get("Upload-Checksum"))
        if (request.content_length or 0) > bounds.PIECE_BYTES:
            raise DeskRefused("bad-piece", f"a piece has at most {bounds.PIECE_BYTES} bytes")
        data = request.stream.read(bounds.PIECE_BYTES + 1)
        after = receiving.piece(desk, visitor(), draft, upload, offset, data, digest)
        answer = Response(status=204)
        answer.headers["Upload-Offset"] = str(after)
        return answer

    return _said(act)


def _digest(said: str | None) -> bytes | None:
    """Return the SHA-256 that a header names; None if there is no header."""
    if said is None:
        return None
    try:
        digest = b64decode(said.removeprefix(_CHECKSUM), validate=True) if said.startswith(_CHECKSUM) else b""
    except ValueError:
        digest = b""
    if len(digest) != _DIGEST_BYTES:
        raise DeskRefused("bad-hash", "Upload-Checksum must be: sha256 and 32 bytes in base64")
    return digest


def finish(desk: Desk, draft: str, upload: str) -> Response:
    """Keep a file that came whole."""

    def act() -> Response:
        said = request.form.get("root", "")
        if said and not _ROOT.fullmatch(said):
            raise DeskRefused("bad-root", "root must be 64 hexadecimal digits")
        receiving.finish(desk, visitor(), draft, upload, bytes.fromhex(said) if said else None)
        return Response(status=204)

    return _said(act)


def listed(desk: Desk, draft: str) -> str:
    """Show a draft's files: a part of the page."""

    def look(connection: Any) -> Any:
        found = service.own(connection, visitor().name, draft)
        return found, store.uploads_of(connection, draft)

    found, uploads = desk.read(look)
    return render_template("compose_files.html", draft=found, uploads=uploads)


def take_form(desk: Desk, draft: str) -> Any:
    """Keep the files of an ordinary form, then show the page again; for browsers without scripts."""
    files = request.files.getlist("file")
    why = ""
    desk.read(lambda c: service.own(c, visitor().name, draft))
    try:
        sent = [(one.filename, cast("BinaryIO", one.stream)) for one in files if one.filename]
        if not sent:
            raise DeskRefused("no-file", "no file was chosen")
        receiving.take_all(desk, visitor(), draft, sent)
    except NotThere:
        raise
    except (DeskRefused, NodeError) as error:
        why = f"?refused={error.code}"
    except StorageFull:
        why = "?refused=no-room"
    finally:
        for one in files:
            one.close()
    return redirect(f"/compose/{draft}/content{why}#files", 303)


def remove(desk: Desk, draft: str, upload: str) -> Any:
    """Take a file out of a draft."""
    try:
        receiving.remove(desk, visitor(), draft, upload)
    except NotThere:
        raise
    except DeskRefused:
        return redirect(f"/compose/{draft}/sent", 303)
    return redirect(f"/compose/{draft}/content#files", 303)


_FILES: Final = "/compose/<draft>/files"
PAGES: Final = (
    Page("POST", _FILES, "compose_announce", announce, Permission.SEND),
    Page("GET", _FILES, "compose_files", listed, Permission.SEND),
    Page("POST", f"{_FILES}/form", "compose_files_form", take_form, Permission.SEND),
    Page("GET", f"{_FILES}/<upload>", "compose_file", where, Permission.SEND),
    Page("PATCH", f"{_FILES}/<upload>", "compose_piece", piece, Permission.SEND),
    Page("POST", f"{_FILES}/<upload>/finish", "compose_finish", finish, Permission.SEND),
    Page("POST", f"{_FILES}/<upload>/remove", "compose_remove", remove, Permission.SEND),
)
