"""The directory's SQL. Every function takes an open connection and is safe to run twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, func, insert, or_, select, update

from hub.directory.tables import credentials, directory_version, facilities, groups, invitations, mailboxes
from hub.peers.notices import DIRECTORY, tell
from protocols.link.entries import DirectoryEntry, Mailbox

_ONE: Final = 1
REFUSED: Final = b"refused"
"""Stands in ``used_by`` for the key of a node that an administrator turned down."""


@dataclass(frozen=True, slots=True)
class FacilityRow:
    """A facility as the hub keeps it. ``statements`` are what the nodes get: credentials, revocation."""

    facility: str
    title: str
    suspended: bool
    version: int
    revocation: bytes
    mailboxes: tuple[Mailbox, ...]
    credentials: tuple[CredentialRow, ...]
    kind: str = ""
    wilaya: int = 0
    created_ms: int = 0


@dataclass(frozen=True, slots=True)
class CredentialRow:
    """One credential; ``link_key`` is how a calling node is recognised."""

    facility: str
    serial: int
    link_key: bytes
    statement: bytes
    revoked: bool
    not_after_ms: int
    issued_ms: int = 0
    retired: bool = False


@dataclass(frozen=True, slots=True)
class Invitation:
    """A one-time code that was given out. ``used_by`` is the link key that used it, or None."""

    invitation: bytes
    facility: str
    psk: bytes
    expires_ms: int
    used_by: bytes | None
    invited_by: str = ""


def version(connection: Connection) -> int:
    """Return the directory's version; 0 before the first change."""
    return connection.execute(select(directory_version.c.version)).scalar_one_or_none() or 0


def next_version(connection: Connection) -> int:
    """Raise the version by one and return it."""
    changed = connection.execute(
        update(directory_version)
        .where(directory_version.c.one == _ONE)
        .values(version=directory_version.c.version + 1)
    )
    if changed.rowcount == 0:
        connection.execute(insert(directory_version).values(one=_ONE, version=1))
    tell(connection, DIRECTORY)
    return version(connection)


def put_facility(
    connection: Connection, facility: str, title: str | None, names: tuple[str, ...], now_ms: int
) -> None:
    """Add a facility, or give a known one a new title and further mailboxes."""
    known = connection.execute(
        select(facilities.c.facility).where(facilities.c.facility == facility)
    ).one_or_none()
    raised = next_version(connection)
    if known is None:
        connection.execute(
            insert(facilities).values(
                facility=facility,
                title=title or facility,
                suspended=False,
                revocation=b"",
                created_ms=now_ms,
                version=raised,
            )
        )
    else:
        values: dict[str, object] = {"version": raised}
        if title is not None:
            values["title"] = title
        connection.execute(update(facilities).where(facilities.c.facility == facility).values(values))
    present = set(
        connection.execute(select(mailboxes.c.name).where(mailboxes.c.facility == facility)).scalars()
    )
    for name in dict.fromkeys(names):
        if name not in present:
            connection.execute(
                insert(mailboxes).values(facility=facility, name=name, title=name, specialty="")
            )


def describe_facility(
    connection: Connection, facility: str, *, kind: str | None = None, wilaya: int | None = None
) -> None:
    """Say what a facility is and where; None leaves it as it is."""
    values: dict[str, object] = {}
    if kind is not None:
        values["kind"] = kind
    if wilaya is not None:
        values["wilaya"] = wilaya
    if values:
        connection.execute(update(facilities).where(facilities.c.facility == facility).values(values))
        touch(connection, facility)


def describe_mailbox(connection: Connection, facility: str, box: Mailbox) -> None:
    """Give a mailbox its specialty and title, where ``box`` has any."""
    values = {"title": box.title, "specialty": box.specialty}
    values = {name: text for name, text in values.items() if text}
    if values:
        connection.execute(
            update(mailboxes)
            .where(mailboxes.c.facility == facility, mailboxes.c.name == box.name)
            .values(values)
        )
        touch(connection, facility)


def put_invitation(connection: Connection, invitation: Invitation, now_ms: int) -> None:
    """Keep an invitation that is being given out."""
    connection.execute(
        insert(invitations).values(
            invitation=invitation.invitation,
            facility=invitation.facility,
            psk=invitation.psk,
            created_ms=now_ms,
            expires_ms=invitation.expires_ms,
            used_by=None,
            invited_by=invitation.invited_by,
        )
    )


def find_invitation(connection: Connection, invitation: bytes) -> Invitation | None:
    """Return an invitation by its id."""
    row = connection.execute(select(invitations).where(invitations.c.invitation == invitation)).one_or_none()
    if row is None:
        return None
    return Invitation(row.invitation, row.facility, row.psk, row.expires_ms, row.used_by, row.invited_by)


def use_invitation(connection: Connection, invitation: bytes, link_key: bytes) -> bool:
    """Claim an invitation for a key; False if another key was first. The same key may claim it again."""
    claimed = connection.execute(
        update(invitations)
        .where(
            invitations.c.invitation == invitation,
            or_(invitations.c.used_by.is_(None), invitations.c.used_by == link_key),
        )
        .values(used_by=link_key)
    )
    return claimed.rowcount == 1


def spoil_invitations(connection: Connection, link_key: bytes) -> None:
    """Let nobody use the invitations any more that this key used."""
    connection.execute(update(invitations).where(invitations.c.used_by == link_key).values(used_by=REFUSED))


def spoil_unused_invitations(connection: Connection, facility: str) -> None:
    """Let nobody use the invitations of a facility that are still out."""
    connection.execute(
        update(invitations)
        .where(invitations.c.facility == facility, invitations.c.used_by.is_(None))
        .values(used_by=REFUSED)
    )


def next_serial(connection: Connection, facility: str) -> int:
    """Return the serial that the facility's next credential gets, from 1."""
    highest = connection.execute(
        select(func.max(credentials.c.serial)).where(credentials.c.facility == facility)
    ).scalar_one()
    return (highest or 0) + 1


def find_credential(connection: Connection, link_key: bytes) -> CredentialRow | None:
    """Return the credential with this link key."""
    row = connection.execute(select(credentials).where(credentials.c.link_key == link_key)).one_or_none()
    return None if row is None else _credential(row)


def put_credential(connection: Connection, row: CredentialRow) -> None:
    """Keep a new credential and let everybody know."""
    connection.execute(
        insert(credentials).values(
            facility=row.facility,
            serial=row.serial,
            link_key=row.link_key,
            statement=row.statement,
            revoked=False,
            not_after_ms=row.not_after_ms,
            issued_ms=row.issued_ms,
        )
    )
    touch(connection, row.facility)


def touch(connection: Connection, facility: str) -> None:
    """Raise the facility's version, so that every node hears of it again."""
    connection.execute(
        update(facilities).where(facilities.c.facility == facility).values(version=next_version(connection))
    )


def revoke(connection: Connection, facility: str, serial: int, statement: bytes) -> None:
    """Revoke all credentials up to ``serial``; ``statement`` is the authority's signed word.

    Empty if that has yet to come: then an earlier one stays.
    """
    connection.execute(
        update(credentials)
        .where(credentials.c.facility == facility, credentials.c.serial <= serial)
        .values(revoked=True)
    )
    if statement:
        connection.execute(
            update(facilities).where(facilities.c.facility == facility).values(revocation=statement)
        )
    touch(connection, facility)


def retire_before(connection: Connection, facility: str, serial: int) -> bool:
    """Let credentials below ``serial`` open no session any more; returns whether that changed anything."""
    changed = connection.execute(
        update(credentials)
        .where(
            credentials.c.facility == facility,
            credentials.c.serial < serial,
            credentials.c.retired.is_(False),
        )
        .values(retired=True)
    )
    if changed.rowcount:
        touch(connection, facility)
    return changed.rowcount > 0


def credentials_of(connection: Connection, facility: str) -> list[CredentialRow]:
    """Return a facility's credentials that are not revoked, newest first."""
    rows = connection.execute(
        select(credentials)
        .where(credentials.c.facility == facility, credentials.c.revoked.is_(False))
        .order_by(credentials.c.serial.desc())
    )
    return [_credential(row) for row in rows]


def suspend(connection: Connection, facility: str, *, suspended: bool) -> bool:
    """Take a facility out of traffic, or let it back; returns whether there is such a facility."""
    changed = connection.execute(
        update(facilities).where(facilities.c.facility == facility).values(suspended=suspended)
    )
    touch(connection, facility)
    return changed.rowcount > 0


def put_group(connection: Connection, name: str, title: str, serial: int, statement: bytes) -> None:
    """Add a group, or replace its members."""
    values = {"title": title, "serial": serial, "statement": statement, "active": True}
    raised = next_version(connection)
    changed = connection.execute(
        update(groups).where(groups.c.name == name).values({**values, "version": raised})
    )
    if changed.rowcount == 0:
        connection.execute(insert(groups).values({**values, "name": name, "version": raised}))


def group_serial(connection: Connection, name: str) -> int:
    """Return the serial of a group's present statement, 0 if there is none."""
    return connection.execute(select(groups.c.serial).where(groups.c.name == name)).scalar_one_or_none() or 0


def all_facilities(connection: Connection) -> list[FacilityRow]:
    """Return every facility with its mailboxes and credentials, by id."""
    boxes: dict[str, list[Mailbox]] = {}
    for row in connection.execute(select(mailboxes).order_by(mailboxes.c.facility, mailboxes.c.name)):
        boxes.setdefault(row.facility, []).append(Mailbox(row.name, row.title, row.specialty))
    keys: dict[str, list[CredentialRow]] = {}
    for row in connection.execute(select(credentials).order_by(credentials.c.facility, credentials.c.serial)):
        keys.setdefault(row.facility, []).append(_credential(row))
    return [
        FacilityRow(
            row.facility, row.title, row.suspended, row.version, row.revocation,
            tuple(boxes.get(row.facility, ())), tuple(keys.get(row.facility, ())),
            row.kind, row.wilaya, row.created_ms,
        )
        for row in connection.execute(select(facilities).order_by(facilities.c.facility))
    ]  # fmt: skip


def all_groups(connection: Connection) -> list[DirectoryEntry]:
    """Return every group as the nodes get it."""
    return [
        DirectoryEntry(row.version, row.name, row.title, row.active, (row.statement,))
        for row in connection.execute(select(groups).order_by(groups.c.name))
    ]


def _credential(row: object) -> CredentialRow:
    names = ("facility", "serial", "link_key", "statement", "revoked", "not_after_ms", "issued_ms", "retired")
    return CredentialRow(*(getattr(row, name) for name in names))
