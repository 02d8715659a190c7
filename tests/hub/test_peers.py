"""Two hub processes on one PostgreSQL: what one writes the other hears of, and each facility is with one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import delete, select, update
from twisted.internet.defer import Deferred

from hub.metadata import metadata
from hub.peers import store as peers
from hub.peers.membership import MISSED_BEATS, Membership
from hub.spool import ageing, store
from hub.spool.ageing import Presence
from hub.spool.store import News, Queued
from hub.spool.tables import events, numbers, presence, spool
from hub.sweeper import Sweeper
from protocols.link import frames as f
from protocols.link.envelope import State
from tests.databases.urls import POSTGRESQL, Databases, fresh_url
from tests.hub.caller import Caller, enrol
from tests.hub.hubs import ALGER, DAY_MS, EPOCH_MS, ORAN, NodeKeys, Rest, entry, message_id, open_hub

Two = tuple[Rest, Rest]


class Session:
    """Stands where a node's session stands, and takes down what it is told."""

    def __init__(self) -> None:
        self.claimed: int | None = None
        self.told: list[str | list[int]] = []

    def mail(self, rows: list[Queued] | None = None) -> None:
        self.told.append([row.seq for row in rows] if rows else "mail")

    def news(self, news: list[News] | None = None) -> None:
        self.told.append([one.seq for one in news] if news else "news")

    def replaced(self) -> None:
        self.told.append("replaced")

    @property
    def link(self) -> Session:
        """Stand where the link stands, too."""
        return self

    def end(self, *_reason: object, retry_after_s: int) -> None:
        self.told.append(f"gone for {retry_after_s} s")


@pytest.fixture
def two(databases: Databases, tmp_path: Path) -> Iterator[Two]:
    homes = tmp_path / "a", tmp_path / "b"
    for home in homes:
        home.mkdir()
    with (
        fresh_url(POSTGRESQL, tmp_path, databases, metadata) as url,
        open_hub(homes[0], url=url) as one,
        open_hub(homes[1], url=url) as other,
    ):
        yield one, other


def wait(hub: Rest, result: Deferred[Any]) -> Any:
    """Return what a deferred fires with."""

    async def awaited() -> Any:
        return await result

    return hub.run(awaited())


def connect(hub: Rest, facility: str = "chu-oran") -> Session:
    """Let a node connect to one of the processes."""
    session = Session()
    hub.core.sessions._open[facility] = cast("Any", session)
    wait(hub, hub.core.commits.presence(Presence(facility, connected=True, software="node")))
    session.claimed = hub.core.follower.looks
    return session


def accept(hub: Rest, *numbers: int, valid_for_ms: int = DAY_MS) -> None:
    wait(hub, hub.core.commits.accept([entry(n, ORAN, valid_for_ms=valid_for_ms) for n in numbers]))
    hub.time.advance(0)


def look(hub: Rest) -> None:
    hub.core.follower.look()
    for _ in range(10):
        hub.time.advance(0)


def owner(hub: Rest, facility: str = "chu-oran") -> tuple[bool, int]:
    query = select(presence.c.connected, presence.c.hub).where(presence.c.facility == facility)
    row = hub.sql(lambda c: c.execute(query).one())
    return row.connected, row.hub


def test_each_process_has_a_number_that_no_other_ever_had(two: Two) -> None:
    one, other = two
    assert one.core.number != other.core.number
    assert one.sql(lambda c: peers.join(c, "third", EPOCH_MS)) not in {one.core.number, other.core.number}


def test_what_one_accepts_is_found_by_the_other(two: Two) -> None:
    one, other = two
    session = connect(other)
    accept(one, 1, 2)
    assert session.told == []
    look(other)
    assert session.told == ["mail"]
    look(other)
    assert session.told == ["mail"]  # once


def test_what_follows_directly_is_handed_on_and_nothing_overtakes_the_other_process(two: Two) -> None:
    """A row of the other process stands between: whoever has it reads the table, where it comes first."""
    one, other = two
    session = connect(one)
    accept(one, 1)
    accept(one, 2)
    assert session.told == [[1], [2]]
    accept(other, 3)
    accept(one, 4)
    look(one)
    assert session.told[2:].count("mail") >= 1
    assert all(isinstance(told, str) for told in session.told[2:]), "handed before the row that goes first"
    accept(one, 5)
    assert session.told[-1] == [5]


def test_news_are_found_by_the_other(two: Two) -> None:
    one, other = two
    session = connect(other, "chu-alger")
    accept(one, 1)
    (row,) = one.sql(lambda c: store.queue(c, "chu-oran", 0, 0, 9))
    told = News(0, "chu-alger", message_id(1), ORAN, State.DELIVERED, "", EPOCH_MS, b"signed")
    wait(one, one.core.commits.conclude([(row.seq, told)]))
    look(other)
    assert session.told == ["news"]


def test_the_newest_session_wins_and_the_other_process_cuts_its_own(two: Two) -> None:
    one, other = two
    before = connect(one)
    after = connect(other)
    assert owner(one) == (True, other.core.number)
    look(one)
    look(other)
    assert (before.told, after.told) == (["replaced"], [])
    wait(one, one.core.commits.presence(Presence("chu-oran", connected=False, software="node")))
    assert owner(one) == (True, other.core.number), "the end of the old session is not that of the new one"


def test_nothing_is_handed_to_a_session_that_another_process_has_taken(two: Two) -> None:
    """Not even what was committed here before this process has heard of it."""
    one, other = two
    accept(one, 1)
    session = connect(one)
    connect(other)
    accept(one, 2)
    look(one)
    assert [told for told in session.told if not isinstance(told, str)] == []
    assert "replaced" in session.told
    assert one.sql(lambda c: peers.owns(c, one.core.number, "chu-oran")) is False


def test_a_session_is_not_cut_by_what_was_before_it(two: Two) -> None:
    """Away to the other process and back again: the claim in between concerns the session before."""
    one, other = two
    connect(one)
    connect(other)
    session = connect(one)
    look(one)
    assert session.told == []


@pytest.mark.parametrize("table", ["spool", "events"])
def test_nobody_waits_for_numbers_that_are_given_out_again(two: Two, table: str) -> None:
    """A standby took over that had not got everything: what comes now is behind what sessions have seen."""
    one, _ = two
    session = connect(one)
    accept(one, 1, 2)
    wait(one, one.core.database.write(lambda c: store.take_numbers(c, events, 3)))
    look(one)
    one.sql(lambda c: c.execute(update(numbers).where(numbers.c.name == table).values(last=1)))
    look(one)
    assert session.told[-1] == "gone for 1 s"
    del session.told[:]
    one.sql(lambda c: c.execute(delete(spool)))
    accept(one, 3)
    assert session.told in ([[2]], [[3]])
    look(one)
    assert len(session.told) == 1


def test_a_process_whose_heart_has_stopped_is_buried(two: Two) -> None:
    one, other = two
    connect(one)
    accept(other, 1, valid_for_ms=1)
    alive = Membership(other.core, "other")
    for _ in range(MISSED_BEATS):
        other.run(alive.beat())
    assert owner(one) == (True, one.core.number)
    other.run(alive.beat())
    assert owner(one) == (False, 0)
    # What it may have delivered is in doubt; what came since then was certainly not.
    accept(other, 2, valid_for_ms=1)
    overdue = other.sql(lambda c: ageing.overdue(c, EPOCH_MS + DAY_MS, 9))
    assert [due.id for due in overdue] == [message_id(2)]


def test_a_process_that_was_taken_for_dead_cuts_its_sessions_before_it_hands_out_more(two: Two) -> None:
    one, other = two
    session = connect(one)
    accept(one, 1)
    other.sql(lambda c: peers.bury(c, one.core.number, None, EPOCH_MS))
    accept(one, 2)
    look(one)
    assert session.told == [[1], "replaced", "mail"]
    before = one.core.number
    del one.core.sessions._open["chu-oran"]
    one.run(Membership(one.core, "one").beat())
    assert one.core.number not in {before, other.core.number}


def test_nobody_is_buried_who_was_heard_of_meanwhile(two: Two) -> None:
    one, other = two
    connect(one)
    one.run(Membership(one.core, "one").beat())
    assert other.sql(lambda c: peers.bury(c, one.core.number, 0, EPOCH_MS)) is False
    assert owner(one) == (True, one.core.number)


def test_nobody_is_buried_for_an_outage_of_the_database(two: Two) -> None:
    """Hearts are compared by one's own beats: while nobody can beat, nobody falls behind."""
    one, other = two
    mine, theirs = Membership(one.core, "one"), Membership(other.core, "other")
    for _ in range(3 * MISSED_BEATS):
        one.run(mine.beat())
        other.run(theirs.beat())
        one.time.advance(3_600)
    assert owner_count(one) == 2


def owner_count(hub: Rest) -> int:
    return len(hub.sql(lambda c: peers.beat(c, hub.core.number)))


def test_a_process_gives_up_what_it_is_said_to_have(two: Two) -> None:
    """The word that a session ended was lost; without it nothing for that facility would ever expire."""
    one, _ = two
    connect(one)
    del one.core.sessions._open["chu-oran"]
    one.run(Membership(one.core, "one").tidy())
    assert owner(one) == (False, 0)


def test_what_is_with_a_process_that_is_no_more_is_given_up(two: Two) -> None:
    """Whoever was taken for dead claims under its old number until its next beat; nobody buries it twice."""
    one, other = two
    other.sql(lambda c: peers.bury(c, one.core.number, None, EPOCH_MS))
    connect(one)
    del one.core.sessions._open["chu-oran"]
    one.run(Membership(one.core, "one").beat())
    assert owner(one)[0], "the claim was not recorded"
    look(one)
    session = connect(one, "chu-alger")
    other.run(Membership(other.core, "other").tidy())
    assert owner(one) == (False, 0)
    assert owner(one, "chu-alger") == (True, one.core.number)
    look(one)
    assert session.told == []


def test_a_session_under_a_number_that_is_no_more_is_cut(two: Two) -> None:
    one, other = two
    other.sql(lambda c: peers.bury(c, one.core.number, None, EPOCH_MS))
    session = connect(one)
    look(one)
    other.run(Membership(other.core, "other").tidy())
    look(one)
    assert session.told == ["replaced"]


def test_leaving_frees_everything_at_once(two: Two) -> None:
    one, other = two
    connect(one)
    one.run(Membership(one.core, "one").leave())
    assert owner(other) == (False, 0)
    other.run(Membership(other.core, "other").beat())
    assert other.core.first


def test_two_sweepers_return_a_message_once(two: Two) -> None:
    one, other = two
    accept(one, 1, valid_for_ms=1)
    for hub in two:
        hub.time.advance(10)
    for hub in two:
        hub.run(Sweeper(hub.core)._return_expired())
    found = one.sql(lambda c: store.news_for(c, "chu-alger", 0, 9))
    assert [news.state for news in found] == [State.RETURNED]
    assert one.sql(lambda c: store.queue(c, "chu-oran", 0, 0, 9)) == []
    assert other.core.number != one.core.number
    assert ALGER.endswith("chu-alger")


def test_only_the_owner_reads_a_queue(two: Two) -> None:
    """A process that has not heard yet that a node is elsewhere reads nothing for it, and lets it go."""
    one, other = two
    keys = NodeKeys.numbered(1)
    enrol(one, "chu-oran", keys, "cardio")
    other.run(other.core.reload_directory())
    before, after = Caller(one, keys), Caller(other, keys)
    before.turn()
    after.turn()
    other.sql(lambda c: store.accept(c, [entry(1, ORAN)], EPOCH_MS))
    one.core.sessions.mail_for(["chu-oran"])
    before.turn()
    assert before.heard(f.Deliver) == []
    assert before.ended().reason is f.Goodbye.REPLACED
    look(other)
    after.turn()
    (deliver,) = after.heard(f.Deliver)
    assert [one.recipient for one in deliver.deliveries] == [ORAN]


def test_a_node_that_moves_is_told_everything_once_more(two: Two) -> None:
    """What the first process had sent and got no answer to, the second sends again, in the same order."""
    one, other = two
    keys = NodeKeys.numbered(1)
    enrol(one, "chu-oran", keys, "cardio")
    other.run(other.core.reload_directory())
    accept(one, 1, 2)
    before = Caller(one, keys)
    before.turn()
    (first,) = before.heard(f.Deliver)
    accept(other, 3)
    after = Caller(other, keys)
    after.turn()
    (again,) = after.heard(f.Deliver)
    sequences = [delivery.sequence for delivery in again.deliveries]
    assert sequences == sorted(sequences)
    assert sequences[:2] == [delivery.sequence for delivery in first.deliveries]
    assert len(sequences) == 3
