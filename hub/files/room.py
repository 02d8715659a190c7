"""Room on the disk that unfinished uploads were promised, and what may be promised still."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hub.files.errors import TooManyUploads
from hub.files.layout import Header
from runtime import disk
from runtime.storage_errors import StorageFull

MAX_UPLOADS_PER_FACILITY = 64
"""Unfinished uploads of one facility."""


@dataclass(slots=True)
class _Promise:
    owner_facility: str
    remaining_bytes: int


class Room:
    """The promises, by storage key; ``floor_bytes`` of the disk with ``directory`` are never promised."""

    def __init__(self, directory: Path, floor_bytes: int) -> None:
        self._directory = directory
        self._floor_bytes = floor_bytes
        self._promises: dict[bytes, _Promise] = {}

    def __iter__(self) -> Iterator[bytes]:
        """Iterate over the storage keys of unfinished uploads, as they are now."""
        return iter(list(self._promises))

    def promise(self, key: bytes, owner_facility: str, remaining_bytes: int) -> None:
        """Keep so much for an upload, instead of what was kept before."""
        self._promises[key] = _Promise(owner_facility, remaining_bytes)

    def forget(self, key: bytes) -> None:
        """Keep nothing for it any more."""
        self._promises.pop(key, None)

    def left_bytes(self) -> int:
        """Return how much more could be announced now: free space less the floor and what was promised."""
        promised = sum(promise.remaining_bytes for promise in self._promises.values())
        with disk.saying(self._directory):
            return shutil.disk_usage(self._directory).free - self._floor_bytes - promised

    def check(self, header: Header) -> None:
        """Raise TooManyUploads or StorageFull if one more upload must not begin."""
        owner = header.owner_facility
        owned = sum(1 for promise in self._promises.values() if promise.owner_facility == owner)
        if owned >= MAX_UPLOADS_PER_FACILITY:
            raise TooManyUploads(f"{owner} has {owned} unfinished uploads; finish those first")
        left_bytes = self.left_bytes()
        if header.file_bytes > left_bytes:
            raise StorageFull(
                f"{self._directory}: {header.size_bytes} bytes were announced, there is room for"
                f" {max(0, left_bytes)}; make room on the disk"
            )
