"""Changes of the network's own keys, as the hub keeps them: SQL in, values out; see ``crypto.trust``.

A change of the link key is drawn, signed by the authority, announced, and finished, in this order and each by
its own command; a change of the authority's key is signed and announced at once, and finished by the change
that retires the key before. What was announced stays for ever: a node that was away follows it all.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, update

from crypto.keys import LinkPublicKey, SigningPublicKey
from crypto.trust import Subject
from hub.directory import store
from hub.directory.tables import trust
from hub.spool import epoch


@dataclass(frozen=True, slots=True)
class Row:
    """One change. ``statement``: empty until the authority has signed it; ``announced_ms``: then."""

    serial: int
    subject: Subject
    key: bytes
    before: bytes
    statement: bytes
    at_ms: int
    announced_ms: int | None
    finished: bool

    @property
    def about_link(self) -> bool:
        """It is about the hub's link key."""
        return self.subject is Subject.LINK

    @property
    def fingerprint(self) -> str:
        """Of the key that it names."""
        return (LinkPublicKey if self.about_link else SigningPublicKey)(self.key).fingerprint()


def rows(connection: Connection) -> list[Row]:
    """Return all changes, in order."""
    return [
        Row(
            row.serial, Subject(row.subject), row.key, row.before, row.statement, row.at_ms,
            row.announced_ms, row.finished,
        )
        for row in connection.execute(select(trust).order_by(trust.c.serial))
    ]  # fmt: skip


def open_row(connection: Connection, subject: Subject) -> Row | None:
    """Return the change of this subject that is not finished, if there is one."""
    return next((row for row in rows(connection) if row.subject is subject and not row.finished), None)


def authority(found: list[Row]) -> SigningPublicKey | None:
    """Return the authority that these changes led to, None if none is about it."""
    named = [row for row in found if row.subject is Subject.AUTHORITY and row.announced_ms is not None]
    return SigningPublicKey(named[-1].key) if named else None


def next_serial(connection: Connection) -> int:
    """Return the serial of the next change: one that no hub before a restore can have used."""
    highest = max((row.serial for row in rows(connection)), default=0)
    return max(highest, epoch.serial_floor(connection)) + 1


def put(connection: Connection, row: Row) -> None:
    """Keep a change."""
    connection.execute(
        insert(trust).values(
            serial=row.serial,
            subject=int(row.subject),
            key=row.key,
            before=row.before,
            statement=row.statement,
            at_ms=row.at_ms,
            announced_ms=row.announced_ms,
            finished=row.finished,
        )
    )
    store.next_version(connection)


def sign(connection: Connection, serial: int, statement: bytes) -> None:
    """Keep the authority's signature of a change."""
    connection.execute(update(trust).where(trust.c.serial == serial).values(statement=statement))


def announce(connection: Connection, serial: int, now_ms: int) -> None:
    """Let nodes be told of a change."""
    connection.execute(update(trust).where(trust.c.serial == serial).values(announced_ms=now_ms))
    store.next_version(connection)


def finish(connection: Connection, serial: int) -> None:
    """Let what came before a change count no more."""
    connection.execute(update(trust).where(trust.c.serial == serial).values(finished=True))
    store.next_version(connection)
