"""What an administrator has to know first: what needs somebody, then how the network does.

:func:`look` gathers it in one reading transaction; :func:`attention` judges it, the gravest first. The
bounds below are when a person should look; the alerts of ``monitoring/`` have bounds of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final

from sqlalchemy import Connection

from hub.admin import discards, network, network_keys, rates
from hub.admin.facilities import FacilityState
from hub.admin.health import Health
from hub.admin.network import Place
from hub.admin.queues import SILENT_MS
from hub.admin.rates import HOUR_MS, Bar
from hub.directory import knocks
from protocols.link.envelope import State

DAY_MS: Final = 24 * HOUR_MS
HOURS_SHOWN: Final = 24
KEY_WARNING_MS: Final = 30 * DAY_MS
WAITING_MS: Final = HOUR_MS
CHANGE_LONG_MS: Final = 7 * DAY_MS
"""When a change of the network's keys looks forgotten."""


class Grade(IntEnum):
    """How urgent it is; the higher, the more."""

    NOTE = 0
    WARNING = 1
    FAULT = 2


class Matter(StrEnum):
    """What may need attention."""

    DAEMON_SILENT = "daemon-silent"
    CHECK_FAILED = "check-failed"
    KEY_EXPIRED = "key-expired"
    KEY_ENDS = "key-ends"
    FACILITY_SILENT = "facility-silent"
    QUEUE_OLD = "queue-old"
    PENDING = "pending"
    PAUSED = "paused"
    DISCARD = "discard"
    KNOCKING = "knocking"
    KEYS_CHANGE = "keys-change"
    RETURNED = "returned"


@dataclass(frozen=True, slots=True)
class Concern:
    """One thing that needs somebody; ``subject`` is a facility or a check, the rest depends on the matter."""

    grade: Grade
    matter: Matter
    subject: str = ""
    at_ms: int = 0
    count: int = 0
    text: str = ""


@dataclass(frozen=True, slots=True)
class Overview:
    """The state of the network at one moment."""

    now_ms: int
    places: tuple[Place, ...]
    hours: tuple[Bar, ...]
    last_five_minutes: int
    returned_today: int
    discards: int = 0
    """Questions whether something may be discarded that nobody has answered."""
    knocking: int = 0
    """Nodes that a restored hub has forgotten, and whom nobody has let in yet."""
    keys_change_ms: int | None = None
    """Since when a change of the network's own keys is under way."""

    @property
    def connected(self) -> int:
        """How many active facilities are here."""
        return sum(one.active and one.of.connected for one in self.places)

    @property
    def active(self) -> int:
        """How many facilities take part."""
        return sum(one.active for one in self.places)

    @property
    def queued(self) -> int:
        """How many copies wait."""
        return sum(one.queued for one in self.places)

    @property
    def oldest_ms(self) -> int | None:
        """Since when the oldest waits."""
        return min((one.oldest_ms for one in self.places if one.oldest_ms is not None), default=None)


def look(connection: Connection, now_ms: int) -> Overview:
    """Return the state of the network; reads only."""
    return Overview(
        now_ms,
        tuple(network.places(connection)),
        tuple(rates.hourly(connection, HOURS_SHOWN, now_ms)),
        rates.since(connection, now_ms - 5 * 60_000),
        rates.ended_since(connection, State.RETURNED, now_ms - DAY_MS),
        discards.waiting_count(connection),
        len(knocks.waiting(connection)),
        network_keys.under_way_since(connection),
    )


def attention(seen: Overview, health: Health) -> list[Concern]:
    """Return what needs somebody, the gravest first."""
    found = _of_daemon(health)
    for one in seen.places:
        if one.active:
            found += _of_facility(one, seen.now_ms)
        if one.of.state is FacilityState.PENDING:
            found.append(Concern(Grade.WARNING, Matter.PENDING, one.of.facility))
        if one.paused is not None:
            found.append(
                Concern(Grade.WARNING, Matter.PAUSED, one.of.facility, one.paused.since_ms, one.queued)
            )
    if seen.discards:
        found.append(Concern(Grade.WARNING, Matter.DISCARD, count=seen.discards))
    if seen.knocking:
        found.append(Concern(Grade.WARNING, Matter.KNOCKING, count=seen.knocking))
    if (since_ms := seen.keys_change_ms) is not None:
        grade = Grade.WARNING if seen.now_ms - since_ms > CHANGE_LONG_MS else Grade.NOTE
        found.append(Concern(grade, Matter.KEYS_CHANGE, at_ms=since_ms))
    if seen.returned_today:
        found.append(Concern(Grade.NOTE, Matter.RETURNED, count=seen.returned_today))
    return sorted(found, key=lambda one: (-one.grade, one.matter, one.subject))


def _of_daemon(health: Health) -> list[Concern]:
    if not health.answers:
        return [Concern(Grade.FAULT, Matter.DAEMON_SILENT)]
    return [
        Concern(Grade.FAULT, Matter.CHECK_FAILED, check.name, text=check.text)
        for check in health.checks
        if not check.ok
    ]


def _of_facility(one: Place, now_ms: int) -> Sequence[Concern]:
    found, name = [], one.of.facility
    until_ms = one.of.keys.expires_ms if one.of.keys is not None else None
    if until_ms is not None and until_ms - now_ms < KEY_WARNING_MS:
        over = until_ms <= now_ms
        grade, matter = (Grade.FAULT, Matter.KEY_EXPIRED) if over else (Grade.WARNING, Matter.KEY_ENDS)
        found.append(Concern(grade, matter, name, at_ms=until_ms))
    waits = one.oldest_ms is not None and now_ms - one.oldest_ms > WAITING_MS
    if not one.of.connected and one.of.seen_ms is not None and now_ms - one.of.seen_ms > SILENT_MS:
        grade = Grade.FAULT if waits else Grade.WARNING
        found.append(Concern(grade, Matter.FACILITY_SILENT, name, one.of.seen_ms, one.queued))
    elif waits:
        found.append(Concern(Grade.WARNING, Matter.QUEUE_OLD, name, one.oldest_ms or 0, one.queued))
    return found
