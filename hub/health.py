"""What ``/readyz`` asks of a hub: database, disk, keys, schema, clock. Each failed check says what to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from config.fields import size_text
from hub import home as hub_home
from hub.core import HubCore
from runtime import credentials
from runtime.probe import WriteProbe
from runtime.status import Check, Readiness

EARLIEST_MS: Final = 1_735_689_600_000
"""2025-01-01, before this program was written: a clock that says less was never set."""


def checks(hub: HubCore, probe: WriteProbe, clock_leapt: Callable[[], bool]) -> dict[str, Check]:
    """Return the checks by name; ``clock_leapt`` says whether the sweeper holds its rounds for a leap."""
    return {
        "database": probe.writable,
        "disk": lambda: _disk(hub),
        "keys": lambda: _keys(hub),
        "schema": probe.schema,
        "clock": lambda: _clock(hub, leapt=clock_leapt()),
    }


def _disk(hub: HubCore) -> Readiness:
    floor = hub.settings.disk.floor_bytes
    free = min(hub.free(hub.home), hub.free(hub_home.attachments(hub.home, hub.settings)))
    return Readiness(
        ok=free >= floor,
        text=f"{size_text(free)} free, floor {size_text(floor)}",
        advice="make room or enlarge the disk: until then nothing is accepted, and nothing is lost",
    )


def _keys(hub: HubCore) -> Readiness:
    path = hub.home / hub_home.KEYS
    # In this order: while keys are changed, the file in the home may differ from what systemd handed over.
    kept = path.is_file() or credentials.find(path, hub_home.CREDENTIAL).is_file()
    return Readiness(
        ok=kept,
        text=f"loaded, link key {hub.holds.links[0].fingerprint()}" if kept else f"{path} is gone",
        advice="put the file back from a backup before this daemon ends: it could not start again",
    )


def _clock(hub: HubCore, *, leapt: bool) -> Readiness:
    if hub.clock.now_ms() < EARLIEST_MS:
        return Readiness(ok=False, text="the clock was never set", advice="set it, and let NTP keep it")
    return Readiness(
        ok=not leapt,
        text="leapt ahead, nothing expires for now" if leapt else "sane",
        advice="set it right within the hour, or messages expire by it; see docs/runbooks.md",
        needed=False,  # messages come and go all the same
    )
