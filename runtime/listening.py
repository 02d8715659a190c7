"""Listening where a setting says, with an error that names the setting."""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.error import CannotListenError

from config.fields import HostPort
from runtime.service import StartError

BACKLOG: Final = 50
"""Connections that the kernel keeps until they are accepted, as Twisted has it."""


def listen(reactor: Any, address: HostPort, factory: Any, setting: str, *, backlog: int = BACKLOG) -> Any:
    """Return the listening port; StartError if another process has it, or this machine has no such address.

    ``setting`` is what the operator changes, as in ``http.listen in node.toml``.
    """
    try:
        return reactor.listenTCP(address.port, factory, interface=address.host, backlog=backlog)
    except CannotListenError as error:
        reason = getattr(error.socketError, "strerror", None) or error.socketError
        raise StartError(f"{setting} is {address}: {reason}; set another address there") from error
