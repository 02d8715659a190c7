"""An operation whose COMMIT got no answer is run again: whatever the hub writes stands being written twice.

The connection is cut between the server's commit and its answer. The caller hears DatabaseLost; it, or the
node behind it, asks again, and the tables are as if there had been one answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, select

from crypto.primitives import random_bytes
from hub.directory import service
from hub.directory import store as directory
from hub.metadata import metadata
from hub.peers import store as peers
from hub.routing.route import Reason
from hub.spool import ageing, store
from hub.spool.ageing import Presence
from hub.spool.store import News
from protocols.link.envelope import State
from runtime.storage_errors import DatabaseLost
from runtime.transactions import open_engine, read, run_batch, transact
from tests.databases.urls import Databases
from tests.databases.wire import Wire
from tests.hub.hubs import DAY_MS, EPOCH_MS, ISSUER, ORAN, SUD, NodeKeys, entry, message_id

Operation = Callable[[Connection], Any]
INVITATION = random_bytes(16)
LATER_MS = EPOCH_MS + 100 * DAY_MS


def news(number: int, state: State, recipient: str = ORAN) -> News:
    return News(0, "chu-alger", message_id(number), recipient, state, "", EPOCH_MS, b"signed")


def prepare(connection: Connection) -> None:
    """Leave message 1 waiting for two, 2 delivered, 3 long expired; an invitation; two processes."""
    batch = [entry(1, ORAN, SUD), entry(2, ORAN), entry(3, ORAN, valid_for_ms=1)]
    store.accept(connection, batch, EPOCH_MS)
    rows = store.queue(connection, "chu-oran", 0, 0, 9)
    store.conclude(connection, [(rows[1].seq, news(2, State.DELIVERED))])
    store.read_up_to(connection, {"chu-alger": 1})
    for number in (1, 2):
        peers.join(connection, f"process {number}", EPOCH_MS)
    ageing.note_presences(connection, [Presence("chu-setif", connected=True, software="node")], EPOCH_MS, 2)
    directory.put_facility(connection, "chu-oran", None, ("labo",), EPOCH_MS)
    invitation = directory.Invitation(INVITATION, "chu-oran", bytes(32), LATER_MS, None)
    directory.put_invitation(connection, invitation, EPOCH_MS)


def seq_of(connection: Connection, number: int) -> int:
    rows = store.queue(connection, "chu-oran", 0, 0, 9)
    return next((row.seq for row in rows if row.id == message_id(number)), 1)


def expire(connection: Connection) -> None:
    due = ageing.overdue(connection, LATER_MS, 9)
    store.conclude(connection, [(one.seq, ageing.return_news(one, Reason.EXPIRED, LATER_MS)) for one in due])


def warn(connection: Connection) -> None:
    late = ageing.unwarned(connection, EPOCH_MS + DAY_MS - 1, 9)
    store.add_events(connection, [ageing.late_news(one, EPOCH_MS) for one in late])
    ageing.mark_warned(connection, [one.seq for one in late])


def grant(connection: Connection) -> None:
    keys = NodeKeys.numbered(7)
    service.grant(connection, ISSUER, INVITATION, keys.link.public, keys.signing, keys.sealing, EPOCH_MS)


def note(connection: Connection, *, connected: bool) -> None:
    change = Presence("chu-setif", connected=connected, software="node")
    ageing.note_presences(connection, [change], EPOCH_MS, 2)


OPERATIONS: dict[str, Operation] = {
    "accept": lambda c: store.accept(c, [entry(8, ORAN), entry(9, SUD)], EPOCH_MS),
    "accept and return": lambda c: store.accept(
        c, [entry(8, ORAN, returns=(("x@nowhere", Reason.UNKNOWN_FACILITY),))], EPOCH_MS
    ),
    "deliver": lambda c: store.conclude(c, [(seq_of(c, 1), news(1, State.DELIVERED))]),
    "return": lambda c: store.conclude(c, [(1, news(1, State.RETURNED))]),
    "receipt": lambda c: store.add_events(c, [news(2, State.PROCESSED)]),
    "cursor": lambda c: store.read_up_to(c, {"chu-alger": 2, "chu-oran": 1}),
    "expire": expire,
    "warn": warn,
    "forget": lambda c: ageing.forget(c, LATER_MS, 9),
    "connect": lambda c: note(c, connected=True),
    "leave": lambda c: note(c, connected=False),
    "take over": lambda c: ageing.note_presences(
        c, [Presence("chu-setif", connected=True, software="node")], EPOCH_MS, 1
    ),
    "bury": lambda c: peers.bury(c, 2, 0, EPOCH_MS),
    "join": grant,
    "revoke": lambda c: directory.revoke(c, "chu-oran", 1, b"signed"),
    "suspend": lambda c: directory.suspend(c, "chu-oran", suspended=True),
}
UNLIKE = {"numbers", "directory_version"}
"""Tables that only count: a number that was used twice over is used up."""


@pytest.fixture
def far(databases: Databases) -> Iterator[tuple[Engine, Engine, Wire]]:
    name = databases.create(metadata)
    near = open_engine(databases.server.url(name))
    with Wire(databases.server.port) as wire:
        through = open_engine(databases.server.url(name, port=wire.port))
        transact(near, prepare)
        yield near, through, wire
        through.dispose()
    near.dispose()
    databases.drop(name)


def dump(connection: Connection) -> dict[str, list[Any]]:
    found = {}
    for table in metadata.sorted_tables:
        if table.name not in UNLIKE:
            columns = [column for column in table.columns if column.name not in {"version", "claimed_seq"}]
            found[table.name] = sorted(map(tuple, connection.execute(select(*columns)).all()))
    return found


@pytest.mark.parametrize("name", OPERATIONS)
def test_it_stands_being_run_twice(far: tuple[Engine, Engine, Wire], name: str) -> None:
    near, through, wire = far
    before = read(near, dump)
    wire.cut_after_commit()
    with pytest.raises(DatabaseLost):
        run_batch(through, [OPERATIONS[name]])
    assert wire.cuts == 1
    once = read(near, dump)
    assert once != before or name == "connect"
    ((good, _),) = run_batch(through, [OPERATIONS[name]])
    assert good
    assert read(near, dump) == once


def test_every_message_is_accepted_in_the_end_and_none_twice(far: tuple[Engine, Engine, Wire]) -> None:
    """As a node does it: the same batch again and again, until it has an answer."""
    near, through, wire = far
    batch = [entry(n, ORAN) for n in range(20, 40)]
    for first in range(0, 20, 5):
        wire.cut_after_commit()
        with pytest.raises(DatabaseLost):
            run_batch(through, [lambda c, n=first: store.accept(c, batch[: n + 5], EPOCH_MS)])  # type: ignore[misc]  # mypy cannot type a default
    ((_, done),) = run_batch(through, [lambda c: store.accept(c, batch, EPOCH_MS)])
    assert done.verdicts == [True] * 20
    assert done.fresh == []
    waiting = [row.id for row in read(near, lambda c: store.queue(c, "chu-oran", 0, 0, 99))]
    assert waiting[-20:] == [one.id for one in batch]
