"""The age of a home's last good backup, for Prometheus: hub and node show it alike."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec
from prometheus_client.core import GaugeMetricFamily

from runtime.home import HomeError, read_bounded

MARK: Final = "backup.json"
MARK_BYTES: Final = 4_096


class _Last(msgspec.Struct, frozen=True):
    """``backup.json``: what the last good backup left behind."""

    finished: datetime
    verified: bool = False


def backup_gauges(room: str, home: Path) -> Iterator[GaugeMetricFamily]:
    """Yield the metrics ``wasl_<room>_backup_...`` of a home."""
    found = _last(home / MARK)
    yield GaugeMetricFamily(
        f"wasl_{room}_backup_timestamp_seconds",
        "When the last good backup ended, 0 if there is none",
        value=0 if found is None else found.finished.timestamp(),
    )
    yield GaugeMetricFamily(
        f"wasl_{room}_backup_verified",
        "1 if the last good backup was read back and found whole",
        value=int(found is not None and found.verified),
    )


def _last(path: Path) -> _Last | None:
    try:
        found = msgspec.json.decode(read_bounded(path, MARK_BYTES), type=_Last)
    except (OSError, HomeError, msgspec.MsgspecError, UnicodeDecodeError):
        return None  # what cannot be read proves no backup
    return found if found.finished.tzinfo is not None else None
