"""What the hub's process does on its own account."""

from __future__ import annotations

import logging

import pytest

from hub.daemon import _Rounds
from hub.sweeper import ROUND_S, Sweeper
from runtime.storage_errors import StorageFull
from tests.hub.hubs import Rest


@pytest.mark.parametrize("error", [StorageFull("no room"), ValueError("a fault of ours")], ids=repr)
def test_a_round_that_fails_is_told_and_the_next_one_comes(
    rest: Rest, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    """Else nothing would be returned, warned of or swept any more, and nobody would notice."""
    rounds: list[Exception] = []

    async def failing(_: Sweeper) -> None:
        rounds.append(error)
        raise type(error)(*error.args)

    monkeypatch.setattr(Sweeper, "round", failing)
    running = _Rounds(rest.core)
    running.start()
    for _ in range(40):
        rest.time.advance(ROUND_S / 10)
    running.stop()
    rest.time.advance(2 * ROUND_S)
    assert len(rounds) in {4, 5}
    told = [record for record in caplog.records if record.getMessage() == "round-failed"]
    assert len(told) == len(rounds)
    assert {record.levelno for record in told} == {logging.ERROR}
