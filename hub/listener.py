"""The hub's door: cheap limits before anything is computed for a caller.

A caller costs this hub nothing but a socket until its first packet has come whole and its
mac1 is right. Callers that have not proved themselves are bounded in number and in time;
each address may try only so often a second. One door serves all addresses that the hub
listens at.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from typing import Any, Final

from twisted.internet.protocol import Factory, Protocol

from hub.core import HubCore
from hub.sessions.session import HubSession
from runtime.clock import Clock

CALLERS: Final = 8_192
"""Connections whose handshake is not done, at most: some seconds of handshakes, 5 KiB each."""
ADDRESSES: Final = 65_536
BURST_S: Final = 4.0
"""An address may save up this many seconds' worth of tries."""

_LOG = logging.getLogger(__name__)


class HubListener(Factory):
    """Twisted's factory for the link port."""

    noisy = False

    def __init__(self, hub: HubCore) -> None:
        self._hub = hub
        self._callers: set[HubSession] = set()
        self._rate = AddressRate(hub.clock, hub.settings.limits.handshakes_per_second)

    def buildProtocol(self, addr: Any) -> Protocol | None:  # noqa: N802 - Twisted's name
        """Return a session for a new connection, or None to close it at once."""
        host = str(getattr(addr, "host", addr))
        if len(self._callers) - len(self._hub.sessions) >= CALLERS or not self._rate.allows(host):
            self._hub.metrics.handshakes["limited"].inc()
            self._hub.strangers.event(
                "turned-away", _LOG, logging.WARNING, "caller-turned-away", address=host
            )
            return None
        session = HubSession(self._hub, self._callers.discard)
        self._callers.add(session)
        return session.link


class AddressRate:
    """A token bucket for each address; the longest silent addresses are forgotten first."""

    def __init__(self, clock: Clock, per_second: float) -> None:
        self._clock = clock
        self._per_second = per_second
        self._most = per_second * BURST_S
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def allows(self, address: str) -> bool:
        """Take one try of ``address``, if it has one left."""
        now_s = self._clock.monotonic_s()
        left, since_s = self._buckets.pop(address, (self._most, now_s))
        left = min(self._most, left + (now_s - since_s) * self._per_second)
        allowed = left >= 1
        self._buckets[address] = (left - 1 if allowed else left), now_s
        if len(self._buckets) > ADDRESSES:
            self._buckets.popitem(last=False)
        return allowed
