"""An HTTP client without sockets: what a connection says, and what comes back, on a simulated clock."""

# twisted.web is mostly unannotated, and its names are camelCase:
# mypy: allow-untyped-calls
# ruff: noqa: N802

from typing import cast

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IAddress
from twisted.internet.task import Clock as TaskClock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from runtime.web.serving import BoundedChannel, BoundedSite


class Wire(StringTransport):
    """A transport that stops reading when closed, as TCP does, and knows when it was aborted."""

    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True
        self.loseConnection()


class Client:
    """One connection to ``site``; None as ``channel`` if it was not let in."""

    def __init__(self, site: BoundedSite, address: str = "127.0.0.1") -> None:
        self.wire = Wire()
        self.channel: BoundedChannel | None = site.buildProtocol(
            cast("IAddress", IPv4Address("TCP", address, 40000))
        )
        if self.channel is not None:
            self.channel.makeConnection(self.wire)

    @property
    def closed(self) -> bool:
        return self.channel is None or self.wire.disconnecting

    def say(self, data: bytes) -> bytes:
        """Send ``data`` unless the connection is closed; return all that came back so far, and forget it."""
        if not self.closed:
            assert self.channel is not None
            self.channel.dataReceived(data)
        came: bytes = self.wire.value()
        self.wire.clear()
        return came

    def hang_up(self) -> None:
        assert self.channel is not None
        self.channel.connectionLost(Failure(ConnectionDone()))

    def drip(self, pieces: list[bytes], gap_s: float, task_clock: TaskClock) -> float:
        """Send one piece every ``gap_s`` seconds until closed; return the seconds that took."""
        began = task_clock.seconds()
        for piece in pieces:
            self.say(piece)
            if self.closed:
                break
            task_clock.advance(gap_s)
        return float(task_clock.seconds() - began)
