"""What addresses are called: the facility's title, as this node's directory has it."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, select

from nodes.link.tables import addressbook
from protocols.link.envelope import facility_of


def titles(connection: Connection, addresses: Iterable[str]) -> dict[str, str]:
    """Return the titles of the facilities of these addresses, by facility; its id where there is none."""
    names = {facility_of(address) for address in addresses}
    rows = connection.execute(
        select(addressbook.c.name, addressbook.c.title)
        .where(addressbook.c.name.in_(names), addressbook.c.is_group.is_(False))
    )  # fmt: skip
    known = {row.name: row.title for row in rows}
    return {name: known.get(name) or name for name in names}
