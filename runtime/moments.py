"""Moments as dates: milliseconds since 1970 that others said may lie where the calendar has none.

A receipt or a message carries whatever its signer's clock claimed. Who shows it cuts it to the nearest moment
that is a date in every zone: a day inside years 1 and 9999.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

FIRST_MS: Final = -62_135_510_400_000
"""The beginning of 2 January of year 1."""
LAST_MS: Final = 253_402_214_399_000
"""The end of 30 December 9999."""


def utc(at_ms: int) -> datetime:
    """Return a moment in UTC, cut to FIRST_MS and LAST_MS."""
    return datetime.fromtimestamp(max(FIRST_MS, min(at_ms, LAST_MS)) / 1000, UTC)
