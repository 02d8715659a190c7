"""The directory in memory: what every session and every routing decision asks, without SQL."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from sqlalchemy import Connection

from hub.directory import store
from protocols.link.entries import DirectoryEntry

CREDENTIALS_SHOWN: Final = 2


class Standing(Enum):
    """What a calling key is to this hub."""

    UNKNOWN = auto()
    ACTIVE = auto()
    SUSPENDED = auto()
    REVOKED = auto()
    RETIRED = auto()
    """Its node has connected with newer keys."""


@dataclass(frozen=True, slots=True)
class _Place:
    mailboxes: frozenset[str]
    active: bool
    kind: str


class DirectoryView:
    """An immutable picture of the directory at one version; a change makes a new one."""

    def __init__(
        self, facilities: list[store.FacilityRow], groups: list[DirectoryEntry], version: int
    ) -> None:
        self.version = version
        self._places: dict[str, _Place] = {}
        self._keys: dict[bytes, tuple[str, Standing]] = {}
        self._replacing: dict[bytes, int] = {}
        alike: dict[frozenset[str], frozenset[str]] = {}
        entries = list(groups)
        for row in facilities:
            usable = [credential for credential in row.credentials if not credential.revoked]
            active = bool(usable) and not row.suspended
            # A facility that has been invited and not joined yet has no key: nothing can be sealed for it.
            boxes = frozenset(box.name for box in row.mailboxes)
            self._places[row.facility] = _Place(alike.setdefault(boxes, boxes), active, row.kind)
            for credential in row.credentials:
                self._keys[credential.link_key] = row.facility, _standing(row, credential)
            in_use = [one for one in usable if not one.retired]
            if len(in_use) > 1:
                self._replacing[in_use[-1].link_key] = in_use[-1].serial
            entries.append(_entry(row, usable, active=active))
        self._entries = tuple(sorted(entries, key=_version_of))

    @classmethod
    def load(cls, connection: Connection) -> DirectoryView:
        """Read the whole directory."""
        return cls(store.all_facilities(connection), store.all_groups(connection), store.version(connection))

    def mailboxes_of(self, facility: str) -> frozenset[str] | None:
        """Return the facility's mailbox names, None if there is no such facility."""
        place = self._places.get(facility)
        return None if place is None else place.mailboxes

    def kind_of(self, facility: str) -> str:
        """Return what kind of institution the facility is, empty if that was not said."""
        place = self._places.get(facility)
        return "" if place is None else place.kind

    def is_active(self, facility: str) -> bool:
        """Return whether the facility may send and receive now."""
        place = self._places.get(facility)
        return place is not None and place.active

    def whose(self, link_key: bytes) -> tuple[str, Standing]:
        """Return the facility that a link key belongs to, and what it is here."""
        return self._keys.get(link_key, ("", Standing.UNKNOWN))

    def replaces(self, link_key: bytes) -> int:
        """Return the serial of a newest key beside which earlier ones may still open sessions; 0 if none."""
        return self._replacing.get(link_key, 0)

    def entry(self, facility: str) -> DirectoryEntry | None:
        """Return one facility as the nodes get it."""
        return next((entry for entry in self._entries if entry.name == facility), None)

    def entries_after(self, version: int) -> tuple[DirectoryEntry, ...]:
        """Return what changed after ``version``, in order of version."""
        return self._entries[bisect_right(self._entries, version, key=_version_of) :]

    def facilities(self) -> tuple[str, ...]:
        """Return all facility ids."""
        return tuple(self._places)


def _version_of(entry: DirectoryEntry) -> int:
    return entry.version


def _standing(row: store.FacilityRow, credential: store.CredentialRow) -> Standing:
    if credential.revoked:
        return Standing.REVOKED
    if credential.retired:
        return Standing.RETIRED
    return Standing.SUSPENDED if row.suspended else Standing.ACTIVE


def _entry(row: store.FacilityRow, usable: list[store.CredentialRow], *, active: bool) -> DirectoryEntry:
    statements = [credential.statement for credential in usable[-CREDENTIALS_SHOWN:]]
    if row.revocation:
        statements.append(row.revocation)
    return DirectoryEntry(
        row.version, row.facility, row.title, active, tuple(statements), row.mailboxes, row.kind, row.wilaya
    )
