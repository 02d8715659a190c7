"""Telling a node of the directory, and of the network's own keys: once when it asks, then what changes.

The keys come first: what follows may be signed by the new ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hub.core import HubCore
from hub.directory.view import DirectoryView
from protocols.link import frames as f
from protocols.link import limits
from protocols.link.entries import DirectoryEntry
from protocols.link.errors import RemoteError

if TYPE_CHECKING:
    from hub.sessions.session import HubSession


class DirectoryFeed:
    """The DIRECTORY side of one session; ``followed`` is the last change of keys that the node knows."""

    __slots__ = ("_followed", "_hub", "_session", "_version")

    def __init__(self, hub: HubCore, session: HubSession, followed: int) -> None:
        self._hub = hub
        self._session = session
        self._followed = followed
        self._version: int | None = None

    def wanted(self, frame: f.DirectoryWanted) -> None:
        """Tell everything after the version that the node has; :class:`RemoteError` if it asks again."""
        if self._version is not None:
            # One frame of a few bytes is answered with the whole directory; changes come without asking.
            raise RemoteError("out-of-turn", "DIRECTORY_WANTED again in one session")
        self._version = frame.version if frame.version <= self._hub.view.version else 0
        self._tell_keys()
        self._tell_entries(self._hub.view, self._hub.view.entries_after(self._version))

    def changed(self, view: DirectoryView) -> None:
        """Tell what is new, if the node has asked at all."""
        if self._version is None:
            return
        entries = view.entries_after(self._version)
        self._tell_keys()
        if entries:
            self._tell_entries(view, entries)

    def _tell_entries(self, view: DirectoryView, entries: Sequence[DirectoryEntry]) -> None:
        self._version = view.version
        page: list[DirectoryEntry] = []
        size = 0
        for entry in entries:
            entry_bytes = len(f.encode_frame(f.Directory((entry,), complete=False)))
            if page and size + entry_bytes > limits.ENTRY_BYTES:
                self._session.say(f.Directory(tuple(page), complete=False))
                page, size = [], 0
            page.append(entry)
            size += entry_bytes
        self._session.say(f.Directory(tuple(page), complete=True))

    def _tell_keys(self) -> None:
        changes = [(serial, blob) for serial, blob in self._hub.holds.told if serial > self._followed]
        for start in range(0, len(changes), limits.TRUST_CHANGES):
            page = changes[start : start + limits.TRUST_CHANGES]
            self._session.say(f.Directory((), complete=False, trust=tuple(blob for _, blob in page)))
            self._followed = page[-1][0]
