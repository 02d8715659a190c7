"""The wilayas as tiles: a schematic map, drawn from a grid of our own, the north above.

Each tile stands about where its wilaya lies beside its neighbours; sizes and borders mean nothing. A tile is
as bad as the worst of its facilities.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from hub.admin.network import Place

_GRID: Final = """
 .  .  .  .  .  . 42 16 35 15 06 18 21 23 36
 .  .  . 27 02 44 09  . 10 34 19 43 25 24 41
 . 46 31 29 48 38 26  .  . 28  .  . 05 04 12
13 22  . 20 14  .  . 17  .  . 51 07  . 40  .
 .  .  .  . 32  . 03  .  .  . 57 39  .  .  .
 . 45  .  .  .  . 47  . 55  . 30  .  .  .  .
08 52  .  .  . 58  .  .  .  .  .  .  .  .  .
 .  . 49  .  .  .  .  .  .  .  .  .  . 33  .
37  . 01  .  . 53  .  .  .  .  .  .  . 56  .
 .  . 50  .  .  .  . 11  .  .  .  .  .  .  .
 .  .  .  .  .  .  . 54  .  .  .  .  .  .  .
"""
_OK, _WARN, _BAD = "ok", "warn", "bad"


@dataclass(frozen=True, slots=True)
class Tile:
    """One wilaya: where it stands on the grid, how its facilities do, and how many of them are connected."""

    wilaya: int
    column: int
    row: int
    grade: str
    connected: int
    active: int


def tiles(places: Sequence[Place]) -> list[Tile]:
    """Return all 58 tiles, row by row."""
    found = []
    for row, line in enumerate(_GRID.split("\n")[1:-1]):
        for column, cell in enumerate(line.split()):
            if cell != ".":
                here = [one for one in places if one.active and one.of.wilaya == int(cell)]
                connected = sum(one.of.connected for one in here)
                found.append(Tile(int(cell), column, row, _grade(len(here), connected), connected, len(here)))
    return found


def _grade(active: int, connected: int) -> str:
    if not active:
        return ""
    if connected == active:
        return _OK
    return _WARN if connected else _BAD
