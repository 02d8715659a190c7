"""What the stores' errors are over the API."""

from __future__ import annotations

from typing import Final

from nodes.link.errors import Damaged, KeyConflict, NodeError, NoRoom, NotFound
from protocols.errors import RemoteProtocolError
from protocols.link.errors import RemoteError
from runtime.storage_errors import StorageError, StorageFailed, StorageFull
from runtime.web.problems import ApiError


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
