"""Holding queues back, and discarding by two people: one asks, another administrator confirms."""

from __future__ import annotations

from typing import Annotated, Any, Final

from msgspec import Meta, Struct
from sqlalchemy import Connection

from hub.admin import discards, holds, network
from hub.admin.api import routes
from hub.admin.api.network import Facility, facility
from hub.admin.api.routes import Ask, Operation, PageQuery, change, look
from hub.admin.api.shapes import FacilityId, Reason, Reasoned, Time, message_id, time, time_or_none
from hub.admin.api.traffic import Number
from hub.admin.discards import Discard
from hub.admin.roles import Permission

Numbers = Annotated[list[Number], Meta(min_length=1, max_length=holds.AT_ONCE)]
Why = Annotated[Reason, Meta(min_length=1)]


class StopCopies(Struct, frozen=True, forbid_unknown_fields=True):
    """Which copies are not to be sent, and why."""

    numbers: Numbers
    reason: Why


class ReleaseCopies(Struct, frozen=True, forbid_unknown_fields=True):
    """Which stopped copies may be sent again."""

    numbers: Numbers


class Changed(Struct, frozen=True):
    """How many copies it changed something for."""

    changed: int


class AskDiscard(Struct, frozen=True, forbid_unknown_fields=True):
    """Which copies are to be discarded, and why."""

    facility: FacilityId
    numbers: Numbers
    reason: Why


class DiscardEntry(Struct, frozen=True):
    """A question whether copies may be discarded, and what became of it."""

    number: int
    facility: str
    reason: str
    asked_by: str
    asked: Time
    state: str
    settled_by: str
    settled: Time | None
    returned: int


class DiscardList(Struct, frozen=True):
    """Questions, the newest first."""

    items: list[DiscardEntry]
    next: str | None


class DiscardedCopy(Struct, frozen=True, rename={"sender": "from"}):
    """One copy that was asked about."""

    number: int
    id: str
    sender: str
    to: str


class DiscardView(Struct, frozen=True):
    """A question with the copies that it is about."""

    discard: DiscardEntry
    copies: list[DiscardedCopy]


def pause(ask: Ask) -> Operation:
    """Pause a queue."""

    def operation(connection: Connection) -> Facility:
        name = ask.path["facility"]
        holds.pause(connection, name, reason=ask.body.reason, actor=ask.actor, now_ms=ask.now_ms)
        return facility(network.place(connection, name))

    return operation


def resume(ask: Ask) -> Operation:
    """Let a paused queue go."""

    def operation(connection: Connection) -> Facility:
        name = ask.path["facility"]
        holds.resume(connection, name, reason=ask.body.reason, actor=ask.actor, now_ms=ask.now_ms)
        return facility(network.place(connection, name))

    return operation


def stop(ask: Ask) -> Operation:
    """Stop copies."""
    name, wanted = ask.path["facility"], ask.body

    def operation(connection: Connection) -> Changed:
        network.place(connection, name)
        return Changed(
            holds.stop(
                connection, name, wanted.numbers, reason=wanted.reason, actor=ask.actor, now_ms=ask.now_ms
            )
        )

    return operation


def release(ask: Ask) -> Operation:
    """Let stopped copies go."""
    name = ask.path["facility"]

    def operation(connection: Connection) -> Changed:
        network.place(connection, name)
        return Changed(holds.let_go(connection, name, ask.body.numbers, actor=ask.actor, now_ms=ask.now_ms))

    return operation


def _entry(one: Discard) -> DiscardEntry:
    return DiscardEntry(
        one.number, one.facility, one.reason, one.asked_by, time(one.asked_ms), str(one.state),
        one.settled_by, time_or_none(one.settled_ms), one.returned,
    )  # fmt: skip


def _view(connection: Connection, number: int) -> DiscardView:
    found, copies = discards.one(connection, number)
    return DiscardView(
        _entry(found),
        [DiscardedCopy(one.seq, message_id(one.id), one.sender, one.recipient) for one in copies],
    )


def list_discards(ask: Ask) -> DiscardList:
    """List questions."""
    query: PageQuery = ask.query
    before = routes.after_number(query, "discards") or None
    found = ask.read(lambda c: discards.listing(c, before))
    rows, cursor = routes.page(query, "discards", found, lambda one: one.number)
    return DiscardList([_entry(one) for one in rows], cursor)


def show_discard(ask: Ask) -> DiscardView:
    """Show one question."""
    number = int(ask.path["number"])
    return ask.read(lambda c: _view(c, number))


def ask_discard(ask: Ask) -> Operation:
    """Ask that copies be discarded."""
    wanted: AskDiscard = ask.body

    def operation(connection: Connection) -> DiscardView:
        network.place(connection, wanted.facility)
        number = discards.ask(
            connection, wanted.facility, wanted.numbers, reason=wanted.reason, actor=ask.actor,
            now_ms=ask.now_ms,
        )  # fmt: skip
        return _view(connection, number)

    return operation


def _settled_by(settle: Any) -> Any:
    """Return the handler that settles a question by a service."""

    def handler(ask: Ask) -> Operation:
        number = int(ask.path["number"])

        def operation(connection: Connection) -> DiscardView:
            settle(connection, number, actor=ask.actor, now_ms=ask.now_ms)
            return _view(connection, number)

        return operation

    return handler


_QUEUE: Final = "/queues/{facility}"
_ONE: Final = "/discards/{number}"
_TRAFFIC: Final = Permission.TRAFFIC
ROUTES: Final = (
    change(f"{_QUEUE}/pause", "pauseQueue", "Deliver nothing to a facility until its queue is resumed",
           _TRAFFIC, pause, Facility, Reasoned),
    change(f"{_QUEUE}/resume", "resumeQueue", "Let a paused queue go", _TRAFFIC, resume, Facility, Reasoned),
    change(f"{_QUEUE}/stop", "stopCopies", "Do not send these copies, nor what follows them in their lanes",
           _TRAFFIC, stop, Changed, StopCopies),
    change(f"{_QUEUE}/release", "releaseCopies", "Let stopped copies be sent again", _TRAFFIC, release,
           Changed, ReleaseCopies),
    look("/discards", "listDiscards", "Questions whether copies may be discarded, newest first",
         Permission.SEE, list_discards, DiscardList, query=PageQuery),
    look(_ONE, "showDiscard", "One question, and the copies that it is about", Permission.SEE, show_discard,
         DiscardView, missing=True),
    change("/discards", "askDiscard", "Ask that copies be discarded which may be delivered already", _TRAFFIC,
           ask_discard, DiscardView, AskDiscard, status=201),
    change(f"{_ONE}/confirm", "confirmDiscard", "Discard what somebody else asked about", Permission.NETWORK,
           _settled_by(discards.confirm), DiscardView),
    change(f"{_ONE}/refuse", "refuseDiscard", "Say no", Permission.NETWORK, _settled_by(discards.refuse),
           DiscardView),
    change(f"{_ONE}/withdraw", "withdrawDiscard", "Take one's own question back", _TRAFFIC,
           _settled_by(discards.withdraw), DiscardView),
)  # fmt: skip
