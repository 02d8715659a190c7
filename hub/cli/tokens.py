"""``wasl-hub token create | list | revoke``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from hub.admin import tokens as service
from hub.admin.errors import AdminRefused
from hub.admin.tokens import Token
from hub.cli.opened import cli_actor, opened_hub
from runtime.cli import facts, fail, moment, say, table
from runtime.transactions import read, transact


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _value(one: Token, now_ms: int) -> dict[str, Any]:
    return {
        "name": one.name,
        "role": one.role,
        "made_by": one.made_by,
        "usable": one.usable(now_ms),
        "created": moment(one.created_ms),
        "expires": moment(one.expires_ms),
        "used": None if one.used_ms is None else moment(one.used_ms),
        "revoked": None if one.revoked_ms is None else moment(one.revoked_ms),
    }


def create(name: str, home: Path, role: str, valid_for: float, as_json: bool) -> None:
    """Do ``wasl-hub token create``."""
    now_ms = _now_ms()
    with opened_hub(home) as hub:
        try:
            secret, made = transact(
                hub.engine,
                lambda connection: service.create(
                    connection,
                    name,
                    role,
                    valid_for_ms=int(valid_for * 1000),
                    actor=cli_actor(),
                    now_ms=now_ms,
                ),
            )
        except AdminRefused as error:
            fail(str(error))
    facts({"token": secret, **_value(made, now_ms)}, as_json=as_json, text=lambda: secret)
    if not as_json:
        say(f"Shown this once. It may do what {made.role} may, until {moment(made.expires_ms)}.")


def list_tokens(home: Path, as_json: bool) -> None:
    """Do ``wasl-hub token list``."""
    with opened_hub(home) as hub:
        found = read(hub.engine, service.listing)
    now_ms = _now_ms()
    value = [_value(one, now_ms) for one in found]
    rows = [
        (
            v["name"], v["role"], v["made_by"], "yes" if v["usable"] else "no", v["expires"],
            v["used"] or "never", v["revoked"] or "-",
        )
        for v in value
    ]  # fmt: skip
    header = ("name", "role", "made by", "counts", "expires", "used", "revoked")
    facts(value, as_json=as_json, text=lambda: table(rows, header))


def revoke(name: str, home: Path, as_json: bool) -> None:
    """Do ``wasl-hub token revoke``."""
    now_ms = _now_ms()
    with opened_hub(home) as hub:
        try:
            gone = transact(
                hub.engine,
                lambda connection: service.revoke(connection, name, actor=cli_actor(), now_ms=now_ms),
            )
        except AdminRefused as error:
            fail(str(error))
    value = _value(gone, now_ms)
    facts(value, as_json=as_json, text=lambda: f"{name} counts no more.")
