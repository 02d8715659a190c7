"""Free TCP ports that stay the same over a daemon's restarts."""

from __future__ import annotations

import socket
from random import SystemRandom

# Below the kernel's ephemeral range (ip_local_port_range, from 32768), so that no outgoing connection takes
# a port of ours while its daemon is down.
_LOWEST, _HIGHEST = 20_000, 32_000
_random = SystemRandom()
_given: set[int] = set()


def free_port() -> int:
    """Return a port on 127.0.0.1 that nothing listens on and that was not given out before."""
    while True:
        port = _random.randrange(_LOWEST, _HIGHEST)
        if port in _given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        return port
