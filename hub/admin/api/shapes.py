"""What several routes say or are asked: times, names, texts. Times are RFC 3339 in UTC with milliseconds."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from crypto.identity import ID_PATTERN, MAX_ID_CHARS
from hub.admin.facilities import REASON_CHARS
from runtime.cli import moment
from runtime.web.problems import ApiError

TIME_CHARS: Final = 40
SOUGHT_CHARS: Final = 200
FacilityId = Annotated[str, Meta(max_length=MAX_ID_CHARS, pattern=f"^{ID_PATTERN}$")]
Reason = Annotated[str, Meta(max_length=REASON_CHARS, description="written to the journal")]
Time = Annotated[str, Meta(description="RFC 3339, UTC")]
Urgency = Literal["stat", "routine"]


Moment = Annotated[
    str, Meta(max_length=TIME_CHARS, description="2026-11-01 or 2026-11-01T08:00Z; UTC unless it says")
]
Sought = Annotated[str, Meta(max_length=SOUGHT_CHARS)]


class Reasoned(Struct, frozen=True, forbid_unknown_fields=True):
    """Why something is done."""

    reason: Reason = ""


def message_id(raw: bytes) -> str:
    """Return a message's id as people write it."""
    return str(uuid.UUID(bytes=raw))


def time(at_ms: int) -> str:
    """Return a moment as the API says it."""
    return moment(at_ms)


def time_or_none(at_ms: int | None) -> str | None:
    """Return a moment, if there is one."""
    return moment(at_ms) if at_ms else None


def moment_ms(name: str, text: str) -> int:
    """Return the moment that parameter ``name`` says, in milliseconds, not before 1970; ApiError (422)."""
    try:
        at = datetime.fromisoformat(text)
        found = int((at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise ApiError(
            422, "bad-time", f"{name}: {text!r} is no time; it should be like 2026-11-01 or 2026-11-01T08:00Z"
        ) from None
    return max(0, found)


def urgency(priority: int) -> Urgency:
    """Return a priority in a word."""
    return "stat" if priority else "routine"
