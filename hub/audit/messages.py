"""Taking into the log what became of messages, behind them: accepting a message costs nothing more.

The ledger and the events are numbered in the order of their commits, so a cursor over each finds every row
once. A batch of rows becomes one entry, ``messages.recorded``, that carries the Merkle root over the rows'
leaves (:mod:`protocols.audit.rows`): 4,096 rows cost one entry instead of 4,096. The leaves' hashes stay in
``audit_batches`` when retention has removed the rows, so a receipt that was given out still leads to the
root.

What is promised begins when a row is in a batch, seconds after its commit. A row that was changed before is
recorded as it was then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Table, func, insert, select

from hub.audit.journal import HUB, Act, record
from hub.audit.tables import audit_batches
from hub.spool.store import take_numbers
from hub.spool.tables import events, ledger, numbers
from protocols.audit import rows, tree

ROWS_PER_BATCH: Final = 4_096
ACTION: Final = "messages.recorded"


@dataclass(frozen=True, slots=True)
class Span:
    """Rows ``first`` to ``last`` of a table by their numbers; ``last`` is one less if there are none."""

    first: int
    last: int

    @property
    def count(self) -> int:
        """How many numbers."""
        return self.last - self.first + 1

    def __str__(self) -> str:
        return f"{self.first}-{self.last}" if self.count else f"none after {self.last}"


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows read and hashed, to be recorded. ``after``: the cursors that they were read behind."""

    after: tuple[int, int]
    ledger: Span
    events: Span
    leaves: bytes
    since_ms: int
    """When the oldest message that the rows speak of was accepted, 0 if its row is gone."""

    @property
    def root(self) -> bytes:
        """The Merkle root over the leaves."""
        return tree.root_of(split(self.leaves))


def split(leaves: bytes) -> list[bytes]:
    """Return the hashes that ``audit_batches.leaves`` holds."""
    size = tree.HASH_BYTES
    return [leaves[at : at + size] for at in range(0, len(leaves), size)]


def cursors(connection: Connection) -> tuple[int, int]:
    """Return the last ledger number and the last event number that are in the log."""
    last = connection.execute(
        select(audit_batches.c.ledger_last, audit_batches.c.events_last)
        .order_by(audit_batches.c.number.desc())
        .limit(1)
    ).one_or_none()
    return (0, 0) if last is None else (last.ledger_last, last.events_last)


def gather(connection: Connection) -> Batch | None:
    """Read and hash what is behind the cursors, ``ROWS_PER_BATCH`` at most; None if there is nothing."""
    after = cursors(connection)
    accepted = acceptances(connection, after[0] + 1, None, ROWS_PER_BATCH)
    told = outcomes(connection, after[1] + 1, None, ROWS_PER_BATCH - len(accepted))
    if not accepted and not told:
        return None
    spans, leaves = [], []
    for kind, found, cursor in ((rows.ACCEPTED, accepted, after[0]), (rows.EVENT, told, after[1])):
        if found:
            span = Span(min(found), min(max(found), min(found) + ROWS_PER_BATCH - 1))
        else:
            span = Span(cursor + 1, cursor)
        spans.append(span)
        leaves += leaf_hashes(kind, found, span)
    return Batch(after, spans[0], spans[1], b"".join(leaves), _since(connection, *spans))


def _since(connection: Connection, accepted: Span, told: Span) -> int:
    """Return when the oldest message was accepted that these rows speak of: retention goes by that."""
    of_events = (
        select(func.min(func.coalesce(ledger.c.accepted_ms, 0)))
        .select_from(events)
        .outerjoin(ledger, (ledger.c.id == events.c.id) & (ledger.c.facility == events.c.facility))
        .where(events.c.seq >= told.first, events.c.seq <= told.last)
    )
    of_ledger = select(func.min(ledger.c.accepted_ms)).where(
        ledger.c.seq >= accepted.first, ledger.c.seq <= accepted.last
    )
    found: list[int | None] = [connection.execute(query).scalar_one() for query in (of_events, of_ledger)]
    return min(one for one in found if one is not None)


def leaf_hashes(kind: int, found: dict[int, bytes], span: Span) -> list[bytes]:
    """Return the hash of each number's leaf, of those too that no row has."""
    return [
        tree.leaf_hash(found[number] if number in found else rows.absent_leaf(kind, number))
        for number in range(span.first, span.last + 1)
    ]


def said(accepted: Span, told: Span, root: bytes, since_ms: int) -> dict[str, str]:
    """Return the details of a batch's entry."""
    return {"ledger": str(accepted), "events": str(told), "root": root.hex(), "since_ms": str(since_ms)}


def enter(connection: Connection, batch: Batch, root: bytes, now_ms: int) -> int | None:
    """Record a batch; returns its entry's number, or None if another process recorded these rows first."""
    take_numbers(connection, audit_batches, 1)  # whoever has this lock reads the cursors that are committed
    if cursors(connection) != batch.after:
        return None
    details = said(batch.ledger, batch.events, root, batch.since_ms)
    subject = f"{batch.ledger.count} accepted, {batch.events.count} events"
    number = record(connection, Act(HUB, ACTION, subject, details), now_ms)
    connection.execute(
        insert(audit_batches).values(
            number=number,
            ledger_first=batch.ledger.first,
            ledger_last=batch.ledger.last,
            events_first=batch.events.first,
            events_last=batch.events.last,
            leaves=batch.leaves,
        )
    )
    return number


def acceptances(connection: Connection, first: int, last: int | None, limit: int) -> dict[int, bytes]:
    """Return the leaves of ledger rows from number ``first`` to ``last``, by number."""
    found = _rows(connection, ledger, rows.Acceptance.__struct_fields__, first, last, limit)
    return {row[0]: rows.Acceptance(*row).leaf() for row in found}


def outcomes(connection: Connection, first: int, last: int | None, limit: int) -> dict[int, bytes]:
    """Return the leaves of events from number ``first`` to ``last``, by number."""
    found = _rows(connection, events, rows.Outcome.__struct_fields__, first, last, limit)
    return {row[0]: rows.Outcome(*row).leaf() for row in found}


def _rows(
    connection: Connection, table: Table, names: tuple[str, ...], first: int, last: int | None, limit: int
) -> list[tuple[Any, ...]]:
    query = select(*(table.c["seq" if name == "number" else name] for name in names)).where(
        table.c.seq >= first
    )
    if last is not None:
        query = query.where(table.c.seq <= last)
    return [tuple(row) for row in connection.execute(query.order_by(table.c.seq).limit(limit)).all()]


def given_out(connection: Connection, table: Table) -> int:
    """Return the last number given out for rows of ``table``."""
    found = connection.execute(select(numbers.c.last).where(numbers.c.name == table.name))
    return found.scalar_one_or_none() or 0
