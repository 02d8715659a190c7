"""TCP for links: connected once, or told once why not."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionRefusedError as Refused
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure

from runtime.connect import CONNECT_TIMEOUT_S, TcpConnector


class _Link:
    """Stands for a link: takes the transport."""

    def __init__(self) -> None:
        self.transports: list[object] = []

    def makeConnection(self, transport: object) -> None:  # noqa: N802 - Twisted's name
        self.transports.append(transport)


def _calling(host: str = "192.0.2.1") -> tuple[Any, _Link, list[str]]:
    reactor = MemoryReactorClock()  # type: ignore[no-untyped-call]  # Twisted's
    link: Any = _Link()
    reasons: list[str] = []
    TcpConnector(reactor, host, 7600)(link, reasons.append)
    reactor.advance(0)
    return reactor, link, reasons


def test_the_link_gets_the_connection() -> None:
    reactor, link, reasons = _calling()
    (client,) = reactor.tcpClients
    assert client[1] == 7600
    protocol = client[2].buildProtocol(None)
    protocol.makeConnection(StringTransport())  # type: ignore[no-untyped-call]  # Twisted's
    assert len(link.transports) == 1
    assert reasons == []


def test_a_refusal_is_told_once() -> None:
    reactor, link, reasons = _calling()
    factory = reactor.tcpClients[0][2]
    factory.clientConnectionFailed(None, Failure(Refused()))  # type: ignore[no-untyped-call]  # Twisted's
    reactor.advance(CONNECT_TIMEOUT_S + 60)
    assert len(reasons) == 1
    assert "refused" in reasons[0].lower()
    assert link.transports == []


def test_silence_is_a_refusal_after_a_while() -> None:
    reactor, link, reasons = _calling()
    reactor.advance(CONNECT_TIMEOUT_S + 60)
    assert len(reasons) <= 1
    assert link.transports == []
