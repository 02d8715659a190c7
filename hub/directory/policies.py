"""The policies that were applied, with author and time: SQL in, values out. None is changed or removed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, insert, select

from config.hub import Policy, PolicyFile
from config.load import parse_settings
from hub.directory import store
from hub.directory.tables import policies


@dataclass(frozen=True, slots=True)
class PolicyVersion:
    """One policy, as TOML. ``number`` from 1."""

    number: int
    author: str
    at_ms: int
    note: str
    text: str


def parse(text: str, name: str = "policy") -> Policy:
    """Return the policy in ``text`` (``[policy]``, ``[[policy.rule]]``); SettingsError with every fault."""
    return parse_settings(text.encode("utf-8"), Path(name), PolicyFile).policy


def history(connection: Connection) -> list[PolicyVersion]:
    """Return all, newest first."""
    rows = connection.execute(select(policies).order_by(policies.c.number.desc()))
    return [PolicyVersion(row.number, row.author, row.at_ms, row.note, row.text) for row in rows]


def present(connection: Connection) -> PolicyVersion | None:
    """Return the one that holds; None: that of hub.toml."""
    row = connection.execute(select(policies).order_by(policies.c.number.desc()).limit(1)).one_or_none()
    return None if row is None else PolicyVersion(row.number, row.author, row.at_ms, row.note, row.text)


def add(connection: Connection, author: str, note: str, text: str, now_ms: int) -> int:
    """Let ``text`` hold from now on, and every hub process hear of it; returns its number."""
    latest = present(connection)
    number = 1 if latest is None else latest.number + 1
    connection.execute(
        insert(policies).values(number=number, author=author, at_ms=now_ms, note=note, text=text)
    )
    store.next_version(connection)
    return number


def policy_in_force(connection: Connection, settings: Policy) -> Policy:
    """Return the policy that holds: the latest applied, or that of the settings."""
    latest = present(connection)
    return settings if latest is None else parse(latest.text, f"policy {latest.number}")
