"""Opening TCP connections for links, by name or address."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from runtime.link import TwistedLink

CONNECT_TIMEOUT_S: Final = 10


class TcpConnector:
    """Connects links to one ``host:port``; its call is ``nodes.link.uplink.Connector``."""

    def __init__(self, reactor: Any, host: str, port: int) -> None:
        self._endpoint = HostnameEndpoint(reactor, host, port, timeout=CONNECT_TIMEOUT_S)

    def __call__(self, link: TwistedLink, failed: Callable[[str], object]) -> None:
        """Connect ``link``, or call ``failed`` with the reason."""

        def refused(failure: Failure) -> None:
            failed(failure.getErrorMessage())

        factory: Any = _OneProtocol(link)
        self._endpoint.connect(factory).addErrback(refused)


class _OneProtocol(Factory):
    noisy = False

    def __init__(self, link: TwistedLink) -> None:
        self._link = link

    def buildProtocol(self, addr: object) -> TwistedLink:  # noqa: ARG002, N802 - Twisted's name and signature
        return self._link
