"""Rules of a department's inbox: who sees a message, what opening it means, assigning, archiving.

A message is opened by showing what is in it. The first time that anybody of the department does so, its
sender gets the *processed* receipt; every time is an entry of the audit log. Before that a list shows no more
than who sent it, when, what kind it is and whom it is about.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, select

from nodes.desk import audit, departments
from nodes.desk.errors import DeskRefused, NotThere
from nodes.desk.mail import store
from nodes.desk.mail.rank import Rank
from nodes.desk.mail.store import Mail
from nodes.desk.roles import opens_first
from nodes.desk.tables import members
from nodes.link import inbox
from nodes.link.ids import id_text

MOST_SEQ: Final = (1 << 63) - 1
AT_ONCE: Final = 200
"""Messages in one bulk action."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Who does something: the account, the departments that it belongs to, its role."""

    name: str
    departments: tuple[str, ...]
    role: str

    @property
    def actor(self) -> str:
        """As the audit log names people."""
        return f"user:{self.name}"


def find(connection: Connection, departments_of: Sequence[str], seq: int) -> Mail:
    """Return a message of one of these departments. Raises NotThere, for those of others as well."""
    found = store.find(connection, seq) if 0 < seq <= MOST_SEQ else None
    if found is None or found.department not in departments_of:
        raise NotThere("no-such-message", f"there is no message {seq} here")
    return found


def openable(connection: Connection, reader: Reader, seq: int) -> tuple[Mail, inbox.Received]:
    """Return a message that this reader may open, without opening it.

    Raises NotThere; DeskRefused (not-first: somebody else has to open it before).
    """
    one = find(connection, reader.departments, seq)
    if one.opened_ms is None and not opens_first(reader.role, one.kind):
        raise DeskRefused("not-first", f"a {reader.role} does not open {one.kind} before the care team has")
    return one, inbox.find_row(connection, one.seq)


def opened(connection: Connection, reader: Reader, seq: int, now_ms: int) -> None:
    """Open a message: audit that it was read, have its sender told at the first time.

    For who has all of it at hand to show. Raises as :func:`openable` does.
    """
    one, _ = openable(connection, reader, seq)
    first = store.mark_opened(connection, seq, reader.name, now_ms)
    details = {"department": one.department, "patient": one.patient, "sender": one.sender}
    audit.record(connection, reader.actor, "message.opened" if first else "message.read",
                 id_text(one.id), details, now_ms)  # fmt: skip
    if first:
        departments.changed(connection, one.department)


def received(connection: Connection, departments_of: Sequence[str], seq: int) -> tuple[Mail, inbox.Received]:
    """Return a message that somebody of the department has opened, with its body and files' places.

    For what belongs to a page that is open: a file of it, a part of it. Raises NotThere, also while unopened.
    """
    one = find(connection, departments_of, seq)
    if one.opened_ms is None:
        raise NotThere("not-opened", f"message {seq} was not opened yet")
    return one, inbox.find_row(connection, one.seq)


def assign(
    connection: Connection, reader: Reader, seqs: Sequence[int], name: str | None, now_ms: int
) -> None:
    """Give messages to a member of their department, or back to everybody. Raises NotThere, DeskRefused."""
    for one in _several(connection, reader, seqs):
        if name is not None and not _is_member(connection, one.department, name):
            raise DeskRefused("no-such-member", f"{name[:64]!r} does not belong to {one.department}")
        if one.assigned == name:
            continue
        store.assign(connection, [one.seq], name)
        departments.changed(connection, one.department)
        audit.record(
            connection, reader.actor, "message.assigned", id_text(one.id), {"to": name or ""}, now_ms
        )


def archive(connection: Connection, reader: Reader, seqs: Sequence[int], now_ms: int) -> int:
    """Put opened messages away; returns how many stay because nobody opened them. Raises NotThere."""
    left = 0
    for one in _several(connection, reader, seqs):
        if one.opened_ms is None and one.rank >= Rank.UNREAD:
            left += 1
            continue
        if one.rank is not Rank.ARCHIVED:
            store.set_rank(connection, one.seq, Rank.ARCHIVED)
            departments.changed(connection, one.department)
            audit.record(connection, reader.actor, "message.archived", id_text(one.id), {}, now_ms)
    return left


def restore(connection: Connection, reader: Reader, seqs: Sequence[int], now_ms: int) -> None:
    """Take messages out of the archive. Raises NotThere."""
    for one in _several(connection, reader, seqs):
        if one.rank is Rank.ARCHIVED:
            store.set_rank(connection, one.seq, Rank.OPENED)
            departments.changed(connection, one.department)
            audit.record(connection, reader.actor, "message.restored", id_text(one.id), {}, now_ms)


def _several(connection: Connection, reader: Reader, seqs: Sequence[int]) -> list[Mail]:
    if len(seqs) > AT_ONCE:
        raise DeskRefused("too-many", f"{len(seqs)} messages at once, at most {AT_ONCE} are possible")
    return [find(connection, reader.departments, seq) for seq in dict.fromkeys(seqs)]


def _is_member(connection: Connection, department: str, name: str) -> bool:
    found = connection.execute(
        select(members.c.name).where(members.c.department == department, members.c.name == name)
    )
    return found.one_or_none() is not None
