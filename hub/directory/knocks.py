"""Nodes that a restored hub has forgotten: they joined, or changed their keys, after the backup.

Such a node shows its credential in HELLO, and proves by READY that it has the key. The authority's signature
says that it was let in once; whether it was put out again since, nobody here can know: a revocation after the
backup is forgotten as well. So the rule is:

**A restored hub lets nobody in by itself whom its backup does not know.** It notes who knocks with a
credential that this authority signed, of a serial that was given out before the restore, and not at or under
one that it knows to be revoked. An administrator, who has other sources (the journal's last export, the
other administrators, the facility itself), lets it in by ``wasl-hub readmit``, or revokes the facility.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select

from crypto import identity as statements
from crypto.errors import CryptoError
from crypto.keys import SigningPublicKey
from hub.directory import store
from hub.directory.tables import credentials, facilities, knocks
from hub.spool import epoch


@dataclass(frozen=True, slots=True)
class Knock:
    """Somebody who holds the key of ``credential``, which ``statement`` is."""

    credential: statements.Credential
    statement: bytes
    seen_ms: int


def believed(statement: bytes, link_key: bytes, authority: SigningPublicKey) -> statements.Credential | None:
    """Return the caller's credential if the authority signed it and it is for its key; None otherwise."""
    try:
        found = statements.verify(statement, authority)
    except CryptoError:
        return None
    if not isinstance(found, statements.Credential) or bytes(found.link_key) != link_key:
        return None
    return found


def revoked_up_to(connection: Connection, facility: str) -> int:
    """Return the highest serial of a facility that is known to be revoked; 0 if none is."""
    query = select(credentials.c.serial).where(
        credentials.c.facility == facility, credentials.c.revoked.is_(True)
    )
    serials = list(connection.execute(query).scalars())
    word = connection.execute(
        select(facilities.c.revocation).where(facilities.c.facility == facility)
    ).scalar_one_or_none()
    told = statements.recall(bytes(word)) if word else None
    if isinstance(told, statements.Revocation):
        serials.append(told.serial)
    return max(serials, default=0)


def note(connection: Connection, knock: Knock) -> bool:
    """Note who knocks; False, and no note, if the credential is revoked or not of before the restore."""
    credential = knock.credential
    if (
        not revoked_up_to(connection, credential.facility)
        < credential.serial
        <= epoch.serial_floor(connection)
    ):
        return False
    forget(connection, bytes(credential.link_key))
    connection.execute(
        insert(knocks).values(
            link_key=bytes(credential.link_key),
            facility=credential.facility,
            serial=credential.serial,
            statement=knock.statement,
            seen_ms=knock.seen_ms,
        )
    )
    return True


def waiting(connection: Connection, facility: str | None = None) -> list[Knock]:
    """Return who knocks, of one facility or of all, the highest serial first."""
    query = select(knocks).order_by(knocks.c.facility, knocks.c.serial.desc())
    if facility is not None:
        query = query.where(knocks.c.facility == facility)
    found = []
    for row in connection.execute(query):
        credential = statements.recall(bytes(row.statement))
        assert isinstance(credential, statements.Credential)  # verified when it was noted
        found.append(Knock(credential, bytes(row.statement), row.seen_ms))
    return found


def forget(connection: Connection, link_key: bytes) -> None:
    """Take note that a knock was answered."""
    connection.execute(delete(knocks).where(knocks.c.link_key == link_key))


def forget_of(connection: Connection, facility: str) -> None:
    """Take note that a facility's knocks were answered."""
    connection.execute(delete(knocks).where(knocks.c.facility == facility))


def admit(connection: Connection, knock: Knock) -> None:
    """Let the credential count as if it had never been forgotten."""
    credential = knock.credential
    row = store.CredentialRow(
        credential.facility, credential.serial, bytes(credential.link_key), knock.statement,
        revoked=False, not_after_ms=credential.not_after_ms, issued_ms=knock.seen_ms,
    )  # fmt: skip
    store.put_credential(connection, row)
    forget(connection, bytes(credential.link_key))
