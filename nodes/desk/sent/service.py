"""Rules of what was sent: who sees it, what can still be done about it.

*Send again* puts a second message with the same content and files, for one recipient; the first stays as it
is. *Recall* is possible only while a message has certainly not left this facility: the link has been down
since before it was put. Once the hub may have it, it is on its way to the recipient and nothing takes it
back; what can be done then is to write to the same place that it was wrong.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from nodes.desk import audit, departments
from nodes.desk.errors import DeskRefused, NotThere
from nodes.desk.sent import store
from nodes.desk.sent.store import Sent
from nodes.link import facts, progress
from nodes.link.ids import id_text
from protocols.link.envelope import State

RECALLED = "recalled"


def find(connection: Connection, departments_of: Sequence[str], identifier: bytes) -> Sent:
    """Return a message that one of these departments sent. Raises NotThere, for those of others as well."""
    found = store.find(connection, identifier)
    if found is None or found.department not in departments_of:
        raise NotThere("no-such-message", f"no message {id_text(identifier)} was sent from here")
    return found


def may_recall(connection: Connection, one: Sent) -> bool:
    """Return whether a message has certainly not left this facility."""
    if any(copy.state is not State.QUEUED for copy in one.copies):
        return False
    offered = facts.get(connection, facts.OFFERED_SEQ)
    return not facts.get(connection, facts.CONNECTED) and one.seq > offered


def recall(
    connection: Connection, departments_of: Sequence[str], identifier: bytes, *, actor: str, now_ms: int
) -> None:
    """Take a message back before it has left. Raises NotThere, DeskRefused (too-late).

    The daemon notes that it is connected before it submits anything, so either this commit comes first and
    the message is not in the queue any more, or that one, and this is refused.
    """
    one = find(connection, departments_of, identifier)
    if not may_recall(connection, one):
        raise DeskRefused("too-late", "the message may have left this facility, and cannot be taken back")
    progress.returned(connection, one.seq, RECALLED, "", now_ms)
    departments.changed(connection, one.department)
    audit.record(connection, actor, "message.recalled", id_text(one.id), {}, now_ms)
