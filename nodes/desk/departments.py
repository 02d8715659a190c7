"""Departments: mailboxes of this facility that people read at the desk, and who belongs to each.

Which there are says the hub's directory, which of them are the desk's say the settings (``desk.mailboxes``).
A membership of a mailbox that is not the desk's any more stays in the table and means nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, update

from config.node import NodeSettings
from nodes.desk import audit
from nodes.desk.context import Desk
from nodes.desk.errors import DeskRefused, NotThere
from nodes.desk.tables import ACCOUNTS, departments, members
from nodes.link import addressbook

LONGEST_DUTY_MS = 36 * 3_600_000


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody in a department; ``duty_until_ms`` is None unless on duty."""

    department: str
    name: str
    duty_until_ms: int | None


def served(connection: Connection, settings: NodeSettings, facility: str) -> tuple[str, ...]:
    """Return the departments of the facility, by name."""
    own = addressbook.mailboxes_of(connection, facility) or ()
    return tuple(sorted(name for name in own if settings.at_desk(name)))


def of_user(connection: Connection, desk: Desk, name: str) -> tuple[str, ...]:
    """Return the departments that a user is a member of, by name."""
    mine = connection.execute(select(members.c.department).where(members.c.name == name)).scalars()
    known = set(served(connection, desk.settings, desk.facility))
    return tuple(sorted(known & set(mine)))


def check(departments_of: tuple[str, ...], name: str) -> str:
    """Return ``name`` if it is among somebody's departments; NotThere otherwise."""
    if name not in departments_of:
        raise NotThere("no-such-department", f"there is no department {name[:64]!r}")
    return name


def members_of(connection: Connection, name: str, now_ms: int) -> list[Member]:
    """Return the active members of a department, those on duty first."""
    users = ACCOUNTS.users
    rows = connection.execute(
        select(members).join(users, users.c.name == members.c.name)
        .where(members.c.department == name, users.c.active.is_(True)).order_by(members.c.name)
    )  # fmt: skip
    found = [Member(row.department, row.name, _still(row.duty_until_ms, now_ms)) for row in rows]
    return sorted(found, key=lambda one: one.duty_until_ms is None)


def memberships(connection: Connection) -> dict[str, list[str]]:
    """Return everybody's departments, by account."""
    found: dict[str, list[str]] = {}
    for row in connection.execute(select(members).order_by(members.c.department)):
        found.setdefault(row.name, []).append(row.department)
    return found


def _still(until_ms: int | None, now_ms: int) -> int | None:
    return until_ms if until_ms is not None and until_ms > now_ms else None


def set_membership(
    connection: Connection, name: str, wanted: set[str], known: tuple[str, ...], *, actor: str, now_ms: int
) -> None:
    """Make a user a member of exactly ``wanted`` among the departments ``known``. Raises DeskRefused."""
    unknown = sorted(wanted - set(known))
    if unknown:
        raise DeskRefused(
            "no-such-department", f"{unknown[0][:64]!r} is no department here; there are {', '.join(known)}"
        )
    query = select(members.c.department).where(members.c.name == name, members.c.department.in_(known))
    present = set(connection.execute(query).scalars())
    for department in sorted(present - wanted):
        connection.execute(delete(members).where(members.c.department == department, members.c.name == name))
        audit.record(connection, actor, "member.removed", name, {"department": department}, now_ms)
    for department in sorted(wanted - present):
        connection.execute(insert(members).values(department=department, name=name))
        audit.record(connection, actor, "member.added", name, {"department": department}, now_ms)


def go_on_duty(
    connection: Connection, department: str, name: str, until_ms: int | None, *, actor: str, now_ms: int
) -> None:
    """Note that a member is on duty until then, or (None) no longer. Raises NotThere, DeskRefused."""
    if until_ms is not None and not now_ms < until_ms <= now_ms + LONGEST_DUTY_MS:
        raise DeskRefused("bad-duty", "a duty ends within the next 36 hours")
    done = connection.execute(
        update(members).where(members.c.department == department, members.c.name == name)
        .values(duty_until_ms=until_ms)
    )  # fmt: skip
    if done.rowcount == 0:
        raise NotThere("no-such-member", f"{name!r} is no member of {department!r}")
    changed(connection, department)
    details = {"department": department, "until_ms": str(until_ms or "")}
    audit.record(connection, actor, "duty.began" if until_ms else "duty.ended", name, details, now_ms)


def version(connection: Connection, name: str) -> int:
    """Return a number that is another one after every change that the department's lists show."""
    found = connection.execute(select(departments.c.version).where(departments.c.name == name)).scalar()
    return int(found or 0)


def changed(connection: Connection, name: str) -> None:
    """Say that lists of a department show something else now."""
    done = connection.execute(
        update(departments).where(departments.c.name == name).values(version=departments.c.version + 1)
    )
    if done.rowcount == 0:
        connection.execute(insert(departments).values(name=name, version=1))
