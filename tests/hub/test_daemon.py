"""What the hub's process does on its own account."""

from __future__ import annotations

import logging

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.testing import MemoryReactorClock

from config.fields import HostPort
from config.hub import Hub, HubSettings, Limits
from hub.audit.rounds import Auditor
from hub.daemon import _open_door, _Rounds
from hub.listener import BURST_S
from hub.sweeper import ROUND_S, Sweeper
from runtime.storage_errors import StorageFull
from tests.hub.hubs import Rest, open_hub


def test_the_bounds_of_the_door_hold_for_all_addresses_together(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    listen = (HostPort("127.0.0.1", 0), HostPort("127.0.0.2", 0))
    settings = HubSettings(hub=Hub(listen=listen), limits=Limits(handshakes_per_second=1))
    with open_hub(tmp_path_factory.mktemp("hub"), settings) as rest:
        reactor = MemoryReactorClock()  # type: ignore[no-untyped-call]  # Twisted's
        ports = _open_door(reactor, rest.core)
        caller = IPv4Address("TCP", "10.0.0.1", 1)
        calls = [port.factory.buildProtocol(caller) for port in ports * 20]
        for port in ports:
            port.stopListening()
        reactor.advance(1)
    assert (len(ports), sum(call is not None for call in calls)) == (2, BURST_S)


@pytest.mark.parametrize("error", [StorageFull("no room"), ValueError("a fault of ours")], ids=repr)
def test_a_round_that_fails_is_told_and_the_next_one_comes(
    rest: Rest, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    """Else nothing would be returned, warned of or swept any more, and nobody would notice."""
    rounds: list[Exception] = []
    audits: list[Auditor] = []

    async def audited(one: Auditor) -> None:
        audits.append(one)

    async def failing(_: Sweeper) -> None:
        rounds.append(error)
        raise type(error)(*error.args)

    monkeypatch.setattr(Sweeper, "round", failing)
    monkeypatch.setattr(Auditor, "round", audited)
    running = _Rounds(rest.core)
    running.start()
    for _ in range(40):
        rest.time.advance(ROUND_S / 10)
    running.stop()
    rest.time.advance(2 * ROUND_S)
    assert len(rounds) in {4, 5}
    assert len(audits) == len(rounds)  # who comes after it has its turn all the same
    told = [record for record in caplog.records if record.getMessage() == "round-failed"]
    assert len(told) == len(rounds)
    assert {record.levelno for record in told} == {logging.ERROR}
