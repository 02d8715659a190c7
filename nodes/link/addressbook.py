"""Who is on the network: this node's own, verified copy of the directory.

The hub passes the directory on; it is not believed. Every credential and every group is
signed by the authority, whose key came with the join code, and serial numbers only rise. An
entry that does not verify changes nothing and raises an alarm: that is how a hub that swaps
a recipient's key is found out. Titles and mailbox names are unsigned: a lie there can send
a message astray inside a facility, never open it to another.

The key of a recipient is taken from here at the moment of sealing, and the key of a
sender at the moment of opening; both the present credential and the one before it are
kept, so that a rotation loses nothing that was on the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, bindparam, delete, func, insert, select

from crypto import identity as statements
from crypto.errors import BadStatement
from crypto.keys import SigningPublicKey
from nodes.link import facts
from nodes.link.errors import Refused, UnknownRecipient
from nodes.link.tables import addressbook
from protocols.link.entries import DirectoryEntry, Mailbox
from protocols.link.envelope import facility_of, mailbox_of
from runtime.driver_sql import PreparedSql
from runtime.storage_errors import DatabaseCorrupt

GROUP: Final = "group"
"""``name@group`` is a group; no facility may have this id."""
CLOCK_TOLERANCE_MS: Final = 26 * 3_600_000
"""How wrong a clock may be (a day, and a bit) before a credential's dates are not believed."""
CREDENTIALS_KEPT: Final = 4_096
"""So many facilities' credentials need not be verified again each time."""
_SHOWN_CHARS: Final = 80
"""So much of what is no address is shown."""

_group_members = msgspec.msgpack.Decoder(tuple[str, ...])
_mailboxes = msgspec.msgpack.Decoder(tuple[Mailbox, ...])


@dataclass(frozen=True, slots=True)
class Entry:
    """A facility (with mailboxes) or a group (with members), as people see it."""

    name: str
    is_group: bool
    title: str
    active: bool
    mailboxes: tuple[Mailbox, ...]
    members: tuple[str, ...]
    kind: str = ""
    wilaya: int = 0


class Distrusted(Exception):  # noqa: N818 - past tense states the outcome
    """The hub offered a statement that does not verify, or an older one than is known. Raise an alarm."""

    def __init__(self, name: str, code: str, text: str) -> None:
        super().__init__(f"directory entry {name!r}: {text}")
        self.code = code


def merge_all(
    connection: Connection, entries: Sequence[DirectoryEntry], *authorities: SigningPublicKey, complete: bool
) -> list[Distrusted]:
    """Take a page of entries; returns those that were not believed. ``complete``: nothing newer is known."""
    distrusted = []
    for entry in entries:
        try:
            merge(connection, entry, *authorities)
        except Distrusted as problem:
            distrusted.append(problem)
    if complete:
        newest = connection.execute(select(func.max(addressbook.c.version))).scalar_one_or_none() or 0
        facts.put(connection, facts.DIRECTORY_VERSION, newest)
    return distrusted


def merge(connection: Connection, entry: DirectoryEntry, *authorities: SigningPublicKey) -> None:
    """Take one entry from the hub, if the signature of one of ``authorities`` bears it out.

    Raises :class:`Distrusted` and changes nothing otherwise. A revocation that was seen once
    holds for ever: no credential up to its serial is believed again.
    """
    verified = [_verify(entry.name, blob, authorities) for blob in entry.statements]
    is_group = any(isinstance(statement, statements.Group) for statement, _ in verified)
    if is_group and not all(isinstance(statement, statements.Group) for statement, _ in verified):
        raise Distrusted(entry.name, "mixed", "statements about a group and about a facility in one entry")
    where = (addressbook.c.name == entry.name, addressbook.c.is_group.is_(is_group))
    known = connection.execute(select(addressbook).where(*where)).one_or_none()
    revoked = max(
        (s.serial for s, _ in verified if isinstance(s, statements.Revocation)),
        default=0 if known is None else known.revoked,
    )
    revoked = max(revoked, 0 if known is None else known.revoked)
    usable = _usable(entry.name, verified, revoked)
    if known is not None and usable:
        _check_progress(entry.name, usable[0][0].serial, usable[0][1], known)
    # A hidden statement is kept beside its serial, so that no other can take its place later.
    statement = usable[0][1] if usable else b"" if known is None else known.statement
    members: tuple[str, ...] = usable[0][0].members if is_group and usable else ()
    connection.execute(delete(addressbook).where(*where))
    connection.execute(
        insert(addressbook).values(
            name=entry.name,
            is_group=is_group,
            version=entry.version,
            title=entry.title,
            active=entry.active and bool(usable),
            serial=max(usable[0][0].serial if usable else 0, 0 if known is None else known.serial),
            revoked=revoked,
            statement=statement,
            earlier=usable[1][1] if len(usable) > 1 and not is_group else b"",
            mailboxes=msgspec.msgpack.encode(members if is_group else entry.mailboxes),
            kind=entry.kind,
            wilaya=entry.wilaya,
        )
    )


def _usable(name: str, verified: list[tuple[Any, bytes]], revoked: int) -> list[tuple[Any, bytes]]:
    """Return the credentials (or groups) that were not revoked, each once, newest first."""
    by_serial: dict[int, tuple[Any, bytes]] = {}
    for statement, blob in verified:
        if isinstance(statement, statements.Revocation) or statement.serial <= revoked:
            continue
        if not statements.same(by_serial.setdefault(statement.serial, (statement, blob))[1], blob):
            raise Distrusted(name, "two-of-one-serial", f"two statements with serial {statement.serial}")
    return [by_serial[serial] for serial in sorted(by_serial, reverse=True)]


def _check_progress(name: str, serial: int, blob: bytes, known: Any) -> None:
    if serial < known.serial:
        raise Distrusted(name, "serial-went-down", f"serial {serial} is shown after {known.serial}")
    # Signed again by an authority that took the place of another, it is still the same statement.
    if serial == known.serial and known.statement and not statements.same(blob, known.statement):
        raise Distrusted(name, "two-of-one-serial", f"another statement with serial {serial}")


def _verify(name: str, blob: bytes, authorities: Sequence[SigningPublicKey]) -> tuple[Any, bytes]:
    try:
        statement = statements.verify_by_any(blob, authorities)
    except BadStatement as fault:
        raise Distrusted(name, fault.code, str(fault)) from None
    owner = statement.name if isinstance(statement, statements.Group) else statement.facility
    if owner != name:
        raise Distrusted(name, "another-name", f"the statement is about {owner!r}")
    return statement, blob


def credentials_of(
    connection: Connection, facility: str, *authorities: SigningPublicKey
) -> tuple[statements.Credential, ...]:
    """Return the facility's credentials, newest first (empty: unknown, or not active)."""
    row = _CREDENTIALS.one(connection, name=facility)
    if row is None:
        return ()
    active, *kept = row
    return _credentials(facility, *kept, authorities) if active else ()


@lru_cache(maxsize=CREDENTIALS_KEPT)
def _credentials(
    name: str, statement: bytes, earlier: bytes, revoked: int, authorities: tuple[SigningPublicKey, ...]
) -> tuple[statements.Credential, ...]:
    # The statement is remembered beyond its revocation (see ``merge``), but not believed.
    try:
        found = [statements.verify_by_any(blob, authorities) for blob in (statement, earlier) if blob]
    except BadStatement as fault:  # each was verified before it was kept
        raise DatabaseCorrupt(
            f"what node.db keeps of {name!r}, or the authority's key in identity.json, is not as it was"
            f" verified any more ({fault}); stop, keep a copy of both, and restore a backup"
        ) from fault
    return tuple(one for one in found if isinstance(one, statements.Credential) and one.serial > revoked)


def all_credentials(
    connection: Connection, *authorities: SigningPublicKey
) -> dict[str, tuple[statements.Credential, ...]]:
    """Return the credentials of every facility, newest first, each verified by one of ``authorities``.

    Those are all that the node ever took statements of, or what was verified before the last of them came
    would seem damaged.

    Suspended facilities too: what the hub accepted from them before still has to be opened, and what they
    signed is still what they signed. Whose credential was revoked has none.
    """
    rows = connection.execute(select(addressbook).where(addressbook.c.is_group.is_(False)))
    return {
        row.name: _credentials(row.name, row.statement, row.earlier, row.revoked, authorities) for row in rows
    }


def resolve(connection: Connection, recipients: tuple[str, ...]) -> tuple[str, ...]:
    """Return addresses of mailboxes, groups taken apart, each once, in order; see :class:`Book`."""
    return Book(connection).resolve(recipients)


class Book:
    """The copy as one transaction sees it; each facility is looked up once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._known = version(connection) > 0
        self._facilities: dict[str, tuple[bool, tuple[str, ...]] | None] = {}

    def resolve(self, recipients: tuple[str, ...]) -> tuple[str, ...]:
        """Return addresses of mailboxes, groups taken apart, each once, in order.

        Before the first directory has come from the hub nothing is known, and any mailbox is
        let through: the hub will say. Raises :class:`UnknownRecipient` naming the nearest thing
        that exists.
        """
        found: dict[str, None] = {}
        for recipient in recipients:
            mailbox, facility = mailbox_of(recipient), facility_of(recipient)
            if not statements.is_address(recipient):
                right, why = "mailbox@facility", ""
                if statements.is_address(recipient.lower()):
                    right, why = recipient.lower(), ": capitals are not allowed"
                shown = repr(recipient[:_SHOWN_CHARS])
                raise Refused("bad-address", f"{shown} is not an address{why}; it should be {right}")
            if facility == GROUP:
                found.update(dict.fromkeys(_members(self._connection, mailbox)))
                continue
            if self._known:
                self._check_known(recipient)
            found[recipient] = None
        return tuple(found)

    def _check_known(self, recipient: str) -> None:
        facility, mailbox = facility_of(recipient), mailbox_of(recipient)
        if facility not in self._facilities:
            self._facilities[facility] = self._look_up(facility)
        known = self._facilities[facility]
        if known is None:
            raise UnknownRecipient(
                "unknown-facility",
                f"there is no facility {facility!r} in this node's directory ({recipient})",
            )
        active, names = known
        if not active:
            raise UnknownRecipient(
                "facility-inactive", f"the facility {facility!r} is not active ({recipient})"
            )
        if mailbox not in names:
            raise UnknownRecipient(
                "unknown-mailbox",
                f"{facility!r} has no mailbox {mailbox!r} ({recipient}); it has: "
                + (", ".join(names[:12]) or "none"),
            )

    def _look_up(self, facility: str) -> tuple[bool, tuple[str, ...]] | None:
        row = _FACILITY.one(self._connection, name=facility)
        if row is None:
            return None
        active, mailboxes = row
        return bool(active), tuple(entry.name for entry in _mailboxes.decode(mailboxes))


_NAMED = addressbook.c.name == bindparam("name"), addressbook.c.is_group.is_(False)
_FACILITY = PreparedSql(select(addressbook.c.active, addressbook.c.mailboxes).where(*_NAMED))
_CREDENTIALS = PreparedSql(
    select(addressbook.c.active, addressbook.c.statement, addressbook.c.earlier, addressbook.c.revoked).where(
        *_NAMED
    )
)


def version(connection: Connection) -> int:
    """Return the version of the hub's directory that this copy has reached; 0 before the first."""
    return facts.get(connection, facts.DIRECTORY_VERSION)


def mailboxes_of(connection: Connection, facility: str) -> frozenset[str] | None:
    """Return the names of a facility's mailboxes, None if this copy does not know the facility (yet)."""
    row = connection.execute(
        select(addressbook.c.mailboxes).where(
            addressbook.c.name == facility, addressbook.c.is_group.is_(False)
        )
    ).one_or_none()
    return None if row is None else frozenset(entry.name for entry in _mailboxes.decode(row.mailboxes))


def entries(connection: Connection) -> list[Entry]:
    """Return everything in the copy, by name, groups last."""
    rows = connection.execute(select(addressbook).order_by(addressbook.c.is_group, addressbook.c.name)).all()
    return [_entry(row) for row in rows]


def _entry(row: Any) -> Entry:
    members = _group_members.decode(row.mailboxes) if row.is_group else ()
    mailboxes = () if row.is_group else _mailboxes.decode(row.mailboxes)
    return Entry(row.name, row.is_group, row.title, row.active, mailboxes, members, row.kind, row.wilaya)


def _members(connection: Connection, name: str) -> tuple[str, ...]:
    row = connection.execute(
        select(addressbook).where(addressbook.c.name == name, addressbook.c.is_group.is_(True))
    ).one_or_none()
    if row is None or not row.active:
        raise UnknownRecipient("unknown-group", f"there is no group {name!r} in this node's directory")
    return _entry(row).members
