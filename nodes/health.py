"""What ``/readyz`` asks of a node: database, disk, keys, schema, clock, hub; what failed says what to do."""

from __future__ import annotations

from typing import Final

from config.fields import duration_text, size_text
from nodes.link.core import LinkCore
from nodes.link.session import CLOCK_WARNING_S
from nodes.link.uplink import Uplink
from runtime.home import free_bytes
from runtime.probe import WriteProbe
from runtime.status import Check, Readiness

DAY_MS: Final = 86_400_000


def checks(core: LinkCore, probe: WriteProbe, uplink: Uplink) -> dict[str, Check]:
    """Return the checks by name."""
    return {
        "database": probe.writable,
        "disk": lambda: _disk(core),
        "keys": lambda: _keys(core),
        "schema": probe.schema,
        "clock": lambda: _clock(core),
        "hub": lambda: _hub(uplink),
    }


def _disk(core: LinkCore) -> Readiness:
    free = free_bytes(core.home)
    return Readiness(
        ok=free >= core.floor_bytes,
        text=f"{size_text(free)} free, floor {size_text(core.floor_bytes)}",
        advice="make room or enlarge the disk: until then nothing is taken, and nothing is lost",
    )


def _keys(core: LinkCore) -> Readiness:
    credential, now_ms = core.identity.credential, core.clock.now_ms()
    left_ms = credential.not_after_ms - now_ms
    if left_ms < 0:
        text = f"credential {credential.serial} of {credential.facility} has expired"
        return Readiness(ok=False, text=text, advice="run `wasl-node rotate`; see docs/runbooks.md")
    if now_ms < credential.not_before_ms:
        text = f"credential {credential.serial} of {credential.facility} is not valid yet"
        return Readiness(ok=False, text=text, advice="set this machine's clock")
    left = duration_text(max(DAY_MS, left_ms // DAY_MS * DAY_MS))
    return Readiness(ok=True, text=f"credential {credential.serial} of {credential.facility}, {left} left")


def _clock(core: LinkCore) -> Readiness:
    """Compare with the hub's clock, as both stand now."""
    if core.hub_epoch_ms is None:
        return Readiness(ok=True, text="not compared with the hub's yet")
    skew_s = (core.hub_epoch_ms + core.clock.monotonic_s() * 1000 - core.clock.now_ms()) / 1000
    return Readiness(
        ok=abs(skew_s) <= CLOCK_WARNING_S,
        text=f"the hub's is {skew_s:+.1f} s from ours",
        advice="set this machine's clock, and let NTP keep it",
        needed=False,  # messages come and go all the same
    )


def _hub(uplink: Uplink) -> Readiness:
    return Readiness(
        ok=uplink.connected,
        text="connected" if uplink.connected else uplink.last_failure,
        advice="see that the hub runs and that the network lets this machine reach it",
    )
