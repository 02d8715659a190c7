"""Making receipts: what the newest checkpoint proves of an entry, or of a message."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import Connection, select

from hub.audit import growth, keys, messages
from hub.audit.journal import AuditBroken
from hub.audit.tables import audit, audit_batches, witnesses
from hub.directory.tables import credentials
from hub.spool.tables import events, ledger
from protocols.audit import rows, tree
from protocols.audit.entry import Entry
from protocols.audit.receipt import FORMAT, Item, Receipt, Row, Witness
from protocols.link.limits import AUDIT_KEYS


class NothingToProve(Exception):  # noqa: N818 - it names a state
    """There is no such entry or message, or it is not signed yet; the text says which."""


def of_entry(connection: Connection, number: int) -> Receipt:
    """Return the receipt of an entry; raises NothingToProve, AuditBroken."""
    kept = _newest(connection)
    return _receipt(connection, f"entry {number}", kept, [_item(connection, number, kept, None)])


def of_message(connection: Connection, identifier: bytes) -> Receipt:
    """Return the receipt of a message: its acceptance and all news of it that are in the log."""
    kept = _newest(connection)
    found: list[Item] = []
    waiting = False
    for kind, table in ((rows.ACCEPTED, ledger), (rows.EVENT, events)):
        query = select(table.c.seq).where(table.c.id == identifier).order_by(table.c.seq)
        for seq in connection.execute(query).scalars().all():
            batch = _batch(connection, kind, seq)
            if batch is None or batch.number > kept.size:
                waiting = True
            else:
                found.append(_item(connection, batch.number, kept, _row(connection, kind, seq, batch)))
    if not found:
        text = (
            "is not signed yet: ask again in a minute" if waiting else "was never accepted, or is forgotten"
        )
        raise NothingToProve(f"message {uuid.UUID(bytes=identifier)} {text}")
    return _receipt(connection, str(uuid.UUID(bytes=identifier)), kept, found)


def _newest(connection: Connection) -> growth.Kept:
    newest = growth.newest(connection)
    if newest is None:
        raise NothingToProve("the audit log has no signed checkpoint yet: is the hub running?")
    return newest


def _item(connection: Connection, number: int, kept: growth.Kept, row: Row | None) -> Item:
    found = connection.execute(select(audit).where(audit.c.number == number)).one_or_none()
    if found is None:
        raise NothingToProve(f"the audit log has no entry {number}")
    if number > kept.size:
        raise NothingToProve(f"entry {number} is not signed yet: ask again in a minute")
    entry = Entry(
        number, found.at_ms, found.actor, found.action, found.subject, found.details, bytes(found.previous)
    )
    proof = growth.proof(connection, tree.inclusion_path(number - 1, kept.size))
    if not tree.included(entry.hash(), number - 1, kept.size, proof, kept.root):
        raise AuditBroken(f"entry {number} is not what was signed: run `wasl-hub audit verify`")
    return Item(entry, tuple(proof), row)


def _batch(connection: Connection, kind: int, seq: int) -> Any:
    first, last = (
        (audit_batches.c.ledger_first, audit_batches.c.ledger_last)
        if kind == rows.ACCEPTED
        else (audit_batches.c.events_first, audit_batches.c.events_last)
    )
    query = select(audit_batches).where(last >= seq, first <= seq).order_by(last).limit(1)
    return connection.execute(query).one_or_none()


def _row(connection: Connection, kind: int, seq: int, batch: Any) -> Row:
    look = messages.acceptances if kind == rows.ACCEPTED else messages.outcomes
    leaf = look(connection, seq, seq, 1)[seq]
    leaves = messages.split(bytes(batch.leaves))
    before = batch.ledger_last - batch.ledger_first + 1
    index = seq - batch.ledger_first if kind == rows.ACCEPTED else before + seq - batch.events_first
    if tree.leaf_hash(leaf) != leaves[index]:
        raise AuditBroken(
            f"the row was changed after entry {batch.number} took it in: run `wasl-hub audit verify`"
        )
    proof = tree.proof_of(leaves, tree.inclusion_path(index, len(leaves)))
    return Row(leaf, index, len(leaves), tuple(proof), _signed_receipt(connection, kind, seq))


def _signed_receipt(connection: Connection, kind: int, seq: int) -> bytes:
    if kind != rows.EVENT:
        return b""
    return bytes(connection.execute(select(events.c.receipt).where(events.c.seq == seq)).scalar_one())


def _receipt(connection: Connection, about: str, kept: growth.Kept, items: list[Item]) -> Receipt:
    query = (
        select(witnesses.c.facility, witnesses.c.signature, credentials.c.statement)
        .join(
            credentials,
            (credentials.c.facility == witnesses.c.facility) & (credentials.c.serial == witnesses.c.serial),
        )
        .where(witnesses.c.size == kept.size)
        .order_by(witnesses.c.facility)
    )
    words = [
        Witness(row.facility, bytes(row.statement), bytes(row.signature)) for row in connection.execute(query)
    ]
    changes = [one.statement for one in keys.changes(connection) if one.number <= kept.size]
    signed = tuple(changes[-AUDIT_KEYS:])
    return Receipt(FORMAT, about, kept.statement, tuple(items), tuple(words), signed)
