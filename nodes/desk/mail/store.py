"""SQL over ``desk_mail``: lists by page, counts, one row, and what people do with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    exists,
    func,
    insert,
    or_,
    select,
    true,
    update,
)

from nodes.desk.folding import terms
from nodes.desk.mail.rank import Rank
from nodes.desk.tables import mail
from nodes.desk.threads import THREAD
from nodes.link.ids import id_text, parse_id
from nodes.link.tables import inbox, openings
from protocols.link.envelope import State

HOUR_MS: Final = 3_600_000
LISTED: Final = 40
_SHOWN: Final = tuple(
    mail.c[name]
    for name in (
        "seq", "id", "department", "rank", "sender", "kind", "priority", "subject", "patient", "received_ms",
        "files", "thread", "opened_ms", "opened_by", "assigned",
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mail:
    """One message as lists show it."""

    seq: int
    id: bytes
    department: str
    rank: Rank
    sender: str
    kind: str
    priority: int
    subject: str
    patient: str
    received_ms: int
    files: int
    thread: bytes
    opened_ms: int | None
    opened_by: str | None
    assigned: str | None

    @property
    def shown_ms(self) -> int:
        """When it takes its place in a conversation."""
        return self.received_ms


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a list shows: ``view`` is inbox, unread, mine or archive; the others are empty for any."""

    department: str
    view: str = "inbox"
    name: str = ""
    text: str = ""
    patient: str = ""
    sender: str = ""
    kind: str = ""
    with_files: bool = False
    from_ms: int | None = None
    before_ms: int | None = None

    @property
    def filtered(self) -> bool:
        """Whether it leaves out anything of the view."""
        return bool(self.text or self.patient or self.sender or self.kind or self.with_files or self.from_ms
                    or self.before_ms)  # fmt: skip


@dataclass(frozen=True, slots=True)
class After:
    """Where the next page begins: behind this row."""

    rank: int
    seq: int


def listing(connection: Connection, wanted: Wanted, after: After | None = None) -> list[Mail]:
    """Return a page of at most ``LISTED`` + 1 rows: the last one only says that there is another page."""
    query = _filtered(select(*_SHOWN), wanted)
    if after is not None:
        behind = and_(mail.c.rank == after.rank, mail.c.seq < after.seq)
        query = query.where(or_(mail.c.rank < after.rank, behind))
    query = query.order_by(mail.c.rank.desc(), mail.c.seq.desc()).limit(LISTED + 1)
    return [_mail(row) for row in connection.execute(query)]


def _filtered(query: Select[Any], wanted: Wanted) -> Select[Any]:
    conditions: list[ColumnElement[bool]] = [mail.c.department == wanted.department]
    match wanted.view:
        case "archive":
            conditions.append(mail.c.rank == int(Rank.ARCHIVED))
        case "unread":
            conditions.append(mail.c.rank >= int(Rank.UNREAD))
        case "mine":
            conditions += [mail.c.rank >= int(Rank.OPENED), mail.c.assigned == wanted.name]
        case _:
            conditions.append(mail.c.rank >= int(Rank.OPENED))
    conditions.append(_says(wanted.text))
    if wanted.patient:
        conditions.append(mail.c.patient == wanted.patient)
    if wanted.sender:
        facility = mail.c.sender.endswith(f"@{wanted.sender}", autoescape=True)
        conditions.append(mail.c.sender == wanted.sender if "@" in wanted.sender else facility)
    if wanted.kind:
        conditions.append(mail.c.kind == wanted.kind)
    if wanted.with_files:
        conditions.append(mail.c.files > 0)
    if wanted.from_ms is not None:
        conditions.append(mail.c.received_ms >= wanted.from_ms)
    if wanted.before_ms is not None:
        conditions.append(mail.c.received_ms < wanted.before_ms)
    return query.where(*conditions)


def _says(text: str) -> ColumnElement[bool]:
    """Return what holds for a message with these words, this reference, or this number of its document."""
    words = and_(true(), *(mail.c.words.contains(term, autoescape=True) for term in terms(text)))
    raw = parse_id(text)
    if raw is None:
        return words
    numbered = exists().where(inbox.c.seq == mail.c.seq, inbox.c.key == id_text(raw))
    return or_(words, mail.c.id == raw, numbered)


@dataclass(frozen=True, slots=True)
class Counts:
    """How much of a department nobody has opened."""

    unread: int
    urgent: int


def counts(connection: Connection, departments: Sequence[str]) -> dict[str, Counts]:
    """Return what is unread in each department."""
    rows = connection.execute(
        select(mail.c.department, mail.c.rank, func.count())
        .where(mail.c.department.in_(departments), mail.c.rank >= int(Rank.UNREAD))
        .group_by(mail.c.department, mail.c.rank)
    )
    found = {(department, rank): count for department, rank, count in rows}
    return {
        name: Counts(
            sum(found.get((name, rank), 0) for rank in (Rank.UNREAD, Rank.URGENT)),
            found.get((name, Rank.URGENT), 0),
        )
        for name in departments
    }


def kinds(connection: Connection, department: str) -> list[str]:
    """Return the kinds among a department's newest thousand messages."""
    newest = (
        select(mail.c.kind).where(mail.c.department == department, mail.c.rank >= int(Rank.OPENED))
        .order_by(mail.c.rank.desc(), mail.c.seq.desc()).limit(1_000).subquery()
    )  # fmt: skip
    return sorted(connection.execute(select(newest.c.kind).distinct()).scalars())


def by_hour(
    connection: Connection, department: str, from_ms: int, before_ms: int
) -> dict[int, tuple[int, int]]:
    """Return for each hour of a day, from 0, how many came for a department, and how many are opened."""
    hour = ((mail.c.received_ms - from_ms) // HOUR_MS).label("hour")
    query = (
        select(hour, func.count(), func.count(mail.c.opened_ms))
        .where(mail.c.department == department, mail.c.received_ms >= from_ms, mail.c.received_ms < before_ms)
        .group_by(hour)
    )
    return {at: (came, opened) for at, came, opened in connection.execute(query)}


def find(connection: Connection, seq: int) -> Mail | None:
    """Return one row."""
    row = connection.execute(select(*_SHOWN).where(mail.c.seq == seq)).one_or_none()
    return None if row is None else _mail(row)


def thread(connection: Connection, department: str, identifier: bytes) -> list[Mail]:
    """Return what arrived of a thread, oldest first: the newest ``THREAD``, and one more if there is."""
    # No index for the department, as in what was sent.
    query = select(*_SHOWN).where(mail.c.thread == identifier, mail.c.department.concat("") == department)
    rows = connection.execute(query.order_by(mail.c.seq.desc()).limit(THREAD + 1)).all()
    return [_mail(row) for row in rows[::-1]]


def about(connection: Connection, departments: Sequence[str], numbers: Sequence[str]) -> list[Mail]:
    """Return what arrived for these departments and names one of a patient's numbers, the newest first."""
    query = select(*_SHOWN).where(mail.c.department.in_(departments), mail.c.patient.in_(numbers))
    return [_mail(row) for row in connection.execute(query.order_by(mail.c.seq.desc()).limit(LISTED))]


def mark_opened(connection: Connection, seq: int, name: str, now_ms: int) -> bool:
    """Note who opened a message first, and ask the daemon for the receipt; False if it was open before."""
    done = connection.execute(
        update(mail).where(mail.c.seq == seq, mail.c.opened_ms.is_(None))
        .values(opened_ms=now_ms, opened_by=name)
    )  # fmt: skip
    if done.rowcount == 0:
        return False
    connection.execute(
        update(mail).where(mail.c.seq == seq, mail.c.rank > int(Rank.OPENED)).values(rank=int(Rank.OPENED))
    )
    waits = connection.execute(
        select(inbox.c.seq).where(inbox.c.seq == seq, inbox.c.state == int(State.DELIVERED))
    ).scalar()
    if waits is not None:
        connection.execute(insert(openings).values(inbox_seq=seq, at_ms=now_ms))
    return True


def assign(connection: Connection, seqs: Sequence[int], name: str | None) -> None:
    """Give messages to somebody, or (None) back to everybody."""
    connection.execute(update(mail).where(mail.c.seq.in_(seqs)).values(assigned=name))


def set_rank(connection: Connection, seq: int, rank: Rank) -> None:
    """Put a message elsewhere in the order."""
    connection.execute(update(mail).where(mail.c.seq == seq).values(rank=int(rank)))


def _mail(row: Any) -> Mail:
    values = row._asdict()
    return Mail(**values | {"rank": Rank(values["rank"])})
