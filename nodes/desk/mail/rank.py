"""In which order a department sees its messages."""

from __future__ import annotations

from enum import IntEnum

from protocols.link.envelope import Priority


class Rank(IntEnum):
    """How much a message wants to be seen: lists begin with the highest, within one with the newest."""

    ARCHIVED = 0
    OPENED = 1
    UNREAD = 2
    URGENT = 3
    """Unread, and STAT."""

    @classmethod
    def arrived(cls, priority: int) -> Rank:
        """Return the rank of an unread message."""
        return cls.URGENT if priority == Priority.STAT else cls.UNREAD
