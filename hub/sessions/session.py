"""One node's connection, from HELLO to goodbye.

The caller is looked up by its link key in the directory in memory, before anything else is
done for it. Its session counts, and replaces an earlier one, only when READY has proved
that it holds the key. That it is connected is committed before the first delivery: the
expiry of messages relies on it (see ``hub.spool.ageing.overdue``).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

from hub.core import HubCore
from hub.directory.view import DirectoryView, Standing
from hub.sessions.delivery import Delivery
from hub.sessions.downloads import Downloads
from hub.sessions.intake import Intake
from hub.sessions.joining import Joining
from hub.sessions.news import NewsFeed
from hub.sessions.uploads import Uploads
from hub.spool import ageing
from hub.spool.store import News, Queued
from protocols.link import frames as f
from protocols.link import limits
from protocols.link.errors import LocalError, RemoteError
from protocols.link.session import Broken, HelloReceived, LinkEvent, LinkSession, Opened, PeerLeft
from runtime.link import TwistedLink
from runtime.logs import event
from runtime.storage_errors import StorageError
from runtime.tasks import spawn

REFUSALS: Final = {
    Standing.UNKNOWN: (f.Goodbye.UNKNOWN_KEY, "this hub does not know your key", "unknown", 300),
    Standing.REVOKED: (f.Goodbye.REVOKED, "this key has been revoked", "revoked", 300),
    Standing.SUSPENDED: (f.Goodbye.SUSPENDED, "this facility is suspended", "suspended", 20),
}
"""What a caller is told that may not come in, how it is counted, and after how many seconds to ask again."""
FULL_RETRY_S: Final = 60

_LOG = logging.getLogger(__name__)


class HubSession:
    """Acts on one link's events; owns nothing that must survive it."""

    def __init__(self, hub: HubCore, closed: Callable[[HubSession], object]) -> None:
        self._hub = hub
        self._closed = closed
        session = LinkSession.hub(
            static=hub.key,
            hub_name=hub.name,
            now_ms=hub.clock.now_ms,
            submit_window=hub.welcome().submit_window,
        )
        self.link = TwistedLink(session, self, hub.clock)
        self.facility = ""
        self.software = ""
        self._link_key = b""
        self._opened = False
        self._joining: Joining | None = None
        self._intake = Intake(hub, self)
        self._delivery = Delivery(hub, self)
        self._news = NewsFeed(hub, self)
        self._uploads = Uploads(hub, self)
        self._downloads = Downloads(hub, self, self._delivery)
        self._told_version: int | None = None
        self._handlers: dict[type, Callable[[Any], object]] = {
            f.Submit: self._intake.submit,
            f.Resume: lambda _frame: self._intake.resume(),
            f.Taken: self._delivery.taken,
            f.Receipts: self._news.receipts,
            f.EventsTaken: self._news.read,
            f.Offer: self._uploads.offer,
            f.Chunk: self._uploads.chunk,
            f.Want: self._downloads.want,
            f.DirectoryWanted: self._directory_wanted,
            f.Pong: lambda _frame: None,
            HelloReceived: self._hello,
            Opened: self._open,
            PeerLeft: lambda _event: None,
            Broken: self._broken,
            f.Join: self._join,
        }

    # ── what other parts say to this session ───────────────────────────────────────────

    def say(self, frame: f.AnyFrame) -> None:
        """Send a frame if the session is still open; what is not said is found again in the tables."""
        if self.link.session.open:
            try:
                self.link.send(frame)
            except LocalError as error:
                self.failed(error)

    def mail(self, rows: Sequence[Queued] = ()) -> None:
        """Hint: there may be something to deliver; ``rows`` are all that was queued since the last hint."""
        if self._opened:
            self._delivery.hand(rows)

    def news(self, news: Sequence[News] = ()) -> None:
        """Hint: there may be news; ``news`` are all that was written since the last hint."""
        if self._opened:
            self._news.hand(news)

    def no_longer_offered(self, attachment: bytes) -> None:
        """Send no more of an attachment: no message on its way to this node names it."""
        self._downloads.drop(attachment)

    def replaced(self) -> None:
        """Go: the same node has a newer connection."""
        self.link.end(f.Goodbye.REPLACED, "the same node connected again")

    def directory_changed(self, view: DirectoryView) -> None:
        """Leave if the directory says so; tell the node what changed."""
        standing = view.whose(self._link_key)[1]
        if standing is not Standing.ACTIVE:
            reason, text, _, retry_s = REFUSALS[standing]
            self.link.end(reason, text, retry_s)
            return
        self._tell_directory(view)

    def fault(self, fault: RemoteError) -> None:
        """End the session: the node broke the protocol."""
        event(
            _LOG, logging.WARNING, "protocol-fault", facility=self.facility, code=fault.code, text=fault.text
        )
        self.link.end(f.Goodbye.PROTOCOL_FAULT, f"{fault.code}: {fault.text}")

    def failed(self, error: BaseException) -> None:
        """End the session: something here did not work; the node will come back and nothing is lost."""
        if isinstance(error, RemoteError):
            self.fault(error)
            return
        level = logging.WARNING if isinstance(error, StorageError) else logging.ERROR
        event(_LOG, level, "session-failed", facility=self.facility, cause=error)
        self.link.end(f.Goodbye.INTERNAL, "this hub could not go on", retry_after_s=1)

    # ── what the link says ─────────────────────────────────────────────────────────────

    def link_event(self, event: LinkEvent) -> None:
        """Act on one event of the link."""
        try:
            self._handlers[type(event)](event)
        except RemoteError as fault:
            self.fault(fault)

    def link_has_room(self) -> None:
        """Send chunks on, and messages that waited for room."""
        self._downloads.pump()
        if self._opened:
            self._delivery.wake_if_waiting()

    def link_lost(self, reason: str) -> None:
        """Take note that the node is gone."""
        self._closed(self)
        if self._opened and self._hub.sessions.remove(self.facility, self):
            self._hub.metrics.sessions.set(len(self._hub.sessions))
            event(_LOG, logging.INFO, "node-left", facility=self.facility, reason=reason)
            spawn(self._note_presence(connected=False), self._presence_failed)

    # ── opening ────────────────────────────────────────────────────────────────────────

    def _hello(self, hello: HelloReceived) -> None:
        hub = self._hub
        self.software = hello.hello.software
        if hello.joining:
            self._joining = Joining(hub, self, hello)
            self._joining.begin()
            return
        self._link_key = bytes(hello.key)
        self.facility, standing = hub.view.whose(self._link_key)
        if standing is not Standing.ACTIVE:
            reason, text, result, retry_s = REFUSALS[standing]
            self._refuse(reason, text, result, retry_s)
        elif (
            len(hub.sessions) >= hub.settings.limits.max_sessions and hub.sessions.get(self.facility) is None
        ):
            self._refuse(f.Goodbye.TOO_MANY_SESSIONS, "this hub is full", "full", FULL_RETRY_S)
        else:
            self.link.session.welcome(hub.welcome())

    def _refuse(self, reason: f.Goodbye, text: str, result: str, retry_after_s: int) -> None:
        self._count_refused(text, result)
        self.link.session.refuse(self._hub.welcome(), f.End(reason, text, retry_after_s))
        self.link.close_after_goodbye()

    def _count_refused(self, text: str, result: str) -> None:
        self._hub.metrics.handshakes[result].inc()
        event(_LOG, logging.WARNING, "node-refused", reason=text, facility=self.facility, peer=self.link.peer)

    def _open(self, _event: Opened) -> None:
        hub = self._hub
        facility, standing = hub.view.whose(self._link_key)
        if (facility, standing) != (self.facility, Standing.ACTIVE):
            # The directory changed since HELLO, when no session was there yet to be told of it.
            reason, text, result, retry_s = REFUSALS.get(standing, REFUSALS[Standing.UNKNOWN])
            self._count_refused(text, result)
            self.link.end(reason, text, retry_s)
            return
        hub.metrics.handshakes["opened"].inc()
        hub.sessions.add(self.facility, self)
        hub.metrics.sessions.set(len(hub.sessions))
        event(
            _LOG, logging.INFO, "node-joined-session", facility=self.facility, peer=self.link.peer,
            software=self.software,
        )  # fmt: skip
        self._opened = True
        spawn(self._start(), self.failed)

    async def _start(self) -> None:
        await self._note_presence(connected=True)
        self._delivery.start()
        self._news.wake()

    async def _note_presence(self, *, connected: bool) -> None:
        now_ms, facility, software = self._hub.clock.now_ms(), self.facility, self.software
        await self._hub.database.write(
            lambda connection: ageing.note_presence(
                connection, facility, now_ms, connected=connected, software=software
            )
        )

    def _presence_failed(self, error: BaseException) -> None:
        # Without the note the node counts as connected: its messages wait for it instead of expiring.
        event(_LOG, logging.WARNING, "presence-not-noted", facility=self.facility, cause=error)

    def _broken(self, broken: Broken) -> None:
        self._hub.metrics.handshakes["broken"].inc()
        event(
            _LOG, logging.WARNING, "link-broken", facility=self.facility, peer=self.link.peer,
            code=broken.code, text=broken.text,
        )  # fmt: skip

    def _join(self, frame: f.Join) -> None:
        assert self._joining is not None
        self._joining.join(frame)

    # ── directory ──────────────────────────────────────────────────────────────────────

    def _directory_wanted(self, frame: f.DirectoryWanted) -> None:
        if self._told_version is not None:
            # One frame of a few bytes is answered with the whole directory; changes come without asking.
            raise RemoteError("out-of-turn", "DIRECTORY_WANTED again in one session")
        self._told_version = frame.version if frame.version <= self._hub.view.version else 0
        self._tell_directory(self._hub.view, always=True)

    def _tell_directory(self, view: DirectoryView, *, always: bool = False) -> None:
        if self._told_version is None:
            return
        entries = view.entries_after(self._told_version)
        if not entries and not always:
            return
        self._told_version = view.version
        page: list[f.DirectoryEntry] = []
        size = 0
        for entry in entries:
            entry_bytes = len(f.encode_frame(f.Directory((entry,), complete=False)))
            if page and size + entry_bytes > limits.ENTRY_BYTES:
                self.say(f.Directory(tuple(page), complete=False))
                page, size = [], 0
            page.append(entry)
            size += entry_bytes
        self.say(f.Directory(tuple(page), complete=True))
