"""The directory in memory: what every session and every routing decision asks, without SQL."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from sqlalchemy import Connection

from hub.directory import store
from protocols.link.frames import DirectoryEntry

CREDENTIALS_SHOWN: Final = 2


class Standing(Enum):
    """What a calling key is to this hub."""

    UNKNOWN = auto()
    ACTIVE = auto()
    SUSPENDED = auto()
    REVOKED = auto()


@dataclass(frozen=True, slots=True)
class _Place:
    mailboxes: frozenset[str]
    active: bool


class DirectoryView:
    """An immutable picture of the directory at one version; a change makes a new one."""

    def __init__(
        self, facilities: list[store.FacilityRow], groups: list[DirectoryEntry], version: int
    ) -> None:
        self.version = version
        self._places: dict[str, _Place] = {}
        self._keys: dict[bytes, tuple[str, Standing]] = {}
        entries = list(groups)
        for row in facilities:
            usable = [credential for credential in row.credentials if not credential.revoked]
            active = bool(usable) and not row.suspended
            # A facility that has been invited and not joined yet has no key: nothing can be sealed for it.
            self._places[row.facility] = _Place(frozenset(box.name for box in row.mailboxes), active)
            for credential in row.credentials:
                self._keys[credential.link_key] = row.facility, _standing(row, credential)
            entries.append(_entry(row, usable, active=active))
        self._entries = tuple(sorted(entries, key=lambda entry: entry.version))

    @classmethod
    def load(cls, connection: Connection) -> DirectoryView:
        """Read the whole directory."""
        return cls(store.all_facilities(connection), store.all_groups(connection), store.version(connection))

    def mailboxes_of(self, facility: str) -> frozenset[str] | None:
        """Return the facility's mailbox names, None if there is no such facility."""
        place = self._places.get(facility)
        return None if place is None else place.mailboxes

    def is_active(self, facility: str) -> bool:
        """Return whether the facility may send and receive now."""
        place = self._places.get(facility)
        return place is not None and place.active

    def whose(self, link_key: bytes) -> tuple[str, Standing]:
        """Return the facility that a link key belongs to, and what it is here."""
        return self._keys.get(link_key, ("", Standing.UNKNOWN))

    def entry(self, facility: str) -> DirectoryEntry | None:
        """Return one facility as the nodes get it."""
        return next((entry for entry in self._entries if entry.name == facility), None)

    def entries_after(self, version: int) -> tuple[DirectoryEntry, ...]:
        """Return what changed after ``version``, in order of version."""
        return tuple(entry for entry in self._entries if entry.version > version)

    def facilities(self) -> tuple[str, ...]:
        """Return all facility ids."""
        return tuple(self._places)


def _standing(row: store.FacilityRow, credential: store.CredentialRow) -> Standing:
    if credential.revoked:
        return Standing.REVOKED
    return Standing.SUSPENDED if row.suspended else Standing.ACTIVE


def _entry(row: store.FacilityRow, usable: list[store.CredentialRow], *, active: bool) -> DirectoryEntry:
    statements = [credential.statement for credential in usable[-CREDENTIALS_SHOWN:]]
    if row.revocation:
        statements.append(row.revocation)
    return DirectoryEntry(row.version, row.facility, row.title, active, tuple(statements), row.mailboxes)
