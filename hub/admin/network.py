"""The network as it is now: every facility of the directory with what waits for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from hub.admin import facilities as directory
from hub.admin.errors import NotThere
from hub.admin.facilities import Facility, FacilityState
from hub.spool import history, holds, tracking
from hub.spool.history import Fault, Past
from hub.spool.holds import Pause
from hub.spool.tables import spool
from hub.spool.tracking import Count


@dataclass(frozen=True, slots=True)
class Place:
    """A facility and its queue. Times are UTC milliseconds; ``oldest_ms`` None: nothing waits.

    ``queued_bytes`` None: too much waits in the whole hub to be added up for a page.
    """

    of: Facility
    queued: int
    queued_bytes: int | None
    oldest_ms: int | None
    paused: Pause | None = None

    @property
    def active(self) -> bool:
        """Whether it takes part in traffic."""
        return self.of.state is FacilityState.ACTIVE


@dataclass(frozen=True, slots=True)
class Sought:
    """What is looked for: a part of an id or title, a state, a kind, a wilaya; empty or 0 for any.

    ``connected`` and ``away`` may stand for a state: active facilities that are here, or not.
    """

    text: str = ""
    state: str = ""
    kind: str = ""
    wilaya: int = 0


@dataclass(frozen=True, slots=True)
class Link:
    """What is kept of a facility's link: its last sessions and what went wrong, the latest first."""

    sessions: tuple[Past, ...]
    faults: tuple[Fault, ...]


def places(connection: Connection) -> list[Place]:
    """Return all facilities, by id."""
    waiting, paused = tracking.counts(connection), holds.pauses(connection)
    sizes = tracking.sizes(connection, waiting)
    return [
        _place(one, waiting.get(one.facility), sizes.get(one.facility), paused.get(one.facility))
        for one in directory.listing(connection)
    ]


def place(connection: Connection, name: str) -> Place:
    """Return one facility; raises NotThere."""
    found = next((one for one in places(connection) if one.of.facility == name), None)
    if found is None:
        raise NotThere("no-such-facility", f"there is no facility {name[:64]!r} in this hub's directory")
    return found


def link(connection: Connection, name: str) -> Link:
    """Return what is kept of a facility's link."""
    return Link(tuple(history.sessions(connection, name)), tuple(history.faults(connection, name)))


def _place(one: Facility, waiting: Count | None, size_bytes: int | None, paused: Pause | None) -> Place:
    if waiting is None:
        return Place(one, 0, 0, None, paused)
    return Place(one, waiting.messages, size_bytes, waiting.oldest_ms, paused)


def matching(found: Sequence[Place], sought: Sought) -> list[Place]:
    """Return those that are looked for."""
    text = sought.text.casefold()
    return [
        one
        for one in found
        if (text in one.of.facility or text in one.of.title.casefold())
        and _stands(one, sought.state)
        and sought.kind in ("", one.of.kind)
        and sought.wilaya in (0, one.of.wilaya)
    ]


def _stands(one: Place, state: str) -> bool:
    match state:
        case "":
            return True
        case "connected":
            return one.active and one.of.connected
        case "away":
            return one.active and not one.of.connected
    return one.of.state == state


def waiting_from(connection: Connection, name: str) -> int:
    """Return how many copies that a facility sent wait for others."""
    query = select(func.count()).where(spool.c.sender.like(f"%@{name}"))
    return int(connection.execute(query).scalar_one())
