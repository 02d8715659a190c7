"""What an API says when it does not do something: ``application/problem+json`` (RFC 9457), with a code.

``code`` is stable and for programs, ``detail`` names what is wrong and what would be right, for people.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

import msgspec
from flask import Request, Response
from msgspec import Struct
from werkzeug.exceptions import HTTPException

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_S: Final = 5
_CODES: Final = {400: "bad-request", 404: "no-such-path", 405: "wrong-method", 413: "too-large"}
_PATH_CHARS: Final = 100


class Problem(Struct, frozen=True):
    """An error as it is said (RFC 9457); ``code`` is ours and stable."""

    type: str
    title: str
    status: int
    detail: str
    code: str


class ApiError(Exception):
    """A request that is not done, with the HTTP status, the code and the text to say.

    ``retry_after_s``: when it may be asked again; 503 has one in any case.
    """

    def __init__(self, status: int, code: str, detail: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail
        self.retry_after_s = RETRY_AFTER_S if retry_after_s is None and status == 503 else retry_after_s  # noqa: PLR2004 - the status itself

    def encoded(self) -> bytes:
        """Return the problem as JSON."""
        title = HTTPStatus(self.status).phrase
        return msgspec.json.encode(Problem("about:blank", title, self.status, self.detail, self.code))

    def headers(self) -> dict[str, str]:
        """Return the headers that belong to it."""
        found = {} if self.retry_after_s is None else {"Retry-After": str(self.retry_after_s)}
        return {**found, "WWW-Authenticate": "Bearer"} if self.status == 401 else found  # noqa: PLR2004 - likewise

    def response(self) -> Response:
        """Return the whole answer."""
        return Response(self.encoded(), self.status, self.headers(), mimetype=MEDIA_TYPE)

    def raw(self) -> bytes:
        """Return the whole answer as bytes, for a connection that is closed behind it."""
        body, title = self.encoded(), HTTPStatus(self.status).phrase
        head = (
            f"HTTP/1.1 {self.status} {title}\r\nConnection: close\r\n"
            f"Content-Type: {MEDIA_TYPE}\r\nContent-Length: {len(body)}\r\n"
        )
        head += "".join(f"{name}: {value}\r\n" for name, value in self.headers().items())
        return head.encode("ascii") + b"\r\n" + body


def of_http(error: HTTPException, asked: Request, document: str) -> Response:
    """Answer with what the framework says of a request that is none of the ``document``'s."""
    status, method = error.code or 500, asked.method[:_PATH_CHARS]
    allowed = [("Allow", text) for name, text in error.get_headers() if name == "Allow"]
    detail = error.description or error.name
    if status == 404:  # noqa: PLR2004 - likewise
        detail = f"there is nothing at {asked.path[:_PATH_CHARS]!r}: {document} lists what there is"
    elif status == 405:  # noqa: PLR2004 - likewise
        methods = ", ".join(sorted(one.strip() for _, text in allowed for one in text.split(",")))
        detail = f"{method} is not possible at {asked.path[:_PATH_CHARS]!r}; possible: {methods}"
    elif status == 413:  # noqa: PLR2004 - likewise
        most = asked.max_content_length
        detail = "the body is too large" + (f": at most {most} bytes" if most else "")
    said = ApiError(status, _CODES.get(status, "refused"), detail).response()
    said.headers.extend(allowed)
    return said
