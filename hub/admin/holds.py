"""Holding queues back: pausing a facility's, stopping single copies. Every step is audited.

A paused queue delivers nothing until it is resumed. The facility may send, messages to it are accepted and
wait; their time limits go on: senders are warned as usual (``queue-paused``), and what is over comes back as
``expired``. Only what had been sent before the pause and was not answered stays until the facility's node
says whether it has it.

A stopped copy is not sent again, and nothing behind it in its lane (same sender, recipient and priority) is,
so that order is kept. It is for the one message that a node cannot take and that all others wait behind. One
that may have been delivered does not expire: it is returned by hand, or let go.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection

from sqlalchemy import Connection, select

from hub.admin.errors import AdminRefused, NotThere
from hub.audit.journal import Act, record
from hub.directory.tables import facilities
from hub.spool import holds
from hub.spool.holds import Pause
from hub.spool.tables import spool

REASON_CHARS = 200
AT_ONCE = 1_000
"""Copies stopped, let go or returned by one decision."""


def pauses(connection: Connection) -> dict[str, Pause]:
    """Return the paused queues by facility."""
    return holds.pauses(connection)


def pause(connection: Connection, facility: str, *, reason: str, actor: str, now_ms: int) -> None:
    """Pause a facility's queue.

    Raises NotThere (no-such-facility), AdminRefused (no-reason, long-reason, paused).
    """
    _known(connection, facility)
    check_reason(reason)
    if not holds.pause(connection, facility, reason=reason, actor=actor, now_ms=now_ms):
        raise AdminRefused("paused", f"the queue of {facility} is paused already")
    record(connection, Act(actor, "queue.paused", facility, {"reason": reason}), now_ms)


def resume(connection: Connection, facility: str, *, reason: str, actor: str, now_ms: int) -> None:
    """Let a paused queue go. Raises NotThere, AdminRefused (long-reason, not-paused)."""
    _known(connection, facility)
    if len(reason) > REASON_CHARS:
        raise AdminRefused("long-reason", f"a reason has at most {REASON_CHARS} characters")
    if not holds.resume(connection, facility):
        raise AdminRefused("not-paused", f"the queue of {facility} is not paused")
    record(connection, Act(actor, "queue.resumed", facility, {"reason": reason}), now_ms)


def stopped(connection: Connection, facility: str) -> dict[int, str]:
    """Return the numbers of a facility's copies that are stopped, and why."""
    return holds.stopped(connection, facility)


def stop(
    connection: Connection, facility: str, sequences: Collection[int], *, reason: str, actor: str, now_ms: int
) -> int:
    """Stop copies that wait for a facility; returns how many were not stopped before.

    Raises AdminRefused (no-reason, long-reason, too-many).
    """
    check_reason(reason)
    held = stopped(connection, facility)
    found = _ids(connection, facility, [seq for seq in sequences if seq not in held])
    holds.forget_left(connection)
    for identifier in found.values():
        record(
            connection, Act(actor, "message.stopped", identifier, {"to": facility, "reason": reason}), now_ms
        )
    return holds.stop(connection, facility, found, reason=reason, actor=actor, now_ms=now_ms)


def let_go(
    connection: Connection, facility: str, sequences: Collection[int], *, actor: str, now_ms: int
) -> int:
    """Let stopped copies be sent again; returns how many were stopped."""
    held = stopped(connection, facility)
    found = _ids(connection, facility, [seq for seq in sequences if seq in held])
    for identifier in found.values():
        record(connection, Act(actor, "message.released", identifier, {"to": facility}), now_ms)
    return holds.release(connection, found)


def check_reason(reason: str) -> None:
    """Raise AdminRefused (no-reason, long-reason) unless somebody said why."""
    if not reason.strip():
        raise AdminRefused("no-reason", "a reason is needed: it is written to the journal")
    if len(reason) > REASON_CHARS:
        raise AdminRefused("long-reason", f"a reason has at most {REASON_CHARS} characters")


def _known(connection: Connection, facility: str) -> None:
    query = select(facilities.c.facility).where(facilities.c.facility == facility)
    if connection.execute(query).first() is None:
        raise NotThere("no-such-facility", f"there is no facility {facility[:64]!r} in this hub's directory")


def _ids(connection: Connection, facility: str, sequences: Collection[int]) -> dict[int, str]:
    """Return the message ids of those copies that still wait for ``facility``, by number."""
    if len(sequences) > AT_ONCE:
        raise AdminRefused("too-many", f"at most {AT_ONCE} messages at once")
    rows = connection.execute(
        select(spool.c.seq, spool.c.id).where(
            spool.c.facility == facility, spool.c.seq.in_(sorted(sequences))
        )
    )
    return {row.seq: str(uuid.UUID(bytes=row.id)) for row in rows}
