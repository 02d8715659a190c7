"""The Merkle tree over the entries, and the signed checkpoints: both grow in one transaction.

The tree's inner nodes are kept (``audit_nodes``), one row for each entry in the end, so that a root and a
proof cost a few dozen rows and not a walk over the log. They are no evidence: they can be computed again
from the entries, and whoever uses them checks what comes out against the root that was signed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, func, insert, select, tuple_

from crypto.keys import SigningPrivateKey
from hub.audit import keys
from hub.audit.journal import AuditBroken
from hub.audit.tables import audit, audit_nodes, checkpoints, witnesses
from protocols.audit import checkpoint, tree

ENTRIES_PER_STEP: Final = 2_000


@dataclass(frozen=True, slots=True)
class Kept:
    """A checkpoint as it is kept. ``witnesses``: the facilities whose nodes countersigned."""

    size: int
    at_ms: int
    root: bytes
    statement: bytes
    witnesses: tuple[str, ...] = ()


def size_of(connection: Connection) -> int:
    """Return how many entries the log has, by its last one."""
    return connection.execute(select(func.max(audit.c.number))).scalar_one() or 0


def newest(connection: Connection) -> Kept | None:
    """Return the newest checkpoint, None before the first."""
    found = recent(connection, 1)
    return found[0] if found else None


def recent(connection: Connection, limit: int, before: int | None = None) -> list[Kept]:
    """Return the newest checkpoints (smaller than ``before``), newest first, with who witnessed them."""
    query = select(checkpoints).order_by(checkpoints.c.size.desc()).limit(limit)
    if before is not None:
        query = query.where(checkpoints.c.size < before)
    rows = connection.execute(query).all()
    names: dict[int, list[str]] = {}
    for row in connection.execute(
        select(witnesses.c.size, witnesses.c.facility)
        .where(witnesses.c.size.in_([row.size for row in rows]))
        .order_by(witnesses.c.facility)
    ):
        names.setdefault(row.size, []).append(row.facility)
    return [
        Kept(row.size, row.at_ms, row.root, row.statement, tuple(names.get(row.size, ()))) for row in rows
    ]


def seal(connection: Connection, key: SigningPrivateKey, origin: str, now_ms: int) -> Kept | None:
    """Take up to ``ENTRIES_PER_STEP`` new entries into the tree and sign it; None if there was nothing new.

    Another process may have been faster: then its checkpoint stands. Raises AuditBroken if entries that were
    signed are gone.
    """
    holds = keys.present(connection)
    if holds is not None and holds != key.public:
        return None  # another process has replaced the key, and this one has not heard of it yet
    last, size = newest(connection), size_of(connection)
    signed = last.size if last is not None else 0
    if size < signed:
        raise AuditBroken(
            f"checkpoint {signed} was signed, but the audit log ends with entry {size}: entries were "
            "removed; run `wasl-hub audit verify`"
        )
    if size == signed:
        return None
    frontier = tree.Frontier(signed, _hashes(connection, tree.complete((0, signed))))
    leaves = _leaves(connection, signed, min(size, signed + ENTRIES_PER_STEP))
    made = [inner for leaf in leaves for inner in frontier.append(leaf)]
    if made:
        rows = [{"level": place.level, "at": place.at, "hash": one} for place, one in made]
        connection.execute(insert(audit_nodes), rows)
    root = frontier.root()
    statement = checkpoint.issue(key, origin=origin, size=frontier.size, root=root, at_ms=now_ms)
    connection.execute(
        insert(checkpoints).values(size=frontier.size, at_ms=now_ms, root=root, statement=statement)
    )
    return Kept(frontier.size, now_ms, root, statement)


def proof(connection: Connection, path: Sequence[tree.Run]) -> list[bytes]:
    """Return the hashes of a proof's runs; each must be inside the newest checkpoint."""
    places = [tree.complete(run) for run in path]
    found = iter(_hashes(connection, [place for run in places for place in run]))
    return [tree.fold([next(found) for _ in run]) for run in places]


def _leaves(connection: Connection, after: int, until: int) -> list[bytes]:
    """Return the hashes of entries ``after`` + 1 to ``until``, none missing."""
    rows = connection.execute(
        select(audit.c.number, audit.c.hash)
        .where(audit.c.number > after, audit.c.number <= until)
        .order_by(audit.c.number)
    ).all()
    for expected, row in enumerate(rows, start=after + 1):
        if row.number != expected:
            raise AuditBroken(f"entry {expected} of the audit log is missing")
    return [bytes(row.hash) for row in rows]


def _hashes(connection: Connection, places: Sequence[tree.Place]) -> list[bytes]:
    """Return the hashes of complete subtrees, in the order asked for; AuditBroken names a missing one."""
    if not places:
        return []
    inner = [place for place in places if place.level]
    found: dict[tree.Place, bytes] = {}
    if inner:
        query = select(audit_nodes).where(tuple_(audit_nodes.c.level, audit_nodes.c.at).in_(inner))
        found = {tree.Place(row.level, row.at): bytes(row.hash) for row in connection.execute(query)}
    numbers = [place.at + 1 for place in places if not place.level]
    if numbers:
        leaves = select(audit.c.number, audit.c.hash).where(audit.c.number.in_(numbers))
        found.update({tree.Place(0, row.number - 1): bytes(row.hash) for row in connection.execute(leaves)})
    for place in places:
        if place not in found:
            raise AuditBroken(f"the audit log's tree lacks the subtree at level {place.level}, {place.at}")
    return [found[place] for place in places]
