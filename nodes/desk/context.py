"""What every page works on, and who asks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from flask import g

from config.node import NodeSettings
from runtime.web import rooms
from runtime.web.rooms import Room


@dataclass(frozen=True, slots=True)
class Desk(Room):
    """One desk; any thread."""

    settings: NodeSettings
    facility: str
    home: Path


@dataclass(frozen=True, slots=True)
class Visitor(rooms.Visitor):
    """Who is signed in, in which session, and in which departments: names of mailboxes, sorted."""

    title: str
    departments: tuple[str, ...]

    @property
    def role(self) -> str:
        """What the user is, a :class:`nodes.desk.roles.Role`."""
        return self.user.role


def visitor() -> Visitor:
    """Return who asks; only where a page needs a permission."""
    found = g.visitor
    assert isinstance(found, Visitor)
    return found
