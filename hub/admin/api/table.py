"""The routes, under ``PREFIX``, and what the document says beside them."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Final

from crypto.identity import ID_PATTERN, MAX_ID_CHARS, is_id
from hub.admin.api import admission, holding, journal, network, network_keys, people, policies, traffic
from hub.admin.api.routes import AdminRoute
from hub.admin.roles import NAME
from runtime.web.openapi import Plan

PREFIX: Final = "/api/v1"
DOCUMENT: Final = f"{PREFIX}/openapi.json"
_MOST_NUMBER: Final = (1 << 31) - 1
_MOST_DIGITS: Final = 10
_TEXT: Final = """What the pages of the console show and do, for programs.

A token (`wasl-hub token create`) goes into `Authorization: Bearer TOKEN`. Every request that changes
something carries an `Idempotency-Key`: sent again, it gets the same answer and nothing is done twice. Lists
have at most 50 items; `next` is the `cursor` of the next page, null at the end. Errors are
`application/problem+json` (RFC 9457) with a stable `code`."""

ROUTES: Final[tuple[AdminRoute, ...]] = tuple(
    replace(route, path=PREFIX + route.path)
    for route in (
        *network.ROUTES,
        *admission.ROUTES,
        *network_keys.ROUTES,
        *traffic.ROUTES,
        *holding.ROUTES,
        *policies.ROUTES,
        *people.ROUTES,
        *journal.ROUTES,
    )
)
PLAN: Final = Plan(
    title="Wasl hub: administration",
    version="1.0",
    parts={
        "facility": {"type": "string", "maxLength": MAX_ID_CHARS, "pattern": f"^{ID_PATTERN}$"},
        "name": {"type": "string", "maxLength": 63, "pattern": f"^{NAME.pattern}$"},
        "id": {"type": "string", "format": "uuid"},
        "number": {"type": "integer", "minimum": 1, "maximum": _MOST_NUMBER},
    },
    common=(400, 401, 405, 421, 422, 429, 500, 503),
    text=_TEXT,
)


def fits(part: str, text: str) -> bool:
    """Return whether a part of a path can be what it stands for: what cannot is not looked up."""
    match part:
        case "facility":
            return is_id(text)
        case "name":
            return NAME.fullmatch(text) is not None
        case "id":
            return _is_uuid(text)
    return text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS and 0 < int(text) <= _MOST_NUMBER


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True
