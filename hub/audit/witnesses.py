"""What nodes countersigned: judged by their credentials, kept once for each checkpoint and facility."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from sqlalchemy import Connection, insert, select

from crypto.errors import CryptoError
from crypto.identity import Credential, verify
from crypto.keys import SigningPublicKey
from hub.audit.tables import checkpoints, witnesses
from hub.directory.tables import credentials
from protocols.audit import checkpoint


@dataclass(frozen=True, slots=True)
class Word:
    """A facility's signature of a checkpoint."""

    facility: str
    serial: int
    size: int
    statement: bytes
    signature: bytes
    at_ms: int


class Verdict(Enum):
    """What a word is worth."""

    NEW = auto()
    KNOWN = auto()
    FOREIGN = auto()
    """The checkpoint is not one of this log's."""
    UNSIGNED = auto()
    """The signature is not by the facility's key."""


def judge(connection: Connection, word: Word, authority: SigningPublicKey) -> Verdict:
    """Return what a word is worth; the checkpoint in it is known to be signed by this hub's key."""
    ours = connection.execute(
        select(checkpoints.c.statement).where(checkpoints.c.size == word.size)
    ).scalar_one_or_none()
    if ours is None or bytes(ours) != word.statement:
        return Verdict.FOREIGN
    if _find(connection, word):
        return Verdict.KNOWN
    key = signing_key(connection, word.facility, word.serial, authority)
    if key is None or not checkpoint.countersigned(key, word.facility, word.statement, word.signature):
        return Verdict.UNSIGNED
    return Verdict.NEW


def keep(connection: Connection, word: Word) -> None:
    """Keep a word that was judged to be new."""
    if not _find(connection, word):
        connection.execute(
            insert(witnesses).values(
                size=word.size,
                facility=word.facility,
                serial=word.serial,
                at_ms=word.at_ms,
                signature=word.signature,
            )
        )


def _find(connection: Connection, word: Word) -> bool:
    query = select(witnesses.c.serial).where(
        witnesses.c.size == word.size, witnesses.c.facility == word.facility
    )
    return connection.execute(query).first() is not None


def signing_key(
    connection: Connection, facility: str, serial: int, authority: SigningPublicKey
) -> SigningPublicKey | None:
    """Return the signing key of a facility's credential, None if there is no such one that verifies."""
    statement = connection.execute(
        select(credentials.c.statement).where(
            credentials.c.facility == facility, credentials.c.serial == serial
        )
    ).scalar_one_or_none()
    try:
        found = None if statement is None else verify(bytes(statement), authority)
    except CryptoError:
        return None
    return found.signing_key if isinstance(found, Credential) and found.facility == facility else None
