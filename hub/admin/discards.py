"""Discarding: copies that one person alone may not return, because they may be at their recipient already.

Somebody asks, with a reason; an administrator who is somebody else confirms. Any administrator may refuse,
and who asked may take it back: neither takes two, since both leave all as it is. Nothing changes before it
is confirmed. What was chosen is written down with the question, so nobody confirms more than was asked:
copies that came later are not among them, and those that left the queue meanwhile are not touched. Each
sender gets a non-delivery report (``given-up``): nothing is ever discarded silently.

A copy that the facility's node is being sent is not taken from under it: the queue has to be held, the copy
stopped a while ago (``KNOWN_MS``), or the facility away.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sqlalchemy import Connection, Row, func, insert, select, update

from hub.admin import queues, users
from hub.admin.errors import AdminRefused, NotThere
from hub.admin.holds import check_reason
from hub.admin.tables import discard_copies, discards
from hub.audit.journal import Act, person_of, record
from hub.spool import holds

LISTED: Final = 50
KNOWN_MS: Final = 10_000
"""For how long a copy has been stopped that counts as not being sent to a facility which is connected.

The process that has the session is poked, and looks at every round: after 2 s, and what a round takes.
Nothing else bounds it, so one that hangs may be later. A pause is certain: that process says that it holds.
"""


class Stage(StrEnum):
    """What became of a question."""

    OPEN = "open"
    DONE = "done"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Discard:
    """A question: who asked what be discarded, and what became of it."""

    number: int
    facility: str
    reason: str
    asked_by: str
    asked_ms: int
    state: Stage
    settled_by: str
    settled_ms: int | None
    returned: int


@dataclass(frozen=True, slots=True)
class Copy:
    """One copy that was asked about."""

    seq: int
    id: bytes
    sender: str
    recipient: str


def ask(
    connection: Connection,
    facility: str,
    sequences: Collection[int],
    *,
    reason: str,
    actor: str,
    now_ms: int,
) -> int:
    """Ask that copies be discarded; returns the question's number.

    Raises AdminRefused (no-reason, long-reason, too-many, nothing).
    """
    check_reason(reason)
    found = queues.chosen(connection, facility, sequences)
    if not found:
        raise AdminRefused("nothing", "none of these waits any more")
    number = (connection.execute(select(func.max(discards.c.number))).scalar_one() or 0) + 1
    connection.execute(
        insert(discards).values(
            number=number, facility=facility, reason=reason, asked_by=actor, asked_ms=now_ms,
            state=str(Stage.OPEN), settled_by="", settled_ms=None, returned=0,
        )
    )  # fmt: skip
    rows = [
        {"number": number, "seq": o.seq, "id": o.id, "sender": o.sender, "recipient": o.recipient}
        for o in found
    ]
    connection.execute(insert(discard_copies), rows)
    details = {"to": facility, "messages": str(len(found)), "reason": reason}
    record(connection, Act(actor, "discard.asked", str(number), details), now_ms)
    return number


def listing(connection: Connection, before: int | None = None) -> list[Discard]:
    """Return questions, the newest first, before number ``before``."""
    query = select(discards).order_by(discards.c.number.desc()).limit(LISTED)
    if before is not None:
        query = query.where(discards.c.number < before)
    return [_discard(row) for row in connection.execute(query)]


def waiting_count(connection: Connection) -> int:
    """Return how many questions are open."""
    query = select(func.count()).select_from(discards).where(discards.c.state == str(Stage.OPEN))
    return int(connection.execute(query).scalar_one())


def one(connection: Connection, number: int) -> tuple[Discard, list[Copy]]:
    """Return a question and what it is about. Raises NotThere."""
    row = connection.execute(select(discards).where(discards.c.number == number)).one_or_none()
    if row is None:
        raise NotThere("no-such-discard", f"nobody asked a question {number}")
    copies = connection.execute(
        select(discard_copies).where(discard_copies.c.number == number).order_by(discard_copies.c.seq)
    )
    return _discard(row), [Copy(c.seq, c.id, c.sender, c.recipient) for c in copies]


def confirm(connection: Connection, number: int, *, actor: str, now_ms: int) -> int:
    """Discard what was asked about; returns how many copies went back to their senders.

    Raises NotThere, AdminRefused (settled, same-person, connected): then nothing is changed.
    """
    asked, copies = _open(connection, number)
    from_ms = users.second_from_ms(connection, asked.asked_by, actor, now_ms)
    if from_ms != 0:
        raise AdminRefused("same-person", users.why_not_second(from_ms))
    found = queues.chosen(connection, asked.facility, [copy.seq for copy in copies])
    if queues.is_being_sent(connection, asked.facility):
        stopped = holds.stopped(connection, asked.facility, now_ms - KNOWN_MS)
        if any(copy.seq not in stopped for copy in found):
            raise AdminRefused(
                "connected",
                f"{asked.facility} may be taking them now: pause its queue or stop them first, and try again"
                f" {KNOWN_MS // 1000} seconds after",
            )
    why = {"reason": asked.reason, "discard": str(number), "asked_by": asked.asked_by}
    queues.send_back(connection, asked.facility, found, why, actor=actor, now_ms=now_ms)
    _settle(connection, number, Stage.DONE, actor, now_ms, len(found))
    details = {"to": asked.facility, "messages": str(len(found)), "asked_by": asked.asked_by}
    record(connection, Act(actor, "discard.confirmed", str(number), details), now_ms)
    return len(found)


def refuse(connection: Connection, number: int, *, actor: str, now_ms: int) -> None:
    """Say no; no second person is needed for that. Raises NotThere, AdminRefused (settled)."""
    _open(connection, number)
    _settle(connection, number, Stage.REFUSED, actor, now_ms)
    record(connection, Act(actor, "discard.refused", str(number), {}), now_ms)


def withdraw(connection: Connection, number: int, *, actor: str, now_ms: int) -> None:
    """Take one's own question back. Raises NotThere, AdminRefused (settled, not-yours)."""
    asked, _ = _open(connection, number)
    if person_of(asked.asked_by) != person_of(actor):
        raise AdminRefused("not-yours", "only who asked takes it back")
    _settle(connection, number, Stage.WITHDRAWN, actor, now_ms)
    record(connection, Act(actor, "discard.withdrawn", str(number), {}), now_ms)


def _open(connection: Connection, number: int) -> tuple[Discard, list[Copy]]:
    found = one(connection, number)
    if found[0].state is not Stage.OPEN:
        raise AdminRefused("settled", f"question {number} was settled by {found[0].settled_by}")
    return found


def _settle(
    connection: Connection, number: int, state: Stage, actor: str, now_ms: int, returned: int = 0
) -> None:
    connection.execute(
        update(discards)
        .where(discards.c.number == number)
        .values(state=str(state), settled_by=actor, settled_ms=now_ms, returned=returned)
    )


def _discard(row: Row[tuple[object, ...]]) -> Discard:
    values = row._asdict()
    return Discard(**{**values, "state": Stage(values["state"])})
