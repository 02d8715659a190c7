"""Messages on their way out: in order, whatever is read, handed on and answered at the same moment."""

from __future__ import annotations

import pytest

from hub.sessions.delivery import LANE_ROWS
from protocols.link import frames as f
from protocols.link.envelope import State
from tests.hub.attachments import message_with, stored_file
from tests.hub.caller import Caller, enrol
from tests.hub.hubs import ORAN, NodeKeys, Rest, entry

ONE = NodeKeys.numbered(1)
LAST = LANE_ROWS + 40


def returned(frame: f.Deliver) -> f.Taken:
    """Answer deliveries; a receipt would have to be signed, a return need not be."""
    return f.Taken(tuple(f.Taking(one.sequence, State.RETURNED, "x", b"") for one in frame.deliveries))


@pytest.fixture
def caller(rest: Rest) -> Caller:
    """Return a node that was handed a message with a file; more rows wait behind it than a lane may hold."""
    enrol(rest, "chu-alger", NodeKeys.numbered(2), "labo")
    enrol(rest, "chu-oran", ONE, "cardio")
    first = entry(1, ORAN, files=1, message=message_with(stored_file(rest, 1), number=1))
    behind = [entry(number, ORAN) for number in range(2, LAST)]
    rest.sql(lambda c: rest.core.sql.accept(c, [first, *behind], rest.clock.now_ms()))
    caller = Caller(rest, ONE)
    caller.turn()
    return caller


@pytest.mark.parametrize("turns", range(8))
@pytest.mark.parametrize("order", ["answer", "row"])
def test_nothing_overtakes_what_a_lane_left_out(rest: Rest, caller: Caller, order: str, turns: int) -> None:
    """The barrier falls while a new row of its lane is being read: the rows left out come first."""
    (deliver,) = caller.heard(f.Deliver)
    assert len(deliver.deliveries) == 1, "the rest waits for the file"

    def answer() -> None:
        caller.session.send(returned(deliver))
        caller.tell()

    def row() -> None:
        rest.sql(lambda c: rest.core.sql.accept(c, [entry(LAST, ORAN)], rest.clock.now_ms()))
        rest.core.sessions.mail_for(["chu-oran"])

    steps = [answer, row] if order == "answer" else [row, answer]
    steps[0]()
    for _ in range(turns):
        rest.time.advance(0)
    steps[1]()
    caller.turn()
    sequences: list[int] = []
    while frames := caller.heard(f.Deliver):
        for frame in frames:
            sequences += [one.sequence for one in frame.deliveries]
            caller.say(returned(frame))
    assert len(sequences) == LAST - 1
    assert sequences == sorted(sequences)
