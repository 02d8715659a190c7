"""What is held back by people: queues that are paused, and single copies that are stopped. The SQL of it.

A *paused* facility gets nothing until it is resumed. Its session stays, it may send, and messages to it are
accepted and wait; their time limits go on. A *stopped* copy is not sent, and so that order is kept nothing
that follows it in its lane (same sender, recipient and priority) is either; other lanes pass.

Expiry has to know what has certainly not been delivered. Of a facility that is not connected that is what
came after its last session (``presence.seen_seq``). When a queue is paused the process that has the session
stops sending, and then says how far anything can have been sent: the mark is set to that, and the pause is
*held*. From then on sessions that begin or end leave the mark alone, since they send nothing, and what is
behind it is returned when its time is over although the node is connected (``hub.spool.ageing.overdue``).

Every change raises one number, in the same transaction. Whoever reads gets number and holds together, so of
two readings the later one is known, in whatever order they come in. Every function is safe to run twice.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from hub.spool.store import take_numbers
from hub.spool.tables import numbers, presence, queue_pauses, queue_stops, spool
from runtime.driver_sql import PreparedSql

NOTHING: Final[frozenset[int]] = frozenset()
IDS_PER_QUERY: Final = 500


@dataclass(frozen=True, slots=True)
class Holds:
    """All that is held back; ``stopped``: numbers of spool rows, by facility. ``unsaid``: not yet held."""

    version: int = 0
    paused: frozenset[str] = frozenset()
    unsaid: frozenset[str] = frozenset()
    stopped: Mapping[str, frozenset[int]] | None = None

    @property
    def facilities(self) -> frozenset[str]:
        """Of whom anything is held back."""
        return self.paused.union(self.stopped or ())

    def of(self, facility: str) -> tuple[bool, frozenset[int]]:
        """Return whether one facility's queue is paused, and what is stopped of it."""
        return facility in self.paused, self.stopped_of(facility)

    def stopped_of(self, facility: str) -> frozenset[int]:
        """Return what is stopped of one facility's queue."""
        return NOTHING if self.stopped is None else self.stopped.get(facility, NOTHING)


@dataclass(frozen=True, slots=True)
class Pause:
    """A queue that is paused: since when, by whom, why. ``held``: its node gets nothing any more."""

    facility: str
    since_ms: int
    actor: str
    reason: str
    held: bool


def version(connection: Connection) -> int:
    """Return the number of the last change."""
    row = _VERSION.one(connection, name=queue_pauses.name)
    return 0 if row is None else int(row[0])


def look(connection: Connection) -> Holds:
    """Return all that is held back, with the number of the last change."""
    paused = connection.execute(select(queue_pauses.c.facility, queue_pauses.c.held)).all()
    stopped: dict[str, set[int]] = {}
    for row in connection.execute(select(queue_stops.c.facility, queue_stops.c.seq)):
        stopped.setdefault(row.facility, set()).add(row.seq)
    return Holds(
        version(connection),
        frozenset(row.facility for row in paused),
        frozenset(row.facility for row in paused if not row.held),
        {facility: frozenset(found) for facility, found in stopped.items()},
    )


def pauses(connection: Connection) -> dict[str, Pause]:
    """Return the paused queues by facility."""
    rows = connection.execute(select(queue_pauses))
    return {row.facility: Pause(*row) for row in rows}


def stopped(connection: Connection, facility: str, until_ms: int | None = None) -> dict[int, str]:
    """Return what is stopped of a facility's queue, and why, by number; what left the queue is left out.

    With ``until_ms`` only what was stopped by then.
    """
    query = (
        select(queue_stops.c.seq, queue_stops.c.reason)
        .join(spool, spool.c.seq == queue_stops.c.seq)
        .where(queue_stops.c.facility == facility)
    )
    if until_ms is not None:
        query = query.where(queue_stops.c.since_ms <= until_ms)
    return {row.seq: row.reason for row in connection.execute(query)}


def stopped_counts(connection: Connection) -> dict[str, int]:
    """Return how much is stopped by facility; what left the queue is left out."""
    rows = connection.execute(
        select(queue_stops.c.facility, func.count())
        .join(spool, spool.c.seq == queue_stops.c.seq)
        .group_by(queue_stops.c.facility)
    )
    return dict(map(tuple, rows))


def pause(connection: Connection, facility: str, *, reason: str, actor: str, now_ms: int) -> bool:
    """Hold a queue; False if it is paused already. It is held at once if the node is not connected."""
    if (
        connection.execute(select(queue_pauses).where(queue_pauses.c.facility == facility)).first()
        is not None
    ):
        return False
    connected = connection.execute(
        select(presence.c.connected).where(presence.c.facility == facility)
    ).scalar_one_or_none()
    connection.execute(
        insert(queue_pauses).values(
            facility=facility, since_ms=now_ms, actor=actor, reason=reason, held=not connected
        )
    )
    _changed(connection)
    return True


def resume(connection: Connection, facility: str) -> bool:
    """Let a queue go; False if it was not held."""
    gone = connection.execute(delete(queue_pauses).where(queue_pauses.c.facility == facility)).rowcount
    if gone:
        _changed(connection)
    return gone > 0


def say_held(connection: Connection, marks: Mapping[str, int], hub: int) -> None:
    """Note that the process ``hub`` sends these facilities nothing any more, and has sent up to their marks.

    Left alone are those that another process has meanwhile, and those that were let go.
    """
    for facility, mark in sorted(marks.items()):
        ours = select(presence.c.facility).where(presence.c.facility == facility, presence.c.hub == hub)
        held = connection.execute(
            update(queue_pauses)
            .where(queue_pauses.c.facility.in_(ours), queue_pauses.c.held.is_(False))
            .values(held=True)
        )
        if held.rowcount:
            connection.execute(update(presence).where(presence.c.facility == facility).values(seen_seq=mark))


def stop(
    connection: Connection, facility: str, sequences: Collection[int], *, reason: str, actor: str, now_ms: int
) -> int:
    """Hold single copies; returns how many were not held before."""
    known = set(connection.execute(select(queue_stops.c.seq)).scalars())
    rows = [
        {"seq": seq, "facility": facility, "since_ms": now_ms, "actor": actor, "reason": reason}
        for seq in sorted(set(sequences) - known)
    ]
    if rows:
        connection.execute(insert(queue_stops), rows)
        _changed(connection)
    return len(rows)


def release(connection: Connection, sequences: Collection[int]) -> int:
    """Let single copies go, or forget those that left the queue; returns how many were held."""
    gone, wanted = 0, sorted(set(sequences))
    for start in range(0, len(wanted), IDS_PER_QUERY):
        page = wanted[start : start + IDS_PER_QUERY]
        gone += connection.execute(delete(queue_stops).where(queue_stops.c.seq.in_(page))).rowcount
    if gone:
        _changed(connection)
    return gone


def forget_left(connection: Connection) -> None:
    """Forget stops of copies that have left the queue."""
    left = select(spool.c.seq).where(spool.c.seq == queue_stops.c.seq).exists()
    connection.execute(delete(queue_stops).where(~left))


def _changed(connection: Connection) -> None:
    take_numbers(connection, queue_pauses, 1)


_VERSION = PreparedSql(select(numbers.c.last).where(numbers.c.name == bindparam("name")))
