"""Who a message may go to: departments of the network, found by what people know of them.

All from the node's own copy of the directory. A search looks for every word in the facility's id and title,
the department's id, title and specialty, and the wilaya's name; a list is bounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from crypto.identity import is_address
from nodes.desk.compose import bounds
from nodes.desk.folding import fold
from nodes.link import addressbook
from protocols.link.envelope import facility_of, mailbox_of
from protocols.link.places import WILAYAS
from protocols.parties import Place

_MOST_WORDS: Final = 8


@dataclass(frozen=True, slots=True)
class Choice:
    """A department that can be written to. ``wilaya`` is 0 where it is not known."""

    place: Place
    specialty: str
    kind: str
    wilaya: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is searched; empty or 0 for any."""

    words: str = ""
    kind: str = ""
    wilaya: int = 0


def choices(connection: Connection, wanted: Wanted) -> tuple[list[Choice], bool]:
    """Return what fits, by facility and department, and whether there is more than ``bounds.FOUND``."""
    words = fold(wanted.words[: bounds.QUERY_CHARS]).split()[:_MOST_WORDS]
    found: list[Choice] = []
    for choice in _all(connection):
        if wanted.kind and choice.kind != wanted.kind:
            continue
        if wanted.wilaya and choice.wilaya != wanted.wilaya:
            continue
        described = _described(choice)
        if all(word in described for word in words):
            if len(found) == bounds.FOUND:
                return found, True
            found.append(choice)
    return found, False


def place_of(connection: Connection, address: str) -> Place | None:
    """Return a department by its address, with what people call it; None if there is no such now."""
    if not is_address(address):
        return None
    facility, mailbox = facility_of(address), mailbox_of(address)
    found = (one.place for one in _all(connection) if one.place.facility == facility)
    return next((place for place in found if place.mailbox == mailbox), None)


def kinds_and_wilayas(connection: Connection) -> tuple[list[str], list[int]]:
    """Return which kinds of facilities and which wilayas there are to choose from."""
    everything = list(_all(connection))
    return sorted({one.kind for one in everything if one.kind}), sorted(
        {one.wilaya for one in everything if one.wilaya}
    )


def _all(connection: Connection) -> Iterator[Choice]:
    for entry in addressbook.entries(connection):
        if entry.is_group or not entry.active:
            continue
        for box in entry.mailboxes:
            place = Place(box.name, entry.name, entry.title, box.title)
            yield Choice(place, box.specialty, entry.kind, entry.wilaya)


def _described(choice: Choice) -> str:
    place, wilaya = choice.place, WILAYAS.get(choice.wilaya)
    names = f"{wilaya.french} {wilaya.arabic}" if wilaya else ""
    mailbox = f"{place.mailbox} {place.mailbox_title} {choice.specialty}"
    return fold(f"{place.facility} {place.facility_title} {mailbox} {names}")
