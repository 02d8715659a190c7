"""Queues: what waits for a facility, what came back, and returning what is never taken.

What can be done is bounded by the sealing. A message is sealed by its sender's node for the keys of the
facilities that it names, and its recipients are signed: the hub can neither address it anew nor seal it for
another. Once it has been returned, its body is gone from here. So there is no "send again" and no "send to
another mailbox" at the hub: the sender, whose node has everything, does both. There is no silent discarding
either: whatever leaves a queue undelivered comes back to its sender with a reason.

One person returns copies that cannot be on their way just now. That is certain of a copy that came after what
the facility's sessions may have been sent, while it is not connected or its queue is held. One that may have
been sent is safe to return only once the facility has been away for a while: a pause ends its session, and so
does a bad line, and neither makes what it took meanwhile untaken. What else is to go takes two
(:mod:`hub.admin.discards`).
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, Select, func, select, text

from hub.admin.errors import AdminRefused
from hub.admin.holds import AT_ONCE, REASON_CHARS, check_reason
from hub.audit.journal import Act, record
from hub.routing.route import Reason
from hub.spool import ageing, holds, store
from hub.spool.ageing import Due
from hub.spool.tables import CAME_BACK, events, presence, queue_pauses, spool
from protocols.link.envelope import State

LISTED: Final = 50
"""Rows on one page."""
SILENT_MS: Final = 15 * 60_000
"""For how long a facility that left may have, and not have said so, what it may have been sent."""
IDS_PER_QUERY: Final = 500
__all__ = ("AT_ONCE", "REASON_CHARS")


@dataclass(frozen=True, slots=True)
class Waiting:
    """One copy in the spool. ``in_doubt``: its recipient may have it already."""

    seq: int
    id: bytes
    sender: str
    recipient: str
    priority: int
    files: int
    accepted_ms: int
    expires_ms: int
    in_doubt: bool


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which copies of a queue: a part of the sender, a beginning of the recipient, a time; empty for any."""

    sender: str = ""
    recipient: str = ""
    before_ms: int | None = None

    @property
    def everything(self) -> bool:
        """Whether nothing is left out."""
        return self == Wanted()


@dataclass(frozen=True, slots=True)
class CameBack:
    """One copy that was returned, or refused by the application there."""

    seq: int
    id: bytes
    sender: str
    recipient: str
    refused: bool
    reason: str
    at_ms: int


def waiting(
    connection: Connection, facility: str, after: int = 0, wanted: Wanted | None = None, limit: int = LISTED
) -> list[Waiting]:
    """Return a page of what waits for ``facility``, oldest first, behind number ``after``."""
    query = _waiting(facility).where(spool.c.seq > after)
    if wanted is not None:
        if wanted.sender:
            query = query.where(spool.c.sender.contains(wanted.sender, autoescape=True))
        if wanted.recipient:
            query = query.where(spool.c.recipient.startswith(wanted.recipient, autoescape=True))
        if wanted.before_ms is not None:
            query = query.where(spool.c.accepted_ms < wanted.before_ms)
    return _rows(connection, query.limit(limit))


def chosen(connection: Connection, facility: str, sequences: Collection[int]) -> list[Waiting]:
    """Return those of the named rows that still wait for ``facility``, oldest first."""
    if len(sequences) > AT_ONCE:
        raise AdminRefused("too-many", f"at most {AT_ONCE} messages at once")
    numbers, found = sorted(set(sequences)), []
    for start in range(0, len(numbers), IDS_PER_QUERY):
        page = numbers[start : start + IDS_PER_QUERY]
        found += _rows(connection, _waiting(facility).where(spool.c.seq.in_(page)))
    return found


def _waiting(facility: str) -> Select[tuple[object, ...]]:
    """Ask for a queue, without the sealed messages."""
    columns = [spool.c[name] for name in Waiting.__slots__ if name != "in_doubt"]
    return (
        select(*columns, spool.c.again_until_ms, func.coalesce(presence.c.seen_seq, 0).label("seen"))
        .outerjoin(presence, presence.c.facility == spool.c.facility)
        .where(spool.c.facility == facility)
        .order_by(spool.c.seq)
    )


def _rows(connection: Connection, query: Select[tuple[object, ...]]) -> list[Waiting]:
    return [
        Waiting(
            r.seq, r.id, r.sender, r.recipient, r.priority, r.files, r.accepted_ms, r.expires_ms,
            in_doubt=r.seq <= r.seen or r.again_until_ms > 0,
        )
        for r in connection.execute(query)
    ]  # fmt: skip


def came_back(connection: Connection, before: int | None = None) -> list[CameBack]:
    """Return a page of what came back or was refused, the newest first, before number ``before``."""
    # As text, and as in the index: with values put in later it would not be used.
    query = select(events).where(text(CAME_BACK))
    if before is not None:
        query = query.where(events.c.seq < before)
    return [
        CameBack(r.seq, r.id, r.facility, r.recipient, r.state == State.REFUSED, r.code, r.at_ms)
        for r in connection.execute(query.order_by(events.c.seq.desc()).limit(LISTED))
    ]


def may_be_on_its_way(
    connection: Connection, facility: str, found: Sequence[Waiting], now_ms: int
) -> list[Waiting]:
    """Return those of ``found`` that the facility's node may be taking, or may just have taken."""
    connected, held, seen_ms = _link(connection, facility)
    lately = connected or now_ms - seen_ms < SILENT_MS
    return [one for one in found if (connected and not held) or (lately and one.in_doubt)]


def away_since_ms(connection: Connection, facility: str) -> int | None:
    """Return when a facility's node left, None while it is connected; 0: it has never been here."""
    connected, _, seen_ms = _link(connection, facility)
    return None if connected else seen_ms


def is_being_sent(connection: Connection, facility: str) -> bool:
    """Return whether a facility's node is connected and its queue not held: any copy may be on its way."""
    connected, held, _ = _link(connection, facility)
    return connected and not held


def _link(connection: Connection, facility: str) -> tuple[bool, bool, int]:
    """Return whether a facility's node is connected, whether its queue is held, and when it came or left."""
    row = connection.execute(
        select(presence.c.connected, queue_pauses.c.held, presence.c.seen_ms)
        .outerjoin(queue_pauses, queue_pauses.c.facility == presence.c.facility)
        .where(presence.c.facility == facility)
    ).one_or_none()
    return (False, False, 0) if row is None else (bool(row.connected), bool(row.held), row.seen_ms)


def give_up(
    connection: Connection,
    facility: str,
    sequences: Collection[int],
    *,
    reason: str,
    actor: str,
    now_ms: int,
) -> int:
    """Return copies to their senders (``given-up``); returns how many went.

    Raises AdminRefused (no-reason, long-reason, connected, too-many): then nothing is changed.
    """
    check_reason(reason)
    found = chosen(connection, facility, sequences)
    if is_being_sent(connection, facility) or may_be_on_its_way(connection, facility, found, now_ms):
        raise AdminRefused(
            "connected",
            f"{facility} is connected, or was a moment ago, and may be taking them: pause its queue first;"
            f" what may have been sent goes once it has been away for {SILENT_MS // 60_000} minutes, or is"
            " discarded by two people",
        )
    send_back(connection, facility, found, {"reason": reason}, actor=actor, now_ms=now_ms)
    return len(found)


def send_back(
    connection: Connection,
    facility: str,
    found: Sequence[Waiting],
    why: dict[str, str],
    *,
    actor: str,
    now_ms: int,
) -> None:
    """Return copies, whatever else is true of them; each is entered in the journal with ``why``."""
    answers = [(one.seq, ageing.return_news(_due(one, facility), Reason.GIVEN_UP, now_ms)) for one in found]
    store.conclude(connection, answers)
    holds.release(connection, [one.seq for one in found])
    for one in found:
        details = {"recipient": one.recipient, "in_doubt": "yes" if one.in_doubt else "no", **why}
        subject = str(uuid.UUID(bytes=one.id))
        record(connection, Act(actor, "message.given_up", subject, details), now_ms)


def _due(one: Waiting, facility: str) -> Due:
    return Due(one.seq, facility, one.recipient, one.sender, one.id, one.files, one.in_doubt, connected=False)
