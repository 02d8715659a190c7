"""Lanes: the pieces of many callers are one operation a commit, and each keeps its own answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection
from twisted.internet.defer import Deferred

from runtime.database import DatabaseBusy, Lane, StorageFull
from tests.runtime.test_database import Store, outcome

Numbers = Lane[int, str, int]


class Counted:
    """A lane that inserts numbers, and what it did."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.batches: list[list[int]] = []
        self.told: list[tuple[int, list[int]]] = []
        self.lane: Numbers = Lane(store.database, self._insert, self._after)

    def _insert(self, connection: Connection, pieces: list[int]) -> tuple[list[str], int]:
        self.batches.append(list(pieces))
        for piece in pieces:
            if piece < 0:
                raise ValueError(f"{piece} is negative")
            connection.exec_driver_sql("INSERT INTO t VALUES (?, ?)", (piece, b"x"))
        return [f"got {piece}" for piece in pieces], len(pieces)

    def _after(self, count: int) -> None:
        self.told.append((count, self.store.seen_by_others()))

    def write(self, *pieces: int) -> list[Deferred[str]]:
        return [self.lane.write(piece) for piece in pieces]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "store.db")
    yield made
    made.engine.dispose()


def test_what_waits_is_one_operation_and_each_gets_its_own_answer(store: Store) -> None:
    counted = Counted(store)
    results = [outcome(one) for one in counted.write(*range(100))]
    store.run()
    assert results == [[f"got {number}"] for number in range(100)]
    assert counted.batches == [[0], list(range(1, 100))]
    assert store.commits == 2


def test_nothing_is_told_before_the_commit(store: Store) -> None:
    """What follows from the whole is told first, and finds it committed; then come the answers."""
    counted = Counted(store)
    order: list[str] = []
    counted.lane.after = lambda count: order.append(f"{count} committed: {store.seen_by_others()}")
    for one in counted.write(1, 2, 3):
        one.addCallback(order.append)
    store.run()
    assert order == ["1 committed: [1]", "got 1", "2 committed: [1, 2, 3]", "got 2", "got 3"]


def test_a_piece_that_fails_fails_alone(store: Store) -> None:
    """One caller's bad piece undoes nobody else's work, and is told to nobody else."""
    counted = Counted(store)
    results = [outcome(one) for one in counted.write(1, 2, -3, 4)]
    store.run()
    assert [result[0] if isinstance(result[0], str) else type(result[0]) for result in results] == [
        "got 1", "got 2", ValueError, "got 4",
    ]  # fmt: skip
    assert store.seen_by_others() == [1, 2, 4]
    assert [count for count, _ in counted.told] == [1, 1, 1]


def test_lanes_and_single_operations_share_a_commit_in_their_order(store: Store) -> None:
    one, other = Counted(store), Counted(store)
    one.write(0)
    results = [outcome(result) for result in (*one.write(1), *other.write(2), *one.write(3))]
    look = store.database.write(lambda c: c.exec_driver_sql("SELECT count(*) FROM t").scalar())
    last = outcome(look)
    store.run()
    assert results == [["got 1"], ["got 2"], ["got 3"]]
    assert last == [4]
    assert (one.batches, other.batches) == ([[0], [1, 3]], [[2]])
    assert store.commits == 2


def test_a_full_queue_refuses_the_first_piece_and_the_lane_goes_on(tmp_path: Path) -> None:
    store = Store(tmp_path / "full.db", max_queued=1)
    counted = Counted(store)
    running = outcome(store.database.write(lambda _connection: "running"))
    waiting = outcome(store.database.write(lambda _connection: "waiting"))
    with pytest.raises(DatabaseBusy):
        counted.lane.write(1)
    store.run()
    again = [outcome(one) for one in counted.write(2, 3)]
    store.run()
    assert (running, waiting, again) == (["running"], ["waiting"], [["got 2"], ["got 3"]])
    store.engine.dispose()


def test_a_lost_transaction_fails_every_piece(store: Store) -> None:
    """A full disk is nobody's piece's fault: nothing is tried again, and nothing is told."""
    counted = Counted(store)
    counted.write(0)
    results = [outcome(one) for one in counted.write(1, 2)]

    def full(_connection: Connection) -> None:
        raise StorageFull("no room")

    results.append(outcome(store.database.write(full)))
    store.run()
    assert [type(result[0]) for result in results] == [StorageFull] * 3
    assert store.seen_by_others() == [0]
    assert counted.batches == [[0], [1, 2]]
    assert [count for count, _ in counted.told] == [1]
