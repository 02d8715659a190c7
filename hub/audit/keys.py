"""The audit keys that this log was signed by, one after the other, as the log itself tells."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from sqlalchemy import Connection, select

from crypto.keys import SigningPublicKey
from hub.audit.tables import audit
from protocols.audit import succession
from protocols.audit.checkpoint import CheckpointFault


@dataclass(frozen=True, slots=True)
class Change:
    """Entry ``number`` names another audit key; ``statement`` is empty if the entry does not read."""

    number: int
    statement: bytes


def changes(connection: Connection) -> list[Change]:
    """Return the changes of the audit key, in order."""
    query = select(audit.c.number, audit.c.details).where(audit.c.action == succession.ACTION)
    return [
        Change(row.number, _statement(row.details))
        for row in connection.execute(query.order_by(audit.c.number))
    ]


def _statement(details: object) -> bytes:
    try:
        return bytes.fromhex(msgspec.json.decode(str(details), type=dict[str, str])[succession.STATEMENT])
    except (msgspec.MsgspecError, KeyError, ValueError):
        return b""


def present(connection: Connection) -> SigningPublicKey | None:
    """Return the key that signs now, None if it was never changed."""
    for change in reversed(changes(connection)):
        try:
            return SigningPublicKey(succession.verify(change.statement).next)
        except CheckpointFault:
            continue  # the walk over the log says so
    return None


def all_keys(connection: Connection, key: SigningPublicKey) -> tuple[SigningPublicKey, ...]:
    """Return every key that this log was signed by, the present one, ``key``, the last."""
    earlier = []
    for change in changes(connection):
        try:
            earlier.append(SigningPublicKey(succession.verify(change.statement).key))
        except CheckpointFault:
            continue
    return *(one for one in earlier if one != key), key
