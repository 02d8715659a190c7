"""One node's connection, from HELLO to goodbye.

The caller is looked up by its link key in the directory in memory, before anything else is
done for it. Its session counts, and replaces an earlier one, only when READY has proved
that it holds the key. That it is connected is committed before the first delivery: the
expiry of messages relies on it (see ``hub.spool.ageing.overdue``).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar, Final

from hub.core import HubCore
from hub.directory import knocks, store
from hub.directory.view import DirectoryView, Standing
from hub.sessions.delivery import Delivery
from hub.sessions.directory import DirectoryFeed
from hub.sessions.downloads import Downloads
from hub.sessions.intake import Intake
from hub.sessions.joining import Joining
from hub.sessions.news import NewsFeed
from hub.sessions.renewing import Renewing
from hub.sessions.uploads import Uploads
from hub.sessions.witnessing import Witnessing
from hub.spool.ageing import Presence, Waiting
from hub.spool.store import News, Queued
from protocols.link import frames as f
from protocols.link.errors import LocalError, RemoteError
from protocols.link.session import Broken, HelloReceived, LinkEvent, LinkSession, Opened, PeerLeft
from runtime.link import TwistedLink
from runtime.logs import event
from runtime.storage_errors import DatabaseLocked, DatabaseUnavailable, StorageError, StorageFailed
from runtime.tasks import spawn

REFUSALS: Final = {
    Standing.UNKNOWN: (f.Goodbye.UNKNOWN_KEY, "this hub does not know your key", "unknown", 300),
    Standing.REVOKED: (f.Goodbye.REVOKED, "this key has been revoked", "revoked", 300),
    Standing.SUSPENDED: (f.Goodbye.SUSPENDED, "this facility is suspended", "suspended", 20),
    Standing.RETIRED: (
        f.Goodbye.UNKNOWN_KEY,
        "this node has newer keys: this is an old home",
        "unknown",
        300,
    ),
}
"""What a caller is told that may not come in, how it is counted, and after how many seconds to ask again."""
FULL_RETRY_S: Final = 60
KNOCK_RETRY_S: Final = 20
"""When a node that a restored hub has forgotten may ask again."""
AWAY_S: Final = 2.0
"""Until a session asks a database again that was away."""
NOTE_AGAIN_S: Final = 30.0
"""Until it is tried again to note that a session ended."""
_PASSING: Final = (DatabaseUnavailable, DatabaseLocked)

_LOG = logging.getLogger(__name__)


class HubSession:
    """Acts on one link's events; owns nothing that must survive it.

    A hub has thousands of these that are silent, and callers that prove nothing: the parts are made when the
    node is let in, or when it first needs them.
    """

    __slots__ = (
        "_closed", "_delivery", "_directory", "_downloads", "_followed", "_hub", "_intake", "_joining",
        "_knock", "_link_key", "_news", "_opened", "_renewing", "_uploads", "_witnessing", "claimed",
        "facility", "link", "software",
    )  # fmt: skip

    def __init__(self, hub: HubCore, closed: Callable[[HubSession], object]) -> None:
        self._hub = hub
        self._closed = closed
        session = LinkSession.hub(
            static=hub.statics,
            hub_name=hub.name,
            now_ms=hub.clock.now_ms,
            submit_window=hub.welcome().submit_window,
        )
        self.link = TwistedLink(session, self, hub.clock)
        self.claimed: int | None = None
        """How many looks were begun (``hub.peers.following``) when our claim was committed."""
        self.facility = ""
        self.software = ""
        self._link_key = b""
        self._followed = 0
        self._knock: knocks.Knock | None = None
        self._opened = False
        self._joining: Joining | None = None
        self._delivery: Delivery
        self._news: NewsFeed
        self._directory: DirectoryFeed
        self._intake: Intake | None = None
        self._uploads: Uploads | None = None
        self._downloads: Downloads | None = None
        self._renewing: Renewing | None = None
        self._witnessing: Witnessing | None = None

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

    def freeze(self) -> int | None:
        """Deliver nothing any more; returns the last number of the spool that may have been sent, if any."""
        return self._delivery.freeze()

    def checkpoint_made(self) -> bool:
        """Hint: the audit log has a new checkpoint; returns whether the node is told of it."""
        return self._witnessing is not None and self._witnessing.checkpoint_made()

    def no_longer_offered(self, attachment: bytes) -> None:
        """Send no more of an attachment: no message on its way to this node names it."""
        if self._downloads is not None:
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
        elif self.link.session.hub_key not in [static.key.public for static in self._hub.statics]:
            self.link.end(f.Goodbye.RESTARTING, "this hub is known by another key now")
        else:
            self._directory.changed(view)

    def fault(self, fault: RemoteError) -> None:
        """End the session: the node broke the protocol."""
        event(
            _LOG, logging.WARNING, "protocol-fault", facility=self.facility, code=fault.code, text=fault.text
        )
        self._hub.commits.fault(self.facility, fault.code, fault.text)
        self.link.end(f.Goodbye.PROTOCOL_FAULT, f"{fault.code}: {fault.text}")

    def again(self, error: BaseException, work: Callable[[], object]) -> None:
        """Do ``work``, which stands being done twice, once more in a while if only the database was away.

        So that a fail-over does not send thousands of nodes away, to come back all at once.
        """
        if not isinstance(error, _PASSING):
            self.failed(error)
        elif self.link.session.open:
            self._hub.clock.call_later(AWAY_S, self._if_open, work)

    def _if_open(self, work: Callable[[], object]) -> None:
        if self.link.session.open:
            work()

    def failed(self, error: BaseException) -> None:
        """End the session: something here did not work; the node will come back and nothing is lost."""
        if isinstance(error, RemoteError):
            self.fault(error)
            return
        level = logging.WARNING if isinstance(error, StorageError) else logging.ERROR
        event(_LOG, level, "session-failed", facility=self.facility, cause=error)
        self._hub.commits.fault(self.facility, "session-failed", type(error).__name__)
        self.link.end(f.Goodbye.INTERNAL, "this hub could not go on", retry_after_s=1)

    # ── what the link says ─────────────────────────────────────────────────────────────

    def link_event(self, event: LinkEvent) -> None:
        """Act on one event of the link."""
        try:
            self._HANDLERS[type(event)](self, event)
        except RemoteError as fault:
            self.fault(fault)

    def link_has_room(self) -> None:
        """Send chunks on, and messages that waited for room."""
        if self._downloads is not None:
            self._downloads.pump()
        if self._opened:
            self._delivery.wake_if_waiting()

    def link_lost(self, reason: str) -> None:
        """Take note that the node is gone."""
        self._closed(self)
        if self._uploads is not None:
            self._uploads.end()
        if self._opened and self._hub.sessions.remove(self.facility, self):
            self._hub.metrics.sessions.set(len(self._hub.sessions))
            event(_LOG, logging.INFO, "node-left", facility=self.facility, reason=reason)
            self._note_end(reason)

    # ── parts made at their first use ──────────────────────────────────────────────────

    def _take_in(self) -> Intake:
        if self._intake is None:
            self._intake = Intake(self._hub, self)
        return self._intake

    def _upload(self) -> Uploads:
        if self._uploads is None:
            self._uploads = Uploads(self._hub, self)
        return self._uploads

    def _download(self) -> Downloads:
        if self._downloads is None:
            self._downloads = Downloads(self._hub, self, self._delivery)
        return self._downloads

    def _witness(self) -> Witnessing:
        if self._witnessing is None:
            self._witnessing = Witnessing(self._hub, self)
        return self._witnessing

    def _renew(self, frame: f.Renew) -> None:
        if self._renewing is None:
            self._renewing = Renewing(self._hub, self, self._link_key)
        self._renewing.renew(frame)

    # ── opening ────────────────────────────────────────────────────────────────────────

    def _hello(self, hello: HelloReceived) -> None:
        hub = self._hub
        self.software = hello.hello.software.replace("\0", "")  # PostgreSQL takes none
        if hello.joining:
            self._joining = Joining(hub, self, hello)
            self._joining.begin()
            return
        self._link_key = bytes(hello.key)
        self._followed = hello.hello.trust
        self.facility, standing = hub.view.whose(self._link_key)
        if standing is Standing.UNKNOWN and hub.epoch.at_ms:
            self._meet_stranger(hello.hello.credential)
        elif standing is not Standing.ACTIVE:
            reason, text, result, retry_s = REFUSALS[standing]
            self._refuse(reason, text, result, retry_s)
        elif (
            len(hub.sessions) >= hub.settings.limits.max_sessions and hub.sessions.get(self.facility) is None
        ):
            self._refuse(f.Goodbye.TOO_MANY_SESSIONS, "this hub is full", "full", FULL_RETRY_S)
        else:
            self.link.session.welcome(hub.welcome())

    def _meet_stranger(self, statement: bytes) -> None:
        """Hear a caller out that this hub may have forgotten when it was restored."""
        hub = self._hub
        found = knocks.believed(statement, self._link_key, hub.issuer.authority_key) if statement else None
        if found is None:
            reason, text, result, _ = REFUSALS[Standing.UNKNOWN]
            self._refuse(reason, text, result, KNOCK_RETRY_S)
            return
        self._knock = knocks.Knock(found, statement, hub.clock.now_ms())
        self.link.session.welcome(hub.welcome())  # READY will prove that it has the key; it gets no further

    async def _note_knock(self, knock: knocks.Knock) -> None:
        facility, serial = knock.credential.facility, knock.credential.serial
        noted = await self._hub.database.write(lambda connection: knocks.note(connection, knock))
        advice = f"wasl-hub readmit {facility}" if noted else "revoked, or given out since the restore: none"
        event(_LOG, logging.WARNING, "node-knocks", facility=facility, serial=serial, advice=advice)

    def _refuse(self, reason: f.Goodbye, text: str, result: str, retry_after_s: int) -> None:
        self._count_refused(text, result)
        self.link.session.refuse(self._hub.welcome(), f.End(reason, text, retry_after_s))
        self.link.close_after_goodbye()

    def _count_refused(self, text: str, result: str) -> None:
        self._hub.metrics.handshakes[result].inc()
        log = event if self.facility else partial(self._hub.strangers.event, result)
        log(_LOG, logging.WARNING, "node-refused", reason=text, facility=self.facility, peer=self.link.peer)
        if self.facility:
            self._hub.commits.fault(self.facility, f"refused-{result}", text)

    def _open(self, _event: Opened) -> None:
        hub = self._hub
        facility, standing = hub.view.whose(self._link_key)
        if self._knock is not None:
            text = "this hub was restored and does not know your key: its administrator has to confirm it"
            self._count_refused(text, "unknown")
            self.link.end(f.Goodbye.UNKNOWN_KEY, text, KNOCK_RETRY_S)  # first: it must not be heard further
            spawn(self._note_knock(self._knock), self.failed)
            return
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
        self._delivery = Delivery(hub, self)
        self._news = NewsFeed(hub, self)
        self._directory = DirectoryFeed(hub, self, self._followed)
        self._opened = True
        spawn(self._start(), self.failed)
        serial = hub.view.replaces(self._link_key)
        if serial:
            spawn(self._retire_before(serial), self.failed)

    async def _start(self) -> None:
        waiting = await self._note_presence(connected=True)
        assert waiting is not None
        self.claimed = self._hub.follower.looks
        paused, stopped = self._hub.holding.began(self.facility, waiting)
        self._delivery.start(queued=waiting.queued, seen_seq=waiting.seen_seq, paused=paused, stopped=stopped)
        self._news.start(waiting.events_taken, unread=waiting.unread)

    async def _retire_before(self, serial: int) -> None:
        """Let the keys before open no session any more: the node has its newest in use."""
        hub, facility = self._hub, self.facility
        await hub.database.write(lambda connection: store.retire_before(connection, facility, serial))
        await hub.reload_directory()

    async def _note_presence(self, *, connected: bool, reason: str = "") -> Waiting | None:
        called = self.link.session.hub_key
        by = "" if called is None else called.fingerprint()
        return await self._hub.commits.presence(
            Presence(self.facility, connected, self.software, reason, self._followed, by)
        )

    def _note_end(self, reason: str) -> None:
        """Note that the node is gone, unless it is here again meanwhile."""
        if self._hub.sessions.get(self.facility) is None:
            ended = self._note_presence(connected=False, reason=reason)
            spawn(ended, partial(self._end_not_noted, reason))

    def _end_not_noted(self, reason: str, error: BaseException) -> None:
        # Without the note the node counts as connected: its messages wait for it instead of expiring.
        event(_LOG, logging.WARNING, "presence-not-noted", facility=self.facility, cause=error)
        if not isinstance(error, StorageFailed) and not self._hub.database.closing:
            self._hub.clock.call_later(NOTE_AGAIN_S, self._note_end, reason)

    def _broken(self, broken: Broken) -> None:
        self._hub.metrics.handshakes["broken"].inc()
        if not self.facility:
            self._hub.strangers.event(
                broken.code, _LOG, logging.WARNING, "caller-refused", peer=self.link.peer,
                code=broken.code, text=broken.text,
            )  # fmt: skip
            return
        event(
            _LOG, logging.WARNING, "link-broken", facility=self.facility, peer=self.link.peer,
            code=broken.code, text=broken.text,
        )  # fmt: skip
        self._hub.commits.fault(self.facility, broken.code, broken.text)

    def _join(self, frame: f.Join) -> None:
        assert self._joining is not None
        self._joining.join(frame)

    _HANDLERS: ClassVar[dict[type, Callable[[Any, Any], object]]] = {
        f.Again: lambda self, frame: self._take_in().again(frame),
        f.Submit: lambda self, frame: self._take_in().submit(frame),
        f.Resume: lambda self, _frame: self._take_in().resume(),
        f.Taken: lambda self, frame: self._delivery.taken(frame),
        f.Receipts: lambda self, frame: self._news.receipts(frame),
        f.EventsTaken: lambda self, frame: self._news.read(frame),
        f.Offer: lambda self, frame: self._upload().offer(frame),
        f.Chunk: lambda self, frame: self._upload().chunk(frame),
        f.Want: lambda self, frame: self._download().want(frame),
        f.DirectoryWanted: lambda self, frame: self._directory.wanted(frame),
        f.Witnessed: lambda self, frame: self._witness().witnessed(frame),
        f.Renew: _renew,
        f.Pong: lambda _self, _frame: None,
        HelloReceived: _hello,
        Opened: _open,
        PeerLeft: lambda _self, _event: None,
        Broken: _broken,
        f.Join: _join,
    }
