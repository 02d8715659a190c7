"""What all sessions write, gathered."""

from __future__ import annotations

from hub.sessions.commits import CURSORS_S
from hub.spool import store
from tests.hub.hubs import Rest


def test_cursors_move_in_company_and_one_timer_sees_to_the_last(rest: Rest) -> None:
    """Under load each conclusion takes them along, thousands of times before the first timer is due."""
    before = len(rest.time.getDelayedCalls())
    for seq in range(1, 50):
        rest.core.commits.read_up_to("chu-alger", seq)
        rest.run(_conclude_nothing(rest))
    assert len(rest.time.getDelayedCalls()) == before + 1
    assert rest.sql(lambda c: store.events_taken(c, "chu-alger")) == 49
    rest.core.commits.read_up_to("chu-alger", 50)
    rest.time.advance(CURSORS_S)
    rest.time.advance(0)
    assert rest.sql(lambda c: store.events_taken(c, "chu-alger")) == 50
    assert len(rest.time.getDelayedCalls()) == before
    rest.core.commits.read_up_to("chu-alger", 51)
    assert len(rest.time.getDelayedCalls()) == before + 1


async def _conclude_nothing(rest: Rest) -> None:
    await rest.core.commits.conclude(())
