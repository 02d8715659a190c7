"""Listening where a setting says, with an error that names the setting, and with a bound on greed.

Twisted accepts as many callers in one turn as came in the last one and twenty more: under a flood its turns
grow until those who are connected wait seconds for theirs. Here a turn accepts ``ACCEPTS`` at most; the
others wait in the kernel's queue, which has a bound, and beyond it are not answered.
"""

from __future__ import annotations

from typing import Any, Final

from twisted.internet import tcp
from twisted.internet.error import CannotListenError

from config.fields import HostPort
from runtime.service import StartError

BACKLOG: Final = 50
"""Connections that the kernel keeps until they are accepted, as Twisted has it."""
ACCEPTS: Final = 8
"""Connections that are accepted in one turn of the reactor, at most."""


class _Port(tcp.Port):
    """A listening port whose ``numberAccepts`` does not grow."""

    @property
    def numberAccepts(self) -> int:  # noqa: N802 - Twisted's name
        return ACCEPTS

    @numberAccepts.setter
    def numberAccepts(self, wanted: int) -> None:  # noqa: N802 - likewise
        """Ignore what Twisted learns from a flood."""


def listen(reactor: Any, address: HostPort, factory: Any, setting: str, *, backlog: int = BACKLOG) -> Any:
    """Return the listening port; StartError if another process has it, or this machine has no such address.

    ``setting`` is what the operator changes, as in ``http.listen in node.toml``.
    """
    port = _Port(address.port, factory, backlog, address.host, reactor)
    try:
        port.startListening()
    except CannotListenError as error:
        reason = getattr(error.socketError, "strerror", None) or error.socketError
        raise StartError(f"{setting} is {address}: {reason}; set another address there") from error
    return port
