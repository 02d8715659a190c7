"""Queues that are held back: nothing goes out, time goes on, and nothing is both delivered and returned."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from hub.admin import holds
from hub.peers import store as peers
from hub.spool import ageing, history, store
from hub.spool.ageing import Presence
from hub.spool.tables import presence, queue_pauses
from hub.sweeper import Sweeper
from protocols.link import frames as f
from protocols.link.envelope import State
from tests.hub.caller import Caller, enrol
from tests.hub.hubs import DAY_MS, EPOCH_MS, ORAN, SUD, NodeKeys, Rest, entry

ONE = NodeKeys.numbered(1)
LABO = "labo@chu-oran"
MOST = 1_000


@pytest.fixture(autouse=True)
def members(rest: Rest) -> None:
    enrol(rest, "chu-alger", NodeKeys.numbered(2), "labo")
    enrol(rest, "chu-oran", ONE, "cardio", "labo")


def connect(rest: Rest) -> Caller:
    caller = Caller(rest, ONE)
    caller.turn()
    return caller


def accept(rest: Rest, *numbers: int, to: str = ORAN, valid_for_ms: int = DAY_MS) -> None:
    """Accept messages as a session does: the recipient's session is handed them."""
    entries = [entry(n, to, valid_for_ms=valid_for_ms, now_ms=rest.clock.now_ms()) for n in numbers]
    rest.run(_accepted(rest, entries))


async def _accepted(rest: Rest, entries: list[store.Entry]) -> None:
    await rest.core.commits.accept(entries)


def pause(rest: Rest, *, heard: bool = True) -> None:
    rest.sql(lambda c: holds.pause(c, "chu-oran", reason="a flood", actor="user:a", now_ms=EPOCH_MS))
    if heard:
        rest.run(rest.core.holding.reload())


def resume(rest: Rest) -> None:
    rest.sql(lambda c: holds.resume(c, "chu-oran", reason="", actor="user:a", now_ms=EPOCH_MS))
    rest.run(rest.core.holding.reload())


def ended(caller: Caller) -> f.Goodbye:
    """Return why the session ended."""
    caller.turn()
    return caller.ended().reason


def delivered(caller: Caller) -> list[int]:
    return [one.sequence for frame in caller.heard(f.Deliver) for one in frame.deliveries]


def waiting(rest: Rest) -> list[int]:
    rows = rest.sql(lambda c: store.queue(c, "chu-oran", 0, 0, MOST))
    return [int.from_bytes(row.id, "big") for row in rows]


def told(rest: Rest) -> list[tuple[int, State, str]]:
    news = rest.sql(lambda c: store.news_for(c, "chu-alger", 0, MOST))
    return [(int.from_bytes(one.id, "big"), one.state, one.code) for one in news]


def held(rest: Rest) -> list[bool]:
    return list(rest.sql(lambda c: c.execute(select(queue_pauses.c.held)).scalars()))


def mark(rest: Rest) -> int:
    return int(rest.sql(lambda c: c.execute(select(presence.c.seen_seq)).scalar_one()))


def test_a_node_that_comes_while_its_queue_is_paused_gets_nothing(rest: Rest) -> None:
    accept(rest, 1, 2)
    pause(rest)
    caller = connect(rest)
    assert delivered(caller) == []
    accept(rest, 3)
    caller.turn()
    assert delivered(caller) == [], "what is committed now is not handed over either"
    assert (held(rest), mark(rest)) == ([True], 0)
    resume(rest)
    assert ended(caller) is f.Goodbye.RESTARTING
    assert delivered(connect(rest)) == [1, 2, 3]


def test_a_pause_is_known_from_the_table_before_anybody_says_so(rest: Rest) -> None:
    """No round has come and no poke: the session that begins reads it where it notes that it begins."""
    accept(rest, 1)
    pause(rest, heard=False)
    assert delivered(connect(rest)) == []


def test_a_session_is_frozen_and_then_begins_anew(rest: Rest) -> None:
    caller = connect(rest)
    accept(rest, 1, 2)
    caller.turn()
    assert delivered(caller) == [1, 2], "sent, and not answered"
    pause(rest)
    assert ended(caller) is f.Goodbye.RESTARTING
    assert (held(rest), mark(rest)) == ([True], 2)
    accept(rest, 3)
    caller.lose()
    again = connect(rest)
    assert delivered(again) == []
    assert mark(rest) == 2, "neither the end nor the beginning of a session that sends nothing moves it"


def test_what_was_not_sent_expires_though_the_node_is_connected(rest: Rest) -> None:
    caller = connect(rest)
    accept(rest, 1)
    caller.turn()
    assert delivered(caller) == [1]
    pause(rest)
    caller.lose()
    connect(rest)
    accept(rest, 2)
    rest.time.advance(DAY_MS / 1000 + 1)
    rest.run(Sweeper(rest.core).round())
    assert (2, State.RETURNED, "expired") in told(rest)
    assert waiting(rest) == [1], "the node may have this one: only it can say"


def test_without_a_pause_a_connected_node_is_asked_itself(rest: Rest) -> None:
    connect(rest)
    accept(rest, 2)
    rest.time.advance(DAY_MS / 1000 + 1)
    rest.run(Sweeper(rest.core).round())
    assert waiting(rest) == [2]


def test_nothing_is_taken_for_undelivered_before_the_session_knows(rest: Rest) -> None:
    """The pause is in the table, and the process that has the session has not seen it: it may be sending."""
    connect(rest)
    pause(rest, heard=False)
    assert held(rest) == [False]
    accept(rest, 1)
    rest.time.advance(DAY_MS / 1000 + 1)
    rest.run(Sweeper(rest.core).round())
    assert waiting(rest) == [1]


def test_senders_are_warned_and_told_why(rest: Rest) -> None:
    pause(rest)
    accept(rest, 1)
    rest.time.advance(DAY_MS * 0.81 / 1000)
    rest.run(Sweeper(rest.core).round())
    assert told(rest) == [(1, State.DELAYED, "queue-paused")]


def test_a_process_that_dies_leaves_the_pause_and_the_mark(rest: Rest) -> None:
    caller = connect(rest)
    accept(rest, 1)
    caller.turn()
    pause(rest)
    accept(rest, 2)
    rest.sql(lambda c: ageing.all_left(c, EPOCH_MS))
    assert mark(rest) == 1
    rest.sql(lambda c: peers.forget_all(c, EPOCH_MS))
    assert (held(rest), mark(rest)) == ([True], 1)


def test_another_process_takes_over_paused(rest: Rest) -> None:
    """The node goes to another process, which reads the pause; the first one says nothing of it any more."""
    caller = connect(rest)
    accept(rest, 1)
    caller.turn()
    pause(rest, heard=False)
    change = Presence("chu-oran", connected=True, software="node")
    (told,) = rest.sql(lambda c: ageing.note_presences(c, [change], EPOCH_MS, 99))
    assert told is not None
    assert told.held.paused == told.held.unsaid == frozenset({"chu-oran"})
    rest.run(rest.core.holding.reload())
    assert held(rest) == [False], "the process that has the session has to say it"


def test_a_session_whose_end_was_not_noted_may_have_sent_all_there_was(rest: Rest) -> None:
    """The node comes again over another connection before the first one is seen to be dead."""
    first = connect(rest)
    accept(rest, 1, 2)
    first.turn()
    assert delivered(first) == [1, 2], "sent, and not answered"
    pause(rest, heard=False)
    assert delivered(connect(rest)) == []
    assert (held(rest), mark(rest)) == ([True], 2)
    accept(rest, 3)
    rest.time.advance(DAY_MS / 1000 + 1)
    rest.run(Sweeper(rest.core).round())
    assert waiting(rest) == [1, 2], "the node may have these: only it can say"


def test_what_a_process_may_have_sent_before_another_takes_over_is_in_doubt(rest: Rest) -> None:
    caller = connect(rest)
    accept(rest, 1)
    caller.turn()
    pause(rest, heard=False)
    change = Presence("chu-oran", connected=True, software="node")
    (told,) = rest.sql(lambda c: ageing.note_presences(c, [change], EPOCH_MS, 99))
    assert told is not None
    assert told.seen_seq == 1


def test_a_queue_that_is_let_go_and_paused_again_between_two_looks_is_held_again(rest: Rest) -> None:
    """What is read is paused as before, and yet nobody has said of this pause that it is held."""
    caller = connect(rest)
    pause(rest)
    caller.lose()
    connect(rest)
    rest.sql(lambda c: holds.resume(c, "chu-oran", reason="", actor="user:a", now_ms=EPOCH_MS))
    pause(rest)
    assert held(rest) == [True]


def test_a_stopped_copy_holds_its_lane_and_no_other(rest: Rest) -> None:
    accept(rest, 1, 2)
    accept(rest, 3, to=LABO)
    rest.sql(
        lambda c: holds.stop(c, "chu-oran", [1], reason="it breaks them", actor="user:a", now_ms=EPOCH_MS)
    )
    caller = connect(rest)
    assert delivered(caller) == [3]
    accept(rest, 4)
    caller.turn()
    assert delivered(caller) == [], "order is kept"
    rest.sql(lambda c: holds.let_go(c, "chu-oran", [1, 2, 3], actor="user:a", now_ms=EPOCH_MS))
    rest.run(rest.core.holding.reload())
    caller.lose()
    assert delivered(connect(rest)) == [1, 2, 3, 4]


def test_stopping_what_is_on_its_way_ends_the_session(rest: Rest) -> None:
    caller = connect(rest)
    accept(rest, 1, 2)
    caller.turn()
    rest.sql(
        lambda c: holds.stop(c, "chu-oran", [1], reason="it breaks them", actor="user:a", now_ms=EPOCH_MS)
    )
    rest.run(rest.core.holding.reload())
    assert ended(caller) is f.Goodbye.RESTARTING
    caller.lose()
    assert delivered(connect(rest)) == []


def test_only_what_waits_for_the_facility_is_stopped(rest: Rest) -> None:
    accept(rest, 1)
    accept(rest, 2, to=SUD)
    done = rest.sql(
        lambda c: holds.stop(c, "chu-oran", [1, 2, 77], reason="a slip", actor="user:a", now_ms=EPOCH_MS)
    )
    assert done == 1
    assert rest.sql(lambda c: holds.stopped(c, "chu-oran")) == {1: "a slip"}


def test_sessions_and_faults_are_kept(rest: Rest) -> None:
    caller = connect(rest)
    caller.lose()
    rest.time.advance(5)
    broken = connect(rest)
    broken.say(f.Taken((f.Taking(1, State.ACCEPTED, "", b""),)))
    broken.lose()
    rest.time.advance(5)
    found = rest.sql(lambda c: history.sessions(c, "chu-oran"))
    assert [(one.began_ms - EPOCH_MS, one.ended_ms is None) for one in found] == [(5_000, False), (0, False)]
    assert found[0].reason.startswith("out-of-turn")
    (fault,) = rest.sql(lambda c: history.faults(c, "chu-oran"))
    assert (fault.code, fault.times) == ("out-of-turn", 1)


def test_what_is_kept_of_a_link_is_bounded(rest: Rest) -> None:
    def note(number: int) -> None:
        rest.sql(lambda c: history.began(c, {"chu-oran": "n"}, EPOCH_MS + number))
        rest.sql(
            lambda c: history.note_faults(c, {("chu-oran", "same"): (2, f"text {number}")}, EPOCH_MS + number)
        )

    for number in range(history.SESSIONS_KEPT + 5):
        note(number)
    rest.sql(lambda c: history.forget(c, EPOCH_MS))
    found = rest.sql(lambda c: history.sessions(c, "chu-oran", MOST))
    assert len(found) == history.SESSIONS_KEPT
    assert [one.reason for one in found[1:3]] == [history.ELSEWHERE] * 2
    (fault,) = rest.sql(lambda c: history.faults(c, "chu-oran"))
    assert (fault.times, fault.text) == (2 * (history.SESSIONS_KEPT + 5), f"text {history.SESSIONS_KEPT + 4}")
    rest.sql(lambda c: history.forget(c, EPOCH_MS + 2 * history.KEPT_MS))
    assert rest.sql(lambda c: history.faults(c, "chu-oran")) == []
