"""What is kept of a facility's link: its past sessions, and what went wrong on it.

Sessions are noted in the transaction that notes presence, so they are as right as that. Faults are counted by
their code: a node that fails in the same way a thousand times has one row, with the first and the last time.
Neither holds content, an id of a message or an address of a machine. Both are bounded: ``SESSIONS_KEPT`` a
facility and ``KEPT_MS``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, Connection, delete, func, select, text, update

from hub.spool.tables import link_faults, link_sessions, presence

SESSIONS_KEPT: Final = 100
KEPT_MS: Final = 90 * 86_400_000
LISTED: Final = 20
TEXT_CHARS: Final = 200
UNNOTICED: Final = "hub-stopped"
"""How a session ended whose hub did not see its end."""
ELSEWHERE: Final = "connected-again"


@dataclass(frozen=True, slots=True)
class Past:
    """One session; ``ended_ms`` None: it lasts. ``reason`` is a code or the link's own words."""

    began_ms: int
    ended_ms: int | None
    software: str
    reason: str


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that went wrong ``times`` times; ``text`` is of the last time."""

    code: str
    text: str
    times: int
    first_ms: int
    last_ms: int


def began(connection: Connection, sessions: Mapping[str, str], now_ms: int) -> None:
    """Note that sessions began, by facility: the node's software. What lasted until now has ended."""
    _end(connection, link_sessions.c.facility.in_(sorted(sessions)), ELSEWHERE, now_ms)
    rows = [
        {"facility": name, "began_ms": now_ms, "software": software[:TEXT_CHARS]}
        for name, software in sorted(sessions.items())
    ]
    connection.execute(_BEGAN, rows)


def ended(connection: Connection, reasons: Mapping[str, str], now_ms: int, hub: int) -> None:
    """Note that sessions of the process ``hub`` ended, by facility: why. Before their presence is changed."""
    for facility, said in sorted(reasons.items()):
        reason = said.replace("\0", "")  # PostgreSQL takes none
        ours = select(presence.c.facility).where(presence.c.facility == facility, presence.c.hub == hub)
        _end(connection, link_sessions.c.facility.in_(ours), reason[:TEXT_CHARS], now_ms)


def ended_unnoticed(connection: Connection, which: ColumnElement[bool], now_ms: int) -> None:
    """Note that sessions ended whose process is gone; ``which`` is a condition on ``presence``."""
    gone = select(presence.c.facility).where(which)
    _end(connection, link_sessions.c.facility.in_(gone), UNNOTICED, now_ms)


def _end(connection: Connection, which: ColumnElement[bool], reason: str, now_ms: int) -> None:
    connection.execute(
        update(link_sessions)
        .where(which, link_sessions.c.ended_ms.is_(None))
        .values(ended_ms=now_ms, reason=reason)
    )


def note_faults(
    connection: Connection, faults: Mapping[tuple[str, str], tuple[int, str]], now_ms: int
) -> None:
    """Add faults, by facility and code: how many times, and the last one's text."""
    rows = [
        {"facility": facility, "code": code, "text": text[:TEXT_CHARS], "times": times, "now_ms": now_ms}
        for (facility, code), (times, text) in sorted(faults.items())
    ]
    if rows:
        connection.execute(_FAULT, rows)


def sessions(connection: Connection, facility: str, limit: int = LISTED) -> list[Past]:
    """Return a facility's sessions, the newest first."""
    columns = link_sessions.c
    rows = connection.execute(
        select(columns.began_ms, columns.ended_ms, columns.software, columns.reason)
        .where(columns.facility == facility)
        .order_by(columns.began_ms.desc())
        .limit(limit)
    )
    return [Past(*row) for row in rows]


def faults(connection: Connection, facility: str, limit: int = LISTED) -> list[Fault]:
    """Return what went wrong on a facility's link, the latest first."""
    columns = link_faults.c
    rows = connection.execute(
        select(columns.code, columns.text, columns.times, columns.first_ms, columns.last_ms)
        .where(columns.facility == facility)
        .order_by(columns.last_ms.desc(), columns.code)
        .limit(limit)
    )
    return [Fault(*row) for row in rows]


def forget(connection: Connection, now_ms: int) -> None:
    """Remove what is older than ``KEPT_MS``, and all but a facility's last ``SESSIONS_KEPT`` sessions."""
    before_ms = now_ms - KEPT_MS
    connection.execute(delete(link_faults).where(link_faults.c.last_ms < before_ms))
    connection.execute(
        delete(link_sessions).where(
            link_sessions.c.began_ms < before_ms, link_sessions.c.ended_ms.is_not(None)
        )
    )
    columns = link_sessions.c
    many: Sequence[str] = connection.execute(
        select(columns.facility).group_by(columns.facility).having(func.count() > SESSIONS_KEPT)
    ).scalars().all()  # fmt: skip
    for facility in many:
        oldest = sessions(connection, facility, SESSIONS_KEPT)[-1].began_ms
        connection.execute(
            delete(link_sessions).where(columns.facility == facility, columns.began_ms < oldest)
        )


# The same facility in the same millisecond: the later session stands for both.
_BEGAN = text(
    "INSERT INTO link_sessions (facility, began_ms, software, reason)"
    " VALUES (:facility, :began_ms, :software, '')"
    " ON CONFLICT (facility, began_ms) DO UPDATE SET ended_ms = NULL, reason = '',"
    " software = excluded.software"
)
_FAULT = text(
    "INSERT INTO link_faults (facility, code, text, times, first_ms, last_ms)"
    " VALUES (:facility, :code, :text, :times, :now_ms, :now_ms)"
    " ON CONFLICT (facility, code) DO UPDATE SET text = excluded.text, last_ms = excluded.last_ms,"
    " times = link_faults.times + excluded.times"
)
