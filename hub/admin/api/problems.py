"""What the services' refusals are over the API: a status, and the code and text that they have already."""

from __future__ import annotations

from typing import Final

from config.errors import SettingsError
from hub.admin.errors import AdminRefused, NotThere
from hub.admin.facilities import NotApproved, NothingChanged, UnknownFacility
from hub.admin.policy import ChangedMeanwhile, NoSuchPolicy
from hub.audit.journal import AuditBroken
from hub.audit.prove import NothingToProve
from hub.directory.service import DirectoryError
from hub.home import HubHomeError
from runtime.storage_errors import StorageError, StorageFull
from runtime.web.passwords import WeakPassword
from runtime.web.problems import ApiError

CONFLICTS: Final = frozenset(
    {
        "connected", "key-lacking", "last-administrator", "not-all-moved", "not-paused", "not-yours",
        "nothing", "other-key", "paused", "same-person", "settled", "token-exists", "user-exists",
    }
)  # fmt: skip
"""Codes of refusals that hang on the state of things, not on the request."""
_KINDS: Final[tuple[tuple[type[Exception], int, str], ...]] = (
    (UnknownFacility, 404, "no-such-facility"),
    (NoSuchPolicy, 404, "no-such-policy"),
    (ChangedMeanwhile, 409, "changed-meanwhile"),
    (DirectoryError, 422, "not-possible"),
    (SettingsError, 422, "bad-policy"),
    (NothingToProve, 404, "nothing-to-prove"),
    (AuditBroken, 500, "audit-broken"),
    (HubHomeError, 503, "no-public-keys"),
    (StorageFull, 507, "no-room"),
)


def of(error: Exception) -> ApiError | None:
    """Return what to say of an error of the services; None if it is no such error but a fault of ours."""
    found: ApiError | None = None
    match error:
        case ApiError():
            found = error
        case NotThere():
            found = ApiError(404, error.code, str(error))
        case AdminRefused():
            found = ApiError(409 if error.code in CONFLICTS else 422, error.code, str(error))
        case NotApproved() | NothingChanged():
            found = ApiError(409, error.code, str(error))
        case WeakPassword():
            found = ApiError(422, "weak-password", str(error))
        case _ if known := next((one for one in _KINDS if isinstance(error, one[0])), None):
            found = ApiError(known[1], known[2], str(error))
        case StorageError():
            found = ApiError(503, "busy", "the hub's database cannot be used now: try again in a few seconds")
    return found
