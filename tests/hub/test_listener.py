"""The hub's door: how often an address may try, and how many may wait."""

from __future__ import annotations

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock as TaskClock
from twisted.internet.testing import StringTransport

from config.hub import HubSettings, Limits
from hub import listener
from hub.listener import BURST_S, AddressRate, HubListener
from runtime.clock import SimulatedClock
from runtime.link import TwistedLink
from tests.hub.hubs import EPOCH_MS, Rest, open_hub

RATE = 5.0
BURST = int(RATE * BURST_S)


@pytest.fixture
def time() -> TaskClock:
    return TaskClock()


@pytest.fixture
def rate(time: TaskClock) -> AddressRate:
    return AddressRate(SimulatedClock(time, EPOCH_MS), RATE)


def tries(rate: AddressRate, count: int, address: str = "10.0.0.1") -> int:
    return sum(rate.allows(address) for _ in range(count))


def test_a_burst_passes_and_then_only_the_rate(rate: AddressRate, time: TaskClock) -> None:
    assert tries(rate, 100) == BURST
    time.advance(1)
    assert tries(rate, 100) == RATE
    time.advance(0.19)
    assert tries(rate, 1) == 0
    time.advance(0.02)
    assert tries(rate, 2) == 1


def test_turning_away_costs_no_tries(rate: AddressRate, time: TaskClock) -> None:
    """Else a caller that keeps knocking would never be let in again."""
    tries(rate, BURST)
    for _ in range(10):
        time.advance(0.1)
        tries(rate, 50)
    time.advance(0.2)
    assert tries(rate, 10) == 1


def test_silence_saves_up_a_burst_and_no_more(rate: AddressRate, time: TaskClock) -> None:
    tries(rate, BURST)
    time.advance(1_000_000)
    assert tries(rate, 100) == BURST


def test_one_address_takes_nothing_from_another(rate: AddressRate) -> None:
    tries(rate, 100)
    assert tries(rate, 100, "10.0.0.2") == BURST


def test_a_jump_of_the_wall_clock_changes_nothing(time: TaskClock) -> None:
    clock = SimulatedClock(time, EPOCH_MS)
    rate = AddressRate(clock, RATE)
    tries(rate, BURST)
    clock.skew_ms = 86_400_000
    assert tries(rate, 10) == 0


def test_addresses_are_remembered_in_bounded_number(
    rate: AddressRate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "ADDRESSES", 3)
    tries(rate, 100, "a")
    for address in ("b", "c"):
        tries(rate, 1, address)
    assert tries(rate, 1, "a") == 0, "still remembered"
    for address in ("d", "e", "f"):
        tries(rate, 1, address)
        assert len(rate._buckets) == 3
    assert tries(rate, 1, "a") == 1, "forgotten as the longest silent"


# ── the factory ────────────────────────────────────────────────────────────────────────────


class Wire(StringTransport):
    """A connection that knows what the hub put at its end."""

    def __init__(self, protocol: TwistedLink) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Twisted's
        self.protocol = protocol


def call(door: HubListener, host: str = "10.0.0.1") -> Wire | None:
    """Connect; returns the connection, None if it was turned away."""
    protocol = door.buildProtocol(IPv4Address("TCP", host, 1))
    if protocol is None:
        return None
    assert isinstance(protocol, TwistedLink)
    transport = Wire(protocol)
    protocol.makeConnection(transport)  # type: ignore[no-untyped-call]  # Twisted's
    return transport


def test_an_address_that_calls_too_often_is_turned_away(rest: Rest) -> None:
    door = HubListener(rest.core)
    assert [call(door) is not None for _ in range(BURST + 2)] == [True] * BURST + [False] * 2
    assert call(door, "10.0.0.2") is not None


def test_callers_that_have_not_proved_themselves_are_bounded(
    rest: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "CALLERS", 3)
    door = HubListener(rest.core)
    calls = [call(door, f"10.0.0.{number}") for number in range(4)]
    assert [one is not None for one in calls] == [True, True, True, False]
    assert calls[0] is not None
    calls[0].protocol.connectionLost(None)
    assert call(door, "10.0.1.1") is not None
    assert call(door, "10.0.1.2") is None


def test_a_caller_that_says_nothing_is_cut_in_time(rest: Rest) -> None:
    door = HubListener(rest.core)
    transport = call(door)
    assert transport is not None
    rest.time.advance(9.9)
    assert not transport.disconnected
    rest.time.advance(0.2)
    assert transport.disconnected


def test_the_rate_is_the_settings(tmp_path_factory: pytest.TempPathFactory) -> None:
    settings = HubSettings(limits=Limits(handshakes_per_second=1))
    with open_hub(tmp_path_factory.mktemp("hub"), settings) as rest:
        door = HubListener(rest.core)
        assert sum(call(door) is not None for _ in range(20)) == BURST_S
