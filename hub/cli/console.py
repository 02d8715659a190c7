"""``adduser``, ``users``, ``console``."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from hub.admin import users as services
from hub.admin.errors import AdminRefused
from hub.admin.roles import check_role
from hub.cli.opened import cli_actor, opened_hub
from runtime.cli import done, facts, fail, listen_at, moment, new_password, table
from runtime.transactions import read, transact
from runtime.web.passwords import MOST_CHARS, Passwords, WeakPassword


def adduser(name: str, home: Path, role: str, as_json: bool) -> None:
    """Do ``wasl-hub adduser``."""
    with opened_hub(home) as hub:
        try:
            services.check_name(name)
            check_role(role)
            hashed = Passwords().hash(name, new_password(MOST_CHARS))
            actor, now_ms = cli_actor(), time.time_ns() // 1_000_000
            transact(
                hub.engine,
                lambda connection: services.add(connection, name, role, hashed, actor=actor, now_ms=now_ms),
            )
        except (AdminRefused, WeakPassword) as error:
            fail(str(error))
    done({"name": name, "role": role}, f"{name} may sign in as {role}.", as_json=as_json)


def users(home: Path, as_json: bool) -> None:
    """Do ``wasl-hub users``."""
    with opened_hub(home) as hub:
        found = read(hub.engine, services.everybody)
    value = [
        {
            "name": one.name,
            "role": one.role,
            "active": one.active,
            "signed_in": None if one.signed_in_ms is None else moment(one.signed_in_ms),
        }
        for one in found
    ]
    rows = [
        (one.name, one.role, "yes" if one.active else "no", v["signed_in"] or "never")
        for one, v in zip(found, value, strict=True)
    ]
    facts(value, as_json=as_json, text=lambda: table(rows, ("name", "role", "active", "signed in")))


def console(home: Path, listen: str | None) -> None:
    """Do ``wasl-hub console``."""
    at = listen_at(listen)
    from twisted.internet import reactor  # noqa: PLC0415 - installing it takes a third of a second

    from hub.admin.console.daemon import run  # noqa: PLC0415 - likewise

    sys.exit(run(home, at, reactor))
