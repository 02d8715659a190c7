"""Catching up: rows of the inbox and the outbox that no desk list has yet get one.

Messages arrive in the daemon and leave through many doors; none of them knows of the desk. So before a list
is shown, and now and then, what is behind the last row that was seen is read once: who, what, which words,
which thread. Cheap when there is nothing (two maxima by primary key), safe to run by several threads at once
(each page of rows is one writing transaction) and to be cut anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, func, insert, select, update

from nodes.desk import departments
from nodes.desk.folding import fold
from nodes.desk.mail.rank import Rank
from nodes.desk.tables import mail, sent
from nodes.desk.threads import READ_BYTES, references, thread_of
from nodes.link import facts
from nodes.link.tables import inbox, inbox_files, outbox, outbox_recipients
from protocols.hl7 import catalogue
from protocols.link.envelope import State, mailbox_of
from runtime import transactions

INBOX: Final = "desk_inbox_seq"
OUTBOX: Final = "desk_outbox_seq"
"""Facts: the last row of each that has been looked at."""
PAGE: Final = 1_000
"""Rows in one transaction: other writers wait for a fifth of a second, longer on a slow disk."""
WORDS_CHARS: Final = 400


def catch_up(engine: Engine, home: Path) -> None:
    """Take up everything new. Raises StorageError."""
    while transactions.read(engine, _behind):
        transactions.transact(engine, lambda connection: _take(connection, home))


def _behind(connection: Connection) -> bool:
    newest = connection.execute(select(func.max(inbox.c.seq))).scalar() or 0
    latest = connection.execute(select(func.max(outbox.c.seq))).scalar() or 0
    return newest > facts.get(connection, INBOX) or latest > facts.get(connection, OUTBOX)


def _take(connection: Connection, home: Path) -> None:
    # What we sent first: what arrived may answer it.
    _take_sent(connection)
    _take_mail(connection, home)


def _take_sent(connection: Connection) -> None:
    rows = connection.execute(
        select(outbox.c.seq, outbox.c.id, outbox.c.sender, outbox.c.kind, outbox.c.subject, outbox.c.patient,
               outbox.c.created_ms)
        .where(outbox.c.seq > facts.get(connection, OUTBOX)).order_by(outbox.c.seq).limit(PAGE)
    ).all()  # fmt: skip
    if not rows:
        return
    known = set(connection.execute(
        select(sent.c.seq).where(sent.c.seq.between(rows[0].seq, rows[-1].seq))
    ).scalars())  # fmt: skip
    fresh = [row for row in rows if row.seq not in known]
    to: dict[int, list[str]] = {row.seq: [] for row in fresh}
    for copy in connection.execute(
        select(outbox_recipients.c.outbox_seq, outbox_recipients.c.recipient)
        .where(outbox_recipients.c.outbox_seq.between(rows[0].seq, rows[-1].seq))
    ):  # fmt: skip
        to.get(copy.outbox_seq, []).append(copy.recipient)
    if fresh:
        entries = [_sent(row, to[row.seq], by="", thread=row.id) for row in fresh]
        connection.execute(insert(sent), entries)
    for name in sorted({mailbox_of(row.sender) for row in fresh}):
        departments.changed(connection, name)
    facts.put(connection, OUTBOX, rows[-1].seq)


def put_sent(connection: Connection, row: Any, *, by: str, thread: bytes) -> None:
    """Enter a row of the outbox; ``by`` is the account that sent it, ``thread`` what it belongs to."""
    to = connection.execute(
        select(outbox_recipients.c.recipient).where(outbox_recipients.c.outbox_seq == row.seq)
    ).scalars()
    connection.execute(insert(sent), [_sent(row, to, by=by, thread=thread)])
    departments.changed(connection, mailbox_of(row.sender))


def _sent(row: Any, to: Iterable[str], *, by: str, thread: bytes) -> dict[str, Any]:
    return {
        "seq": row.seq, "id": row.id, "department": mailbox_of(row.sender), "by": by,
        "words": words_of(row.subject, row.patient, " ".join(to), row.kind), "thread": thread,
        "created_ms": row.created_ms,
    }  # fmt: skip


def _take_mail(connection: Connection, home: Path) -> None:
    rows = connection.execute(
        select(inbox.c.seq, inbox.c.id, inbox.c.sender, inbox.c.recipient, inbox.c.kind, inbox.c.priority,
               inbox.c.subject, inbox.c.patient, inbox.c.received_ms, inbox.c.state,
               func.substr(inbox.c.body, 1, READ_BYTES).label("body"), inbox.c.body_path)
        .where(inbox.c.seq > facts.get(connection, INBOX)).order_by(inbox.c.seq).limit(PAGE)
    ).all()  # fmt: skip
    if not rows:
        return
    counted = connection.execute(
        select(inbox_files.c.inbox_seq, func.count().label("files")).group_by(inbox_files.c.inbox_seq)
        .where(inbox_files.c.inbox_seq.between(rows[0].seq, rows[-1].seq))
    )  # fmt: skip
    files = {row.inbox_seq: int(row.files) for row in counted}
    entries: list[dict[str, Any]] = []
    for row in rows:
        named = references(_head(row, home))
        if named and entries:
            # What it answers may be among those that are not entered yet.
            connection.execute(insert(mail), entries)
            entries = []
        entries.append(_mail(row, files.get(row.seq, 0), _thread(connection, row, named)))
    connection.execute(insert(mail), entries)
    for name in {mailbox_of(row.recipient) for row in rows}:
        departments.changed(connection, name)
    facts.put(connection, INBOX, rows[-1].seq)


def _thread(connection: Connection, row: Any, named: tuple[str, ...]) -> bytes:
    """Return the conversation of a message that names these references; note that it answers, if it does."""
    found = thread_of(connection, row.sender, row.recipient, named) if named else None
    thread, answered = found if found is not None else (row.id, None)
    if answered is not None:
        connection.execute(
            update(sent).where(sent.c.seq == answered, sent.c.answered_ms.is_(None))
            .values(answered_ms=row.received_ms, answer_seq=row.seq)
        )  # fmt: skip
    return bytes(thread)


def _mail(row: Any, files: int, thread: bytes) -> dict[str, Any]:
    waits = row.state == int(State.DELIVERED)
    return {
        "seq": row.seq, "id": row.id, "department": mailbox_of(row.recipient),
        "rank": int(Rank.arrived(row.priority) if waits else Rank.OPENED), "sender": row.sender,
        "kind": row.kind, "priority": row.priority, "subject": row.subject, "patient": row.patient,
        "received_ms": row.received_ms, "files": files,
        "words": words_of(row.subject, row.patient, row.sender, row.kind), "thread": thread,
    }  # fmt: skip


def _head(row: Any, home: Path) -> bytes:
    """Return the beginning of a body, wherever it is kept; what cannot be read references nothing."""
    if row.body_path is None:
        return bytes(row.body or b"")  # SQLite says NULL of a part of nothing
    try:
        with (home / row.body_path).open("rb") as file:
            head: bytes = file.read(READ_BYTES)
            return head
    except OSError:
        return b""


def words_of(subject: str, patient: str, address: str, kind: str) -> str:
    """Return what a search of lists looks through."""
    return f"{fold(f'{subject} {patient} {address}')} {_titles(kind)}".strip()[:WORDS_CHARS]


@lru_cache(maxsize=256)
def _titles(kind: str) -> str:
    """Return what a kind of message is called in every language, folded: the same few come again."""
    return fold(" ".join(catalogue.title_of(kind, language) for language in ("en", "fr", "ar")))
