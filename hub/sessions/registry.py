"""Who is connected, and how one session wakes another: hints, all of which may be lost."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from hub.directory.view import DirectoryView
from protocols.link import frames as f

if TYPE_CHECKING:
    from hub.sessions.session import HubSession


class Sessions:
    """The open sessions, at most one a facility: the newest one counts."""

    def __init__(self) -> None:
        self._open: dict[str, HubSession] = {}

    def __len__(self) -> int:
        return len(self._open)

    def add(self, facility: str, session: HubSession) -> None:
        """Put a session in place of the facility's earlier one, which is told to go."""
        earlier = self._open.get(facility)
        self._open[facility] = session
        if earlier is not None:
            earlier.replaced()

    def remove(self, facility: str, session: HubSession) -> bool:
        """Take a session out; False if a newer one has its place."""
        if self._open.get(facility) is not session:
            return False
        del self._open[facility]
        return True

    def get(self, facility: str) -> HubSession | None:
        """Return the facility's session, if it is connected."""
        return self._open.get(facility)

    def mail_for(self, facilities: Iterable[str]) -> None:
        """Hint: there may be something to deliver to these."""
        for facility in facilities:
            session = self._open.get(facility)
            if session is not None:
                session.mail()

    def news_for(self, facilities: Iterable[str]) -> None:
        """Hint: there may be news for these."""
        for facility in facilities:
            session = self._open.get(facility)
            if session is not None:
                session.news()

    def directory_changed(self, view: DirectoryView) -> None:
        """End the sessions of those who may not stay, tell the others what changed."""
        for session in list(self._open.values()):
            session.directory_changed(view)

    def end_all(self, reason: f.Goodbye, text: str) -> None:
        """Say goodbye to everybody."""
        for session in list(self._open.values()):
            session.link.end(reason, text, retry_after_s=1)

    def everyone(self) -> list[HubSession]:
        """Return the open sessions."""
        return list(self._open.values())
