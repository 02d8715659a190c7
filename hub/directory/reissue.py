"""Everything that the authority signed, signed again: when another key takes the authority's place.

What is stated stays as it is, byte for byte: facility, serial, keys, validity. So nothing that is under way
notices: what was sealed for a key and signed by a key is still sealed and signed by a key of that serial.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, select, update

from crypto import identity as statements
from crypto.errors import BadStatement
from crypto.keys import SigningPrivateKey, SigningPublicKey
from hub.directory import store
from hub.directory.tables import credentials, facilities, groups


class IssuedSince(Exception):  # noqa: N818 - it names a state
    """A statement is here that was not among those that were signed again."""


def present(connection: Connection) -> tuple[bytes, ...]:
    """Return every statement of the authority that this hub keeps, each once."""
    found: dict[bytes, None] = {}
    for column in (credentials.c.statement, facilities.c.revocation, groups.c.statement):
        found.update(dict.fromkeys(map(bytes, connection.execute(select(column)).scalars())))
    return tuple(blob for blob in found if blob)


def strays(
    connection: Connection, authority: SigningPrivateKey, before: SigningPublicKey
) -> dict[bytes, bytes]:
    """Return what the authority before has signed all the same, as the present one signs it.

    A daemon that had not heard of the succession yet may have issued it.
    """
    found = {}
    for blob in present(connection):
        try:
            statements.verify(blob, authority.public)
        except BadStatement:
            statements.verify(blob, before)
            found[blob] = statements.sign_again(blob, authority)
    return found


def replace_all(connection: Connection, again: Mapping[bytes, bytes]) -> int:
    """Put in place of each statement what ``again`` has for it; returns how many. Raises IssuedSince.

    Every node hears of all of them.
    """
    missing = [blob for blob in present(connection) if blob not in again]
    if missing:
        raise IssuedSince(f"{len(missing)} statements were issued since the others were taken along")
    for table, column, keys in (
        (credentials, credentials.c.statement, (credentials.c.facility, credentials.c.serial)),
        (facilities, facilities.c.revocation, (facilities.c.facility,)),
        (groups, groups.c.statement, (groups.c.name,)),
    ):
        for row in connection.execute(select(*keys, column.label("blob"))).all():
            if row.blob:
                where = [key == value for key, value in zip(keys, row, strict=False)]
                connection.execute(update(table).where(*where).values({column: again[bytes(row.blob)]}))
    version = store.next_version(connection)
    for table in (facilities, groups):
        connection.execute(update(table).values(version=version))
    return len(again)
