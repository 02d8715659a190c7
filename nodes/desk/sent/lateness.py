"""What is late, since when, and why: as far as this node knows.

A node knows its own link, and what the hub and the recipients' nodes have said. That another facility is
away it knows from the hub's warning, which comes when a fifth of the message's time is left; until then it
knows no more than that the hub has the message and the facility has not taken it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sqlalchemy import Connection

from nodes.desk.sent.store import Copy, Sent
from nodes.link import facts
from protocols.link.envelope import Priority, State

MINUTE_MS: Final = 60_000
LEAVE_MS: Final = 2 * MINUTE_MS
ARRIVE_MS: Final = {Priority.STAT: 5 * MINUTE_MS, Priority.ROUTINE: 15 * MINUTE_MS}
OPEN_MS: Final = {Priority.STAT: 30 * MINUTE_MS, Priority.ROUTINE: 24 * 60 * MINUTE_MS}
"""How long each part of the way may take before it is called late."""


class Why(StrEnum):
    """What it waits for."""

    NODE_STOPPED = "node-stopped"
    NODE_REFUSED = "node-refused"
    NODE_OFFLINE = "node-offline"
    LEAVING = "leaving"
    NOT_TAKEN = "not-taken"
    RECIPIENT_OFFLINE = "recipient-offline"
    RECIPIENT_SLOW = "recipient-slow"
    IN_DOUBT = "in-doubt"
    UNOPENED = "unopened"


@dataclass(frozen=True, slots=True)
class Link:
    """How this node is: its daemon runs, it is connected, and why the hub does not let it in (or empty)."""

    running: bool
    connected: bool
    refusal: str


@dataclass(frozen=True, slots=True)
class Late:
    """``since_ms``: when the part of the way began that takes too long."""

    why: Why
    since_ms: int


def look(connection: Connection, *, running: bool) -> Link:
    """Return how this node is."""
    connected = running and bool(facts.get(connection, facts.CONNECTED))
    return Link(running, connected, facts.refusal(connection))


def lateness(one: Sent, copy: Copy, link: Link, now_ms: int) -> Late | None:
    """Return what is late about one recipient's copy; None: nothing is, or it is at its end."""
    priority = Priority(one.priority)
    match copy.state:
        case State.QUEUED if now_ms - one.created_ms > LEAVE_MS:
            return Late(_not_left(link), one.created_ms)
        case State.DELAYED:
            known = copy.code in {Why.RECIPIENT_OFFLINE, Why.RECIPIENT_SLOW, Why.IN_DOUBT}
            return Late(Why(copy.code) if known else Why.NOT_TAKEN, copy.at_ms)
        case State.ACCEPTED if now_ms - copy.at_ms > ARRIVE_MS[priority]:
            return Late(Why.NOT_TAKEN, copy.at_ms)
        case State.DELIVERED if now_ms - copy.at_ms > OPEN_MS[priority]:
            return Late(Why.UNOPENED, copy.at_ms)
    return None


def _not_left(link: Link) -> Why:
    if not link.running:
        return Why.NODE_STOPPED
    if link.refusal:
        return Why.NODE_REFUSED
    return Why.LEAVING if link.connected else Why.NODE_OFFLINE
