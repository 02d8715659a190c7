"""What a program leaves of a message that it took: removed from ``in/``, an hour later.

A program takes a message by removing or renaming its control file. The payload and the attachments are its
own from then on, to move or remove; it may still be reading them. What lies there after ``LEFT_S`` is
removed, so that ``in/`` does not fill with patients' data that nobody looks after. Only names that the node
gives are touched: not a control file that was renamed, nor anything that a program put there. The files of a
message that another door concluded before it was shown go in the same way.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from nodes.gateways.folder.places import Place

LEFT_S: Final = 3_600.0
"""How long the files of a taken message stay; counted again from a restart of the node."""
SWEEP_S: Final = 60.0
_STEM: Final = re.compile(
    r"([0-9]{10,}-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?:\.(?:hl7|txt|dat)|-[0-9]+-.+)", re.DOTALL
)


class Leftovers:
    """Remembers since when each taken message's files have been there."""

    def __init__(self) -> None:
        self._since_s: dict[str, float] = {}
        self._swept_s: float | None = None

    def due(self, now_s: float) -> bool:
        """Return whether it is time to look again, and count it as looked."""
        if self._swept_s is not None and now_s - self._swept_s < SWEEP_S:
            return False
        self._swept_s = now_s
        return True

    def sweep(self, place: Place, lying: Collection[str], now_s: float) -> int:
        """Remove what has been left for long enough; ``lying`` are the stems of what nobody took yet."""
        found: dict[str, list[str]] = {}
        for name in place.names():
            if (match := _STEM.fullmatch(name)) and match[1] not in lying:
                found.setdefault(match[1], []).append(name)
        self._since_s = {stem: self._since_s.get(stem, now_s) for stem in found}
        old = [stem for stem, since_s in self._since_s.items() if now_s - since_s >= LEFT_S]
        for name in (name for stem in old for name in found[stem]):
            place.remove(name)
        return len(old)
