"""``invite``, ``facilities``, ``suspend``, ``resume``, ``revoke``, ``group``."""

from __future__ import annotations

import time
from pathlib import Path

from sqlalchemy import Connection, select

from hub import home as hub_home
from hub.cli.opened import opened_hub
from hub.directory import service, store
from hub.spool.tables import presence
from runtime.cli import facts, fail, moment, say, table
from runtime.transactions import read, transact


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def invite(
    facility: str, home: Path, title: str | None, mailboxes: tuple[str, ...], valid_for: float, as_json: bool
) -> None:
    """Do ``wasl-hub invite``."""
    with opened_hub(home) as hub:
        issuer = hub_home.issuer(hub.settings, hub_home.load_keys(home))
        invited = transact(
            hub.engine,
            lambda connection: service.invite(
                connection,
                issuer,
                facility,
                title=title,
                mailboxes=mailboxes,
                valid_for_ms=int(valid_for * 1000),
                now_ms=_now_ms(),
            ),
        )
        hub.poke()
    value = {"facility": invited.facility, "code": invited.code, "expires": moment(invited.expires_ms)}
    facts(value, as_json=as_json, text=lambda: invited.code)
    if invited.joined_before:
        say(
            f"{facility} has joined already. If this was to add mailboxes, that is done: discard the code.\n"
            "A new home that joins with it takes the place of the old one: messages are then sealed for it.\n"
            f"If the old home is lost or stolen, first run: wasl-hub revoke {facility} --home {home}"
        )
    if not as_json:
        say(f"Works once, until {value['expires']}. At {facility}: wasl-node join CODE --home DIR")


def facilities(home: Path, as_json: bool) -> None:
    """Do ``wasl-hub facilities``."""
    with opened_hub(home) as hub:
        rows, seen = read(hub.engine, _facilities)
    value = [
        {
            "facility": row.facility,
            "title": row.title,
            "mailboxes": [box.name for box in row.mailboxes],
            "state": _state(row),
            "connected": bool(seen.get(row.facility, (False, 0, ""))[0]),
            "seen": moment(seen[row.facility][1]) if row.facility in seen else None,
            "software": seen.get(row.facility, (False, 0, ""))[2] or None,
        }
        for row in rows
    ]
    header = ("facility", "state", "connected", "seen", "mailboxes", "title")
    facts(
        value,
        as_json=as_json,
        text=lambda: table(
            [
                (
                    one["facility"], one["state"], "yes" if one["connected"] else "no",
                    one["seen"] or "never", ",".join(row.name for row in rows[index].mailboxes), one["title"],
                )
                for index, one in enumerate(value)
            ],
            header,
        ),
    )  # fmt: skip


def _facilities(
    connection: Connection,
) -> tuple[list[store.FacilityRow], dict[str, tuple[bool, int, str]]]:
    seen = {
        row.facility: (row.connected, row.seen_ms, row.software)
        for row in connection.execute(select(presence))
    }
    return store.all_facilities(connection), seen


def _state(row: store.FacilityRow) -> str:
    if row.suspended:
        return "suspended"
    if not row.credentials:
        return "invited"
    return "active" if any(not credential.revoked for credential in row.credentials) else "revoked"


def suspend(facility: str, home: Path) -> None:
    """Do ``wasl-hub suspend``."""
    _suspend(facility, home, suspended=True)


def resume(facility: str, home: Path) -> None:
    """Do ``wasl-hub resume``."""
    _suspend(facility, home, suspended=False)


def _suspend(facility: str, home: Path, *, suspended: bool) -> None:
    with opened_hub(home) as hub:
        known = transact(
            hub.engine, lambda connection: store.suspend(connection, facility, suspended=suspended)
        )
        if not known:
            fail(f"there is no facility {facility!r} in this hub's directory")
        hub.poke()
    say(f"{facility} is {'suspended' if suspended else 'active again'}.")


def revoke(facility: str, home: Path, reason: str) -> None:
    """Do ``wasl-hub revoke``."""
    with opened_hub(home) as hub:
        issuer = hub_home.issuer(hub.settings, hub_home.load_keys(home))
        serial = transact(
            hub.engine,
            lambda connection: service.revoke(connection, issuer, facility, reason, _now_ms()),
        )
        hub.poke()
    say(f"{facility}: every credential up to serial {serial} is revoked.")


def group(name: str, members: tuple[str, ...], home: Path, title: str) -> None:
    """Do ``wasl-hub group``."""
    with opened_hub(home) as hub:
        issuer = hub_home.issuer(hub.settings, hub_home.load_keys(home))
        transact(
            hub.engine,
            lambda connection: service.define_group(connection, issuer, name, title or name, members),
        )
        hub.poke()
    say(f"{name}@group has {len(members)} members.")
