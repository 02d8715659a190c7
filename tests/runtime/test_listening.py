"""Listening: a turn of the reactor accepts a bounded number of callers, however many there are."""

# twisted is mostly unannotated:
# mypy: allow-untyped-calls

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from twisted.internet.error import ConnectionAborted
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.selectreactor import SelectReactor
from twisted.python.failure import Failure

from config.fields import HostPort
from runtime.listening import ACCEPTS, BACKLOG, listen
from runtime.service import StartError


class Counted(Factory):
    """Counts who was let in."""

    def __init__(self) -> None:
        self.accepted = 0

    def buildProtocol(self, addr: Any) -> Protocol:  # noqa: N802 - Twisted's name
        self.accepted += 1
        return Protocol()


@pytest.fixture
def reactor() -> Iterator[Any]:
    made = SelectReactor()
    yield made
    for selectable in made.removeAll():
        selectable.connectionLost(Failure(ConnectionAborted()))


def callers(stack: ExitStack, port: int, count: int) -> None:
    for _ in range(count):
        stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))


def test_a_turn_accepts_no_more_after_a_flood_than_before(reactor: Any) -> None:
    factory = Counted()
    port = listen(reactor, HostPort("127.0.0.1", 0), factory, "listen")
    with ExitStack() as stack:
        callers(stack, port.getHost().port, BACKLOG)
        for turn in range(1, 1 + BACKLOG // ACCEPTS):
            port.doRead()
            assert factory.accepted == turn * ACCEPTS
        port.doRead()
        assert factory.accepted == BACKLOG, "all come in, in their turns"


def test_an_address_that_is_taken_is_named_with_its_setting(reactor: Any) -> None:
    first = listen(reactor, HostPort("127.0.0.1", 0), Counted(), "listen")
    taken = HostPort("127.0.0.1", first.getHost().port)
    with pytest.raises(StartError, match=rf"http.listen in node.toml is {taken}: .*set another address"):
        listen(reactor, taken, Counted(), "http.listen in node.toml")
