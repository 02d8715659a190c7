"""Inputs that nobody should send, by target and by name; the name says what is wrong with each.

``GOOD`` is what a target takes; ``BAD`` must be refused with one of our own errors; ``ODD`` is strange, and
must neither break anything nor take long, whatever is said to it. All are invented; most are a good one with
one thing wrong.
"""

from __future__ import annotations

from typing import Final

from tests.fuzz.bad import audit, hl7, keys, link, local, reading

_MODULES: Final = (link, keys, audit, hl7, local, reading)
GOOD: Final[dict[str, bytes]] = {name: data for module in _MODULES for name, data in module.GOOD.items()}
BAD: Final[dict[str, dict[str, bytes]]] = {
    name: table for module in _MODULES for name, table in module.BAD.items()
}
ODD: Final[dict[str, dict[str, bytes]]] = {
    name: table for module in _MODULES for name, table in module.ODD.items()
}
