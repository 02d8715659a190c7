"""What the API says when it does not do something: ``application/problem+json`` (RFC 9457), with a code.

``code`` is stable and for programs, ``detail`` names what is wrong and what would be right, for people.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

import msgspec
from msgspec import Struct

from nodes.link.errors import Damaged, KeyConflict, NodeError, NoRoom, NotFound
from protocols.errors import RemoteProtocolError
from protocols.link.errors import RemoteError
from runtime.storage_errors import StorageError, StorageFailed, StorageFull

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_S: Final = 5


class Problem(Struct, frozen=True):
    """An error as it is said (RFC 9457); ``code`` is ours and stable."""

    type: str
    title: str
    status: int
    detail: str
    code: str


class ApiError(Exception):
    """A request that is not done, with the HTTP status, the code and the text to say."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail

    def encoded(self) -> bytes:
        """Return the problem as JSON."""
        title = HTTPStatus(self.status).phrase
        return msgspec.json.encode(Problem("about:blank", title, self.status, self.detail, self.code))


def of(error: Exception) -> ApiError | None:
    """Return what to say of an error of the stores; None if it is no such error but a fault of ours."""
    found: ApiError | None = None
    match error:
        case ApiError():
            found = error
        case NodeError() | RemoteError():
            status = next((status for kind, status in _STATUSES if isinstance(error, kind)), 422)
            found = ApiError(status, error.code, error.text)
        case RemoteProtocolError():
            found = ApiError(422, error.wire_code, str(error))
        case StorageFull():
            found = ApiError(507, "no-room", "the node's disk is full: make room, then try again")
        case StorageError() if not isinstance(error, StorageFailed):
            found = ApiError(503, "busy", "the node's database is busy: try again in a few seconds")
    return found


_STATUSES: Final = ((KeyConflict, 409), (NotFound, 404), (NoRoom, 507), (Damaged, 500))
