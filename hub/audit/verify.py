"""Is the log the one that was written? Every entry, every checkpoint, every countersignature, every batch.

What is found is said of the first entry that is wrong, and why: its number is not the next one (removed,
put elsewhere), its hash is not that of its content (changed), the entry before has another hash than the
one it carries (exchanged). Then what was signed is compared with what is there: a log that was shortened or
written anew has another root than its checkpoints say, and checkpoints that were removed with it are with
the nodes.

The whole is read in pages, in one transaction that sees one state; nothing is written.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, select

from crypto.keys import SigningPublicKey
from hub.audit import keys, messages
from hub.audit.tables import audit, audit_batches, checkpoints, witnesses
from hub.audit.witnesses import signing_key
from protocols.audit import checkpoint, rows, succession, tree
from protocols.audit.entry import NO_ENTRY, Entry, details_text

PAGE: Final = 2_000
BATCHES_PER_PAGE: Final = 16
FAULTS_TOLD: Final = 100
_UNREADABLE: Final = (TypeError, ValueError, OverflowError, MemoryError)
"""What reading a row raises whose columns hold something else than they are for: SQLite keeps anything."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is not as it was written. ``place``: like ``entry 7``, ``checkpoint 12``."""

    place: str
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


@dataclass(slots=True)
class Report:
    """What was found. ``witnessed``: the newest checkpoint's size that each facility's node countersigned."""

    entries: int = 0
    checkpoints: int = 0
    signed: int = 0
    """How many entries the newest checkpoint covers."""
    batches: int = 0
    rows: int = 0
    witnessed: dict[str, int] = field(default_factory=dict)
    witnesses: int = 0
    """Of the newest checkpoint."""
    faults: list[Fault] = field(default_factory=list)

    @property
    def valid(self) -> bool:
        """Nothing is wrong."""
        return not self.faults

    def fault(self, place: str, text: str) -> None:
        """Note a fault, of the first ``FAULTS_TOLD``."""
        if len(self.faults) < FAULTS_TOLD:
            self.faults.append(Fault(place, text))


@dataclass(frozen=True, slots=True)
class Trusted:
    """What the log is judged by. ``young_ms``: rows of messages accepted since must still be there."""

    key: SigningPublicKey | None
    authority: SigningPublicKey
    young_ms: int


def verify(connection: Connection, trusted: Trusted) -> Report:
    """Check everything. Nothing is raised for what is found: it is in the report."""
    walk = Walk(trusted)
    while not walk.step(connection):
        pass
    report = walk.report
    _check_witnesses(connection, trusted, report)
    _check_batches(connection, trusted, report)
    return report


def check_link(entry: Entry, kept: bytes, expected: int, previous: bytes) -> str:
    """Return what is wrong with an entry behind the one whose hash is ``previous``; empty if nothing is."""
    if entry.number != expected:
        return f"entry {expected} is missing: the next one there is has number {entry.number}"
    if entry.hash() != kept:
        return "its content is not what its hash was computed over: it was changed"
    if entry.previous != previous:
        return (
            f"it carries another hash for entry {expected - 1} than that entry has: "
            "one of the two was exchanged or moved"
        )
    return ""


def entries_after(connection: Connection, number: int, limit: int) -> list[tuple[Entry, bytes]]:
    """Return the next entries with their hashes as kept."""
    query = select(audit).where(audit.c.number > number).order_by(audit.c.number).limit(limit)
    return [
        (Entry(r.number, r.at_ms, r.actor, r.action, r.subject, r.details, bytes(r.previous)), bytes(r.hash))
        for r in connection.execute(query)
    ]


# ── entries and checkpoints, in one walk ───────────────────────────────────────────────────


class _Signers:
    """Which key has to have signed a checkpoint of which size: the log itself says when it was replaced."""

    def __init__(self, connection: Connection, last: SigningPublicKey | None, report: Report) -> None:
        self._changes: list[tuple[int, SigningPublicKey]] = []
        self._last = last
        following: bytes | None = None
        known = last is None
        for change in keys.changes(connection):
            place = f"entry {change.number}"
            try:
                said = succession.verify(change.statement)
            except checkpoint.CheckpointFault as fault:
                report.fault(place, str(fault))
                continue
            if following is not None and said.key != following:
                report.fault(place, "it names a successor of another audit key than the one that held")
            known = known or (last is not None and bytes(last) in (said.key, said.next))
            self._changes.append((change.number, SigningPublicKey(said.key)))
            following = said.next
        if following is not None:
            self._last = SigningPublicKey(following)
            if not known:
                report.fault("audit key", "the changes in the log do not lead to the key that this hub has")

    def of(self, size: int) -> SigningPublicKey | None:
        """Return the key; None if any will do."""
        return next((key for number, key in self._changes if size < number), self._last)


class Walk:
    """A walk over the log from its beginning, a page at a time: a hub that runs takes one step a round."""

    def __init__(self, trusted: Trusted, page: int = PAGE) -> None:
        self.report = Report()
        self._trusted, self._page = trusted, page
        self._frontier, self._previous = tree.Frontier(), NO_ENTRY
        self._last = 0
        self._chain_holds = True

    def step(self, connection: Connection) -> bool:
        """Check the next page; returns whether the end was reached."""
        try:
            page = entries_after(connection, self._last, self._page)
        except _UNREADABLE:
            self._say_unreadable(connection)
            return True
        # Faults of the keys are told once; a key that is replaced during the walk counts from then on.
        signers = _Signers(connection, self._trusted.key, Report() if self._last else self.report)
        query = select(checkpoints).where(checkpoints.c.size > self._frontier.size)
        signed = list(connection.execute(query.order_by(checkpoints.c.size).limit(self._page)))[::-1]
        for entry, kept in page:
            wrong = self._wrong(entry, kept)
            if wrong:
                self.report.fault(f"entry {self._frontier.size + 1}", wrong)
                self._chain_holds = False  # what follows hangs on it
            self._previous = kept
            self._frontier.append(entry.hash())
            self._last = entry.number
            if signed and signed[-1].size == self._frontier.size:
                size = self._frontier.size
                _check_checkpoint(signed.pop(), self._frontier.root(), signers.of(size), self.report)
        self.report.entries = self._frontier.size
        if len(page) == self._page:
            return False
        self._end(connection)
        return True

    def _say_unreadable(self, connection: Connection) -> None:
        number = self._last
        try:
            while found := entries_after(connection, number, 1):
                number = found[0][0].number
        except _UNREADABLE as error:
            self.report.fault(
                f"entry {number + 1}", f"it is not what an entry is made of ({error}): it was changed"
            )

    def _wrong(self, entry: Entry, kept: bytes) -> str:
        if not self._chain_holds:
            return ""
        return check_link(entry, kept, self._frontier.size + 1, self._previous)

    def _end(self, connection: Connection) -> None:
        """Look whether there was more."""
        size = self._frontier.size
        for beyond in connection.execute(
            select(checkpoints.c.size).where(checkpoints.c.size > size).order_by(checkpoints.c.size)
        ).scalars():
            self.report.fault(
                f"checkpoint {beyond}", f"the log ends with entry {size}: what was signed was removed"
            )
        written = messages.given_out(connection, audit)
        if written != size:
            self.report.fault(
                f"entry {size + 1}", f"{written} entries were written, {size} are there: entries were removed"
            )


def _check_checkpoint(row: Any, root: bytes, key: SigningPublicKey | None, report: Report) -> None:
    place = f"checkpoint {row.size}"
    report.checkpoints += 1
    report.signed = row.size
    try:
        said = checkpoint.verify(bytes(row.statement), key)
    except checkpoint.CheckpointFault as fault:
        report.fault(place, str(fault))
        return
    if (said.size, said.root, said.at_ms) != (row.size, bytes(row.root), row.at_ms):
        report.fault(place, "what was signed is not what the table says beside it")
    elif said.root != root:
        report.fault(place, f"entries 1 to {row.size} are not those that were signed: the root differs")


# ── witnesses ──────────────────────────────────────────────────────────────────────────────


def _check_witnesses(connection: Connection, trusted: Trusted, report: Report) -> None:
    signing: dict[tuple[str, int], SigningPublicKey | None] = {}
    query = (
        select(witnesses, checkpoints.c.statement)
        .outerjoin(checkpoints, checkpoints.c.size == witnesses.c.size)
        .order_by(witnesses.c.size, witnesses.c.facility)
    )
    for row in connection.execute(query):
        place = f"witness {row.facility} of checkpoint {row.size}"
        if row.statement is None:
            report.fault(place, "it was countersigned, and is missing: checkpoints were removed")
            continue
        whose = row.facility, row.serial
        if whose not in signing:
            signing[whose] = signing_key(connection, row.facility, row.serial, trusted.authority)
        key = signing[whose]
        if key is None:
            report.fault(place, f"there is no credential {row.serial} of the authority's to check it by")
        elif not checkpoint.countersigned(key, row.facility, bytes(row.statement), bytes(row.signature)):
            report.fault(place, "its signature is not one of this checkpoint")
        else:
            report.witnessed[row.facility] = row.size
    report.witnesses = sum(size == report.signed for size in report.witnessed.values())


# ── what became of messages ────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Recorded:
    """A batch as it is kept."""

    number: int
    ledger: messages.Span
    events: messages.Span
    leaves: list[bytes]
    details: str


def _check_batches(connection: Connection, trusted: Trusted, report: Report) -> None:
    after, seen = (0, 0), 0
    while page := _recorded(connection, seen):
        for one in page:
            report.batches += 1
            since_ms, wrong = _judge(one, after)
            if wrong:
                report.fault(f"batch of entry {one.number}", wrong)
            else:
                _check_rows(connection, one, report, must_be_there=since_ms >= trusted.young_ms)
            after = one.ledger.last, one.events.last
        seen = page[-1].number
    query = (
        select(audit.c.number)
        .outerjoin(audit_batches, audit_batches.c.number == audit.c.number)
        .where(audit.c.action == messages.ACTION, audit_batches.c.number.is_(None))
    )
    for number in connection.execute(query.order_by(audit.c.number).limit(FAULTS_TOLD)).scalars():
        report.fault(f"batch of entry {number}", "the leaves that the entry speaks of were removed")


def _recorded(connection: Connection, after: int) -> list[_Recorded]:
    query = (
        select(audit_batches, audit.c.details)
        .outerjoin(audit, audit.c.number == audit_batches.c.number)
        .where(audit_batches.c.number > after)
        .order_by(audit_batches.c.number)
        .limit(BATCHES_PER_PAGE)
    )
    return [
        _Recorded(
            row.number,
            messages.Span(row.ledger_first, row.ledger_last),
            messages.Span(row.events_first, row.events_last),
            messages.split(bytes(row.leaves)),
            row.details or "",
        )
        for row in connection.execute(query)
    ]


def _judge(one: _Recorded, after: tuple[int, int]) -> tuple[int, str]:
    """Return since when the batch's messages are, and what is wrong with it (empty if nothing is)."""
    expected = one.ledger.count + one.events.count
    if len(one.leaves) != expected:
        return 0, f"{expected} leaves expected, {len(one.leaves)} found"
    try:
        since_ms = int(msgspec.json.decode(one.details, type=dict[str, str])["since_ms"])
    except (msgspec.MsgspecError, KeyError, ValueError):
        return 0, "its entry is missing, or does not say what it should"
    said = messages.said(one.ledger, one.events, tree.root_of(one.leaves), since_ms)
    if details_text(said) != one.details:
        return 0, "its numbers and leaves are not those that the entry carries the root of"
    if one.ledger.first <= after[0] or one.events.first <= after[1]:
        return 0, "its numbers were recorded before"
    return since_ms, ""


def _check_rows(connection: Connection, one: _Recorded, report: Report, *, must_be_there: bool) -> None:
    """Compare the rows that are still there with their leaves; only retention may have removed some."""
    leaves = iter(one.leaves)
    for kind, name, span, look in (
        (rows.ACCEPTED, "ledger", one.ledger, messages.acceptances),
        (rows.EVENT, "events", one.events, messages.outcomes),
    ):
        found = look(connection, span.first, span.last, span.count) if span.count else {}
        report.rows += len(found)
        for number in range(span.first, span.last + 1):
            data = found.get(number, rows.absent_leaf(kind, number))
            if tree.leaf_hash(data) == next(leaves):
                continue
            if number in found:
                report.fault(f"{name} {number}", f"the row was changed after entry {one.number} took it in")
            elif must_be_there:
                report.fault(f"{name} {number}", f"the row was removed after entry {one.number} took it in")
