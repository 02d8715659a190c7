"""The daemon's part of the desk: what was opened becomes a signed receipt, whatever happens in between."""

from __future__ import annotations

from sqlalchemy import delete, insert, select

from nodes.gateways.desk import AT_ONCE, DeskDoor
from nodes.link.post import POLL_S
from nodes.link.tables import inbox, openings
from protocols.link.envelope import State
from tests.nodes.fixtures import Station


def open_at_desk(station: Station, seq: int) -> None:
    station.do(lambda c: c.execute(insert(openings).values(inbox_seq=seq, at_ms=station.clock.now_ms())))


def left(station: Station) -> int:
    return len(station.do(lambda c: c.execute(select(openings)).all()))


def test_a_poke_concludes_at_once_and_a_lost_one_soon(station: Station) -> None:
    door = DeskDoor(station.post)
    door.start()
    station.settle()
    first, second = station.receive(b"1"), station.receive(b"2")
    open_at_desk(station, first)
    station.post.poked()
    station.settle()
    assert station.inbox_row(first).state == State.PROCESSED
    open_at_desk(station, second)
    station.advance(POLL_S + 0.1)
    assert station.inbox_row(second).state == State.PROCESSED
    assert left(station) == 0
    assert [row.state for row in station.receipts()] == [State.PROCESSED, State.PROCESSED]
    station.run(door.stop())


def test_what_was_opened_before_the_start_is_concluded_in_pages(station: Station) -> None:
    numbers = [station.receive(b"x", quietly=True) for _ in range(AT_ONCE + 3)]
    for number in numbers:
        open_at_desk(station, number)
    door = DeskDoor(station.post)
    door.start()
    station.settle()
    assert left(station) == 0
    assert len(station.receipts()) == len(numbers)
    station.run(door.stop())


def test_a_stopped_door_leaves_what_it_did_not_do(station: Station) -> None:
    door = DeskDoor(station.post)
    door.start()
    station.settle()
    station.run(door.stop())
    open_at_desk(station, station.receive(b"x"))
    station.post.poked()
    station.advance(2 * POLL_S)
    assert left(station) == 1


def test_a_message_that_is_gone_takes_its_opening_along(station: Station) -> None:
    seq = station.receive(b"x")
    open_at_desk(station, seq)
    station.do(lambda c: c.execute(delete(inbox).where(inbox.c.seq == seq)))
    assert left(station) == 0
