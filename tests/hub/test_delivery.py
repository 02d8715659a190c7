"""Messages on their way out: in order, whatever is read, handed on and answered at the same moment."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from hub.sessions.delivery import LANE_ROWS
from hub.spool import store
from hub.spool.tables import spool
from hub.sweeper import HOLD_S, Sweeper
from protocols.link import frames as f
from protocols.link.envelope import State
from tests.hub.attachments import message_with, stored_file
from tests.hub.caller import Caller, enrol
from tests.hub.hubs import DAY_MS, ORAN, NodeKeys, Rest, entry

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
    rest.sql(lambda c: store.accept(c, [first, *behind], rest.clock.now_ms()))
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
        rest.sql(lambda c: store.accept(c, [entry(LAST, ORAN)], rest.clock.now_ms()))
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


def test_an_answer_that_cannot_be_stored_ends_the_session_politely(rest: Rest, caller: Caller) -> None:
    """The database takes nothing more: the row stays, and the node is told to come again."""
    (deliver,) = caller.heard(f.Deliver)
    rest.run(rest.core.database.close())
    caller.say(returned(deliver))
    end = caller.ended()
    assert (end.reason, end.retry_after_s) == (f.Goodbye.INTERNAL, 1)
    assert rest.sql(lambda c: len(store.queue(c, "chu-oran", 0, 0, LAST))) == LAST - 1


@pytest.mark.parametrize("at", [0, 40, -80])
@pytest.mark.parametrize("files", [0, 1])
def test_what_the_disk_has_spoiled_goes_back_and_holds_nobody_up(rest: Rest, files: int, at: int) -> None:
    enrol(rest, "chu-oran", ONE, "cardio")
    first = entry(1, ORAN, files=files, message=message_with(*[stored_file(rest, 1)] * files, number=1))
    rest.sql(lambda c: store.accept(c, [first, entry(2, ORAN)], rest.clock.now_ms()))
    spoiled = bytearray(first.message)
    spoiled[at] ^= 0x08
    rest.sql(lambda c: c.execute(update(spool).where(spool.c.id == first.id).values(message=bytes(spoiled))))
    caller = Caller(rest, ONE)
    caller.turn()
    (deliver,) = caller.heard(f.Deliver)
    assert [one.message for one in deliver.deliveries] == [entry(2, ORAN).message]
    (told,) = rest.sql(lambda c: store.news_for(c, "chu-alger", 0, 9))
    assert (told.id, told.recipient, told.state, told.code) == (
        first.id,
        ORAN,
        State.RETURNED,
        "damaged-in-store",
    )
    assert len(rest.sql(lambda c: store.queue(c, "chu-oran", 0, 0, 9))) == 1


def test_a_code_that_no_database_can_hold_is_the_nodes_fault(rest: Rest, caller: Caller) -> None:
    """It would fail the commit that the answers of all nodes share."""
    (deliver,) = caller.heard(f.Deliver)
    sequence = deliver.deliveries[0].sequence
    caller.say(f.Taken((f.Taking(sequence, State.RETURNED, "a\0b", b""),)))
    end = caller.ended()
    assert (end.reason, end.text) == (f.Goodbye.PROTOCOL_FAULT, "malformed: TAKEN with a NUL in a code")


def test_a_session_that_keeps_up_remembers_nothing_of_what_was_answered(rest: Rest) -> None:
    """It may last for weeks; what was answered counts only while the table is being read."""
    enrol(rest, "chu-oran", ONE, "cardio")
    caller = Caller(rest, ONE)
    caller.turn()
    for number in range(1, 301):
        rest.core.commits.accept([entry(number, ORAN)])
        caller.turn()
        (deliver,) = caller.heard(f.Deliver)
        caller.say(returned(deliver))
    session = rest.core.sessions.get("chu-oran")
    assert session is not None
    assert rest.sql(lambda c: store.queue(c, "chu-oran", 0, 0, 9)) == []
    assert len(session._delivery._released) < 10


def test_a_clock_that_leaps_ahead_tells_no_node_that_a_message_is_over(rest: Rest) -> None:
    """As with the sweeper's rounds: not for an hour, and not before a round has seen the leap either."""

    def remaining_ms() -> int:
        caller = Caller(rest, ONE)
        caller.turn()
        (frame,) = caller.heard(f.Deliver)
        caller.lose()
        return frame.deliveries[0].remaining_ms

    enrol(rest, "chu-oran", ONE, "cardio")
    sweeper = Sweeper(rest.core)
    rest.sql(lambda c: store.accept(c, [entry(1, ORAN)], rest.clock.now_ms()))
    rest.clock.skew_ms = 365 * DAY_MS
    assert remaining_ms() == DAY_MS
    rest.run(sweeper.round())
    rest.time.advance(HOLD_S - 1)
    assert remaining_ms() == DAY_MS - (HOLD_S - 1) * 1000
    rest.time.advance(1)
    assert remaining_ms() == 0, "the next round believes it"
    for _ in range(2):
        rest.run(sweeper.round())
    assert remaining_ms() == 0
