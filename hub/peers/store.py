"""The SQL of several processes: who lives, who has which facility, what was written since.

Every function is safe to run twice; a writing transaction is alone in the database (``runtime.postgresql``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    bindparam,
    delete,
    exists,
    insert,
    select,
    update,
)

from hub.peers.tables import hubs
from hub.spool import ageing, history
from hub.spool.ageing import NOBODY
from hub.spool.store import take_numbers
from hub.spool.tables import events, numbers, presence, spool
from runtime.driver_sql import PreparedSql


@dataclass(frozen=True, slots=True)
class Position:
    """Numbers of ``spool`` and ``events`` up to which all is known."""

    queued: int
    events: int


@dataclass(frozen=True, slots=True)
class Written:
    """What was written behind a position: for whom, and who is no longer ours."""

    position: Position
    mail: frozenset[str]
    news: frozenset[str]
    lost: frozenset[str]


def join(connection: Connection, name: str, now_ms: int) -> int:
    """Enter a new process; returns its number, which no other ever had."""
    number = take_numbers(connection, hubs, 1) + 1
    connection.execute(insert(hubs).values(number=number, name=name, beats=0, started_ms=now_ms))
    return number


def beat(connection: Connection, number: int) -> dict[int, int]:
    """Say that a process lives; returns everybody's beats by number, without ours if we were buried."""
    connection.execute(update(hubs).where(hubs.c.number == number).values(beats=hubs.c.beats + 1))
    return {row.number: row.beats for row in connection.execute(select(hubs.c.number, hubs.c.beats))}


def bury(connection: Connection, number: int, beats: int | None, now_ms: int) -> bool:
    """Free the facilities of a process whose heart stands still at ``beats`` (None: whatever it says).

    A number of the spool is used up, so that the process, if it lives after all, looks before it hands out
    anything more, and finds its facilities lost. Returns False if it was heard of since.
    """
    gone = delete(hubs).where(hubs.c.number == number)
    if connection.execute(gone if beats is None else gone.where(hubs.c.beats == beats)).rowcount == 0:
        return False
    _free(connection, presence.c.hub == number, now_ms)
    return True


def has_strays(connection: Connection) -> bool:
    """Return whether facilities are with processes that are no more."""
    return bool(connection.execute(select(exists().where(_STRAY))).scalar_one())


def free_strays(connection: Connection, now_ms: int) -> None:
    """Free what is with processes that are no more.

    One that was taken for dead may claim under its old number until its next beat, or die before that.
    """
    _free(connection, _STRAY, now_ms)


def _free(connection: Connection, which: ColumnElement[bool], now_ms: int) -> None:
    history.ended_unnoticed(connection, which, now_ms)
    connection.execute(
        update(presence)
        .where(which)
        .values(
            connected=False,
            hub=NOBODY,
            claimed_seq=take_numbers(connection, spool, 1) + 1,
            seen_ms=now_ms,
            seen_seq=ageing.seen_at_the_end(),
        )
    )


_STRAY = and_(presence.c.hub != NOBODY, presence.c.hub.not_in(select(hubs.c.number)))


def forget_all(connection: Connection, now_ms: int) -> None:
    """Free everything: whoever asks knows that no other process can be there."""
    ageing.all_left(connection, now_ms)
    connection.execute(delete(hubs))


def owns(connection: Connection, number: int, facility: str) -> bool:
    """Return whether the facility's session is with this process."""
    row = _OWNER.one(connection, facility=facility)
    return row is not None and row[0] == number


def owned(connection: Connection, number: int) -> list[tuple[str, str]]:
    """Return the facilities that a process is said to have, with their nodes' software."""
    query = select(presence.c.facility, presence.c.software).where(presence.c.hub == number)
    return [(row.facility, row.software) for row in connection.execute(query)]


def position(connection: Connection) -> Position:
    """Return the last numbers given out: what has them, and all before, is visible."""
    last = _last(connection)
    return Position(last.get(spool.name, 0), last.get(events.name, 0))


def written_since(connection: Connection, number: int, since: Position) -> Written:
    """Return what was written behind ``since``, by whomever."""
    now = position(connection)
    mail = news = lost = frozenset[str]()
    if now.queued > since.queued:
        mail = frozenset(name for (name,) in _MAIL.all(connection, after=since.queued))
        lost = frozenset(name for (name,) in _LOST.all(connection, after=since.queued, number=number))
    if now.events > since.events:
        news = frozenset(name for (name,) in _NEWS.all(connection, after=since.events))
    return Written(now, mail, news, lost)


def _last(connection: Connection) -> Mapping[str, int]:
    return dict(_NUMBERS.all(connection))


_NUMBERS = PreparedSql(select(numbers.c.name, numbers.c.last))
_OWNER = PreparedSql(select(presence.c.hub).where(presence.c.facility == bindparam("facility")))
_MAIL = PreparedSql(select(spool.c.facility).where(spool.c.seq > bindparam("after")).distinct())
_NEWS = PreparedSql(select(events.c.facility).where(events.c.seq > bindparam("after")).distinct())
_LOST = PreparedSql(
    select(presence.c.facility).where(
        presence.c.claimed_seq > bindparam("after"), presence.c.hub != bindparam("number")
    )
)
