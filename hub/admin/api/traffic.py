"""Messages as the hub sees them, never their content: queues, what came back, what became of one."""

from __future__ import annotations

import uuid
from typing import Annotated, Final

from msgspec import Meta, Struct
from sqlalchemy import Connection

from hub.admin import holds, network, queues
from hub.admin.api import routes
from hub.admin.api.network import Paused, paused
from hub.admin.api.routes import LISTED, Ask, Cursor, Limit, Operation, PageQuery, change, look
from hub.admin.api.shapes import (
    Moment,
    Reason,
    Sought,
    Time,
    Urgency,
    message_id,
    moment_ms,
    time,
    time_or_none,
    urgency,
)
from hub.admin.errors import NotThere
from hub.admin.queues import Wanted
from hub.admin.roles import Permission
from hub.spool import tracking
from hub.spool.tracking import Tracked

Number = Annotated[int, Meta(ge=1, le=(1 << 63) - 1, description="a copy's, as the queue lists it")]


class Queue(Struct, frozen=True):
    """What waits for one facility; it is delivered when its node is connected and the queue is not paused.

    ``bytes`` is null while more waits in the whole hub than can be added up for an answer.
    """

    facility: str
    connected: bool
    paused: Paused | None
    messages: int
    bytes: int | None
    oldest: Time | None


class QueueList(Struct, frozen=True):
    """Queues that are not empty, or are paused, by facility."""

    items: list[Queue]
    next: str | None


class Waiting(Struct, frozen=True, rename={"sender": "from"}):
    """One copy that waits. ``in_doubt``: the recipient may have it already; ``stopped``: why, if it is."""

    number: int
    id: str
    sender: str
    to: str
    priority: Urgency
    attachments: int
    accepted: Time
    expires: Time
    in_doubt: bool
    stopped: str | None


class WaitingQuery(Struct, frozen=True, forbid_unknown_fields=True, rename={"sender": "from"}):
    """Which copies: a part of the sender, the beginning of the recipient, accepted before a moment."""

    sender: Sought = ""
    to: Sought = ""
    before: Moment | None = None
    limit: Limit = LISTED
    cursor: Cursor | None = None


class WaitingList(Struct, frozen=True):
    """What waits for one facility, oldest first."""

    items: list[Waiting]
    next: str | None


class GiveUp(Struct, frozen=True, forbid_unknown_fields=True):
    """Which copies go back to their senders, and why."""

    numbers: Annotated[list[Number], Meta(min_length=1, max_length=queues.AT_ONCE)]
    reason: Annotated[Reason, Meta(min_length=1)]


class GivenUp(Struct, frozen=True):
    """How many copies went; those that waited no more did not."""

    returned: int


class CameBack(Struct, frozen=True):
    """One copy that came back to ``sender_facility``, or was refused by the application there."""

    id: str
    sender_facility: str
    to: str
    refused: bool
    reason: str
    at: Time


class CameBackList(Struct, frozen=True):
    """What came back, the newest first."""

    items: list[CameBack]
    next: str | None


class Step(Struct, frozen=True):
    """What became of a recipient's copy."""

    recipient: str
    state: str
    reason: str
    at: Time


class Message(Struct, frozen=True, rename={"sender": "from"}):
    """One message; ``waiting`` are the recipients whose copy is at the hub."""

    id: str
    sender: str
    to: list[str]
    kind: str
    priority: Urgency
    size: int
    attachments: int
    accepted: Time
    expires: Time
    waiting: list[str]
    history: list[Step]


class Messages(Struct, frozen=True):
    """The messages of one id: two, if two facilities used it."""

    items: list[Message]


def list_queues(ask: Ask) -> QueueList:
    """List queues."""
    query: PageQuery = ask.query
    after = routes.after(query, "queues")
    found = [
        Queue(
            one.of.facility,
            one.of.connected,
            paused(one.paused),
            one.queued,
            one.queued_bytes,
            time_or_none(one.oldest_ms),
        )
        for one in ask.read(network.places)
        if (one.queued or one.paused is not None) and one.of.facility > after
    ]
    rows, cursor = routes.page(query, "queues", found, lambda one: one.facility)
    return QueueList(list(rows), cursor)


def show_queue(ask: Ask) -> WaitingList:
    """List what waits for one facility."""
    query: WaitingQuery = ask.query
    name, after = ask.path["facility"], routes.after_number(query, "queue")
    before_ms = None if query.before is None else moment_ms("before", query.before)
    wanted = Wanted(query.sender, query.to, before_ms)

    def look_up(connection: Connection) -> tuple[list[queues.Waiting], dict[int, str]]:
        network.place(connection, name)
        return queues.waiting(connection, name, after, wanted), holds.stopped(connection, name)

    found, stopped = ask.read(look_up)
    rows, cursor = routes.page(query, "queue", found, lambda one: one.seq)
    return WaitingList([_waiting(one, stopped.get(one.seq)) for one in rows], cursor)


def _waiting(one: queues.Waiting, stopped: str | None) -> Waiting:
    return Waiting(
        one.seq, message_id(one.id), one.sender, one.recipient, urgency(one.priority), one.files,
        time(one.accepted_ms), time(one.expires_ms), one.in_doubt, stopped,
    )  # fmt: skip


def give_up(ask: Ask) -> Operation:
    """Return copies to their senders."""
    name, wanted = ask.path["facility"], ask.body

    def operation(connection: Connection) -> GivenUp:
        network.place(connection, name)
        return GivenUp(
            queues.give_up(
                connection, name, wanted.numbers, reason=wanted.reason, actor=ask.actor, now_ms=ask.now_ms
            )
        )

    return operation


def list_returned(ask: Ask) -> CameBackList:
    """List what came back."""
    query: PageQuery = ask.query
    before = routes.after_number(query, "returned") or None
    found = ask.read(lambda c: queues.came_back(c, before))
    rows, cursor = routes.page(query, "returned", found, lambda one: one.seq)
    shown = [
        CameBack(message_id(one.id), one.sender, one.recipient, one.refused, one.reason, time(one.at_ms))
        for one in rows
    ]
    return CameBackList(shown, cursor)


def track(ask: Ask) -> Messages:
    """Say what became of a message."""
    identifier = uuid.UUID(ask.path["id"])
    found = ask.read(lambda c: tracking.track(c, identifier.bytes))
    if not found:
        raise NotThere(
            "no-such-message", f"this hub has accepted no message {identifier}, or has forgotten it"
        )
    return Messages([_message(one) for one in found])


def _message(one: Tracked) -> Message:
    history = [Step(n.recipient, n.state.word, n.code, time(n.at_ms)) for n in one.news]
    return Message(
        message_id(one.id), one.sender, list(one.recipients), one.kind, urgency(one.priority), one.size,
        one.files, time(one.accepted_ms), time(one.expires_ms), list(one.waiting), history,
    )  # fmt: skip


_SEE: Final = Permission.SEE
ROUTES: Final = (
    look("/queues", "listQueues", "Queues that are not empty or are paused, by facility", _SEE, list_queues,
         QueueList, query=PageQuery),
    look("/queues/{facility}", "showQueue", "What waits for a facility, oldest first", _SEE,
         show_queue, WaitingList, query=WaitingQuery, missing=True),
    change("/queues/{facility}/give-up", "giveUp", "Return copies that are never taken to their senders",
           Permission.TRAFFIC, give_up, GivenUp, GiveUp),
    look("/returned", "listReturned", "What came back or was refused, the newest first", _SEE, list_returned,
         CameBackList, query=PageQuery),
    look("/messages/{id}", "track", "What became of a message", _SEE, track, Messages, missing=True),
)  # fmt: skip
