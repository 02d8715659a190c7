"""What lies in ``out/`` and goes nowhere: said once, when it has lain there for a while.

A payload whose control file never came, or a file under a name that is none of ours, would otherwise wait in
silence. Names that begin with a dot or end in ``.tmp`` or ``.part`` are somebody's work in progress.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from nodes.gateways.folder.places import Look

UNCLAIMED_S: Final = 600.0
"""A file that nothing names is spoken of when it has not changed for this long."""
NAMED: Final = 5
"""Files that one alarm names; the others are counted."""


class Unclaimed:
    """Remembers since when each file has been lying there unchanged."""

    def __init__(self) -> None:
        self._since: dict[str, tuple[Look, float]] = {}
        self._told: set[str] = set()

    def look(self, found: Mapping[str, Look], now_s: float) -> list[str]:
        """Take note of what nothing names (``found``); return what has to be spoken of now, by name."""
        for name in self._since.keys() - found.keys():
            del self._since[name]
        self._told &= found.keys()
        due = []
        for name, look in found.items():
            before, since_s = self._since.setdefault(name, (look, now_s))
            if before != look:
                self._since[name] = look, now_s
            elif now_s - since_s >= UNCLAIMED_S and name not in self._told:
                due.append(name)
        self._told.update(due)
        return sorted(due)
