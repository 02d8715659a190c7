"""SQL over ``desk_sent`` and the outbox: lists by page, one message's row, a thread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, and_, exists, func, or_, select, true

from nodes.desk.folding import terms
from nodes.desk.tables import sent
from nodes.desk.threads import THREAD
from nodes.link.ids import id_text, parse_id
from nodes.link.tables import outbox, outbox_recipients
from protocols.link.envelope import State

LISTED: Final = 40
LATE_SHOWN: Final = 100
VIEWS: Final = ("all", "going", "back", "waiting")


@dataclass(frozen=True, slots=True)
class Copy:
    """One recipient's copy; ``receipt``: whether its node has signed what became of it."""

    recipient: str
    state: State
    code: str
    at_ms: int
    receipt: bool


@dataclass(frozen=True, slots=True)
class Sent:
    """One message as lists show it; ``by`` is the account that sent it, empty for another door."""

    seq: int
    id: bytes
    department: str
    by: str
    sender: str
    kind: str
    priority: int
    subject: str
    patient: str
    created_ms: int
    expires_ms: int
    thread: bytes
    answered_ms: int | None
    answer_seq: int | None
    copies: tuple[Copy, ...]

    @property
    def shown_ms(self) -> int:
        """When it takes its place in a conversation."""
        return self.created_ms


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a list shows. ``view``: all, going (not at an end), waiting (not opened), back (or refused)."""

    department: str
    view: str = "all"
    text: str = ""
    from_ms: int | None = None
    before_ms: int | None = None


_COLUMNS: Final = (
    sent.c.seq, sent.c.id, sent.c.department, sent.c.by, outbox.c.sender, outbox.c.kind, outbox.c.priority,
    outbox.c.subject, outbox.c.patient, sent.c.created_ms, outbox.c.expires_ms, sent.c.thread,
    sent.c.answered_ms, sent.c.answer_seq,
)  # fmt: skip


def _query() -> Select[Any]:
    return select(*_COLUMNS).join(outbox, outbox.c.seq == sent.c.seq)


def listing(connection: Connection, wanted: Wanted, before: int | None = None) -> list[Sent]:
    """Return a page of at most ``LISTED`` + 1 messages, the newest first, before row ``before``."""
    conditions: list[ColumnElement[bool]] = [sent.c.department == wanted.department]
    conditions.append(_says(wanted.text))
    if before is not None:
        conditions.append(sent.c.seq < before)
    if wanted.from_ms is not None:
        conditions.append(sent.c.created_ms >= wanted.from_ms)
    if wanted.before_ms is not None:
        conditions.append(sent.c.created_ms < wanted.before_ms)
    conditions.append(_of_view(wanted.view))
    rows = connection.execute(
        _query().where(*conditions).order_by(sent.c.seq.desc()).limit(LISTED + 1)
    ).all()  # fmt: skip
    return _with_copies(connection, rows)


def _says(text: str) -> ColumnElement[bool]:
    """Return what holds for a message with these words, this reference, or this number of its document."""
    words = and_(true(), *(sent.c.words.contains(term, autoescape=True) for term in terms(text)))
    raw = parse_id(text)
    return words if raw is None else or_(words, sent.c.id == raw, outbox.c.key == id_text(raw))


def _of_view(view: str) -> ColumnElement[bool]:
    def some(*states: State) -> ColumnElement[bool]:
        mine = outbox_recipients.c.outbox_seq == sent.c.seq
        return exists().where(mine, outbox_recipients.c.state.in_([int(state) for state in states]))

    match view:
        case "going":
            return outbox.c.settled.is_(False)
        case "waiting":
            return outbox.c.settled.is_(False) & some(State.DELIVERED)
        case "back":
            return some(State.REFUSED, State.RETURNED)
    return true()


def find(connection: Connection, identifier: bytes) -> Sent | None:
    """Return one message."""
    rows = connection.execute(_query().where(sent.c.id == identifier)).all()
    found = _with_copies(connection, rows)
    return found[0] if found else None


def thread(connection: Connection, department: str, identifier: bytes) -> list[Sent]:
    """Return what was sent in a thread, oldest first: the newest ``THREAD``, and one more if there is."""
    # No index for the department: asked for both, SQLite goes through all that the department ever sent.
    query = _query().where(sent.c.thread == identifier, sent.c.department.concat("") == department)
    rows = connection.execute(query.order_by(sent.c.seq.desc()).limit(THREAD + 1)).all()
    return _with_copies(connection, rows[::-1])


def of_day(connection: Connection, department: str, from_ms: int, before_ms: int) -> int:
    """Return how much a department sent on a day."""
    query = select(func.count()).where(
        sent.c.department == department, sent.c.created_ms >= from_ms, sent.c.created_ms < before_ms
    )
    return connection.execute(query).scalar_one()


def unsettled(connection: Connection, department: str) -> list[Sent]:
    """Return what is not at an end, the oldest first, at most ``LATE_SHOWN``."""
    query = _query().where(sent.c.department == department, outbox.c.settled.is_(False))
    return _with_copies(connection, connection.execute(query.order_by(sent.c.seq).limit(LATE_SHOWN)).all())


def _with_copies(connection: Connection, rows: Sequence[Any]) -> list[Sent]:
    copies: dict[int, list[Copy]] = {row.seq: [] for row in rows}
    found = connection.execute(
        select(outbox_recipients.c.outbox_seq, outbox_recipients.c.recipient, outbox_recipients.c.state,
               outbox_recipients.c.code, outbox_recipients.c.at_ms,
               func.length(outbox_recipients.c.receipt).label("signed"))
        .where(outbox_recipients.c.outbox_seq.in_(list(copies))).order_by(outbox_recipients.c.recipient)
    )  # fmt: skip
    for row in found:
        copies[row.outbox_seq].append(
            Copy(row.recipient, State(row.state), row.code, row.at_ms, row.signed > 0)
        )
    return [Sent(**row._asdict(), copies=tuple(copies[row.seq])) for row in rows]
