"""One connection to the hub, from WELCOME to goodbye.

Nothing is submitted or opened before the address book is up to date: keys first, then
messages. That holds for every later change as well: what the hub says after a change of the
address book waits until the change is committed here. Everything that this object knows can
be lost: the next session begins from the tables.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from sqlalchemy import Connection

from crypto.errors import BadStatement
from crypto.keys import LinkPublicKey
from nodes.link import addressbook, begin_again, following
from nodes.link.core import SOFTWARE, LinkCore
from nodes.link.fetching import Fetching
from nodes.link.news import News
from nodes.link.receiving import Receiving
from nodes.link.renewal import Renewal
from nodes.link.sending import Sending
from nodes.link.uploads import Uploads
from nodes.link.witness import Witness
from protocols.link import frames as f
from protocols.link import limits, payloads
from protocols.link.errors import LocalError, RemoteError
from protocols.link.session import Broken, LinkEvent, LinkSession, Opened, PeerLeft
from runtime.link import TwistedLink
from runtime.logs import event
from runtime.storage_errors import StorageError
from runtime.tasks import spawn

CLOCK_WARNING_S: Final = 300.0
DIRECTORY_FRAMES: Final = 64
"""Frames of the address book that wait to be committed before no more is read from the hub."""

_LOG = logging.getLogger(__name__)


class SessionLost(Exception):  # noqa: N818 - past tense states the outcome
    """The session ended while something waited for it."""


class NodeSession:
    """Acts on one link's events."""

    def __init__(
        self,
        core: LinkCore,
        closed: Callable[[NodeSession, str], object],
        *,
        hub_key: LinkPublicKey | None = None,
        introduce: bool = False,
    ) -> None:
        """Call by ``hub_key``, or the present one; ``introduce``: show the credential to who forgot it."""
        self._core = core
        self._closed = closed
        identity = core.identity
        self.hub_key = hub_key or identity.hub_key
        hello = payloads.Hello(
            SOFTWARE,
            core.clock.now_ms(),
            limits.DELIVER_WINDOW,
            trust=identity.trust_serial,
            credential=identity.credential_blob if introduce else b"",
        )
        session = LinkSession.node(
            static=identity.keys.link,
            hub_key=self.hub_key,
            hub_name=identity.hub_name,
            hello=hello,
            now_ms=core.clock.now_ms,
        )
        self.link = TwistedLink(session, self, core.clock)
        self.directory_complete = False
        self.refusal: f.End | None = None
        self.opened = False
        self.gave_up = False
        self._welcome: payloads.Welcome | None = None
        self._directory: deque[f.Directory] = deque()
        self._events: deque[f.Events] = deque()
        self._reading_directory = False
        self._reading_events = False
        self.sending = Sending(core, self)
        self.receiving = Receiving(core, self)
        self.news = News(core, self)
        self.uploads = Uploads(core, self)
        self.fetching = Fetching(core, self)
        self.witness = Witness(core, self)
        self.renewal = Renewal(core, self)
        self._handlers = self._by_type()

    def _by_type(self) -> dict[type, Callable[[Any], object]]:
        """Return what acts on each event and frame of the link."""
        return {
            Opened: self._open,
            PeerLeft: self._left,
            Broken: lambda _event: None,
            f.Accepted: self.sending.accepted,
            f.Refused: self.sending.refused,
            f.Busy: self.sending.busy,
            f.Deliver: self.receiving.deliver,
            f.ReceiptsStored: self.news.stored,
            f.Events: self._told,
            f.Want: self.uploads.wanted,
            f.Stored: self.uploads.stored,
            f.FileRefused: self._file_refused,
            f.Chunk: self.fetching.chunk,
            f.Directory: self._directory_told,
            f.Checkpoint: self.witness.told,
            f.Renewed: self.renewal.renewed,
            f.Pong: lambda _frame: None,
        }

    # ── what other parts say ───────────────────────────────────────────────────────────

    @property
    def ready(self) -> bool:
        """Messages may be submitted."""
        return self.directory_complete and self.link.session.open

    @property
    def keys_current(self) -> bool:
        """Every change of the address book that the hub has told is committed: signatures may be judged."""
        return self.directory_complete and not self._reading_directory

    def say(self, frame: f.AnyFrame) -> None:
        """Send a frame if the session is still open; what is not said is found again in the tables."""
        if self.link.session.open:
            try:
                self.link.send(frame)
            except LocalError as error:
                self.failed(error)

    def wake(self) -> None:
        """Hint: there may be messages or receipts to send."""
        if self.ready:
            self.sending.wake()
            self.news.wake()

    def fault(self, fault: RemoteError) -> None:
        """End the session: the hub broke the protocol."""
        event(_LOG, logging.WARNING, "protocol-fault", code=fault.code, text=fault.text)
        self.gave_up = True
        self.link.end(f.Goodbye.PROTOCOL_FAULT, f"{fault.code}: {fault.text}")

    def failed(self, error: BaseException) -> None:
        """End the session: something here did not work; the next one begins from the tables."""
        if isinstance(error, SessionLost):
            return
        if isinstance(error, RemoteError):
            self.fault(error)
            return
        level = logging.WARNING if isinstance(error, StorageError) else logging.ERROR
        event(_LOG, level, "session-failed", cause=error)
        self.gave_up = True
        self.link.end(f.Goodbye.INTERNAL, "this node could not go on")

    async def alarm(self, code: str, text: str) -> None:
        """Tell the operator: log, count, and keep it."""
        await self._core.post.alarm(code, text)

    # ── what the link says ─────────────────────────────────────────────────────────────

    def link_event(self, event: LinkEvent) -> None:
        """Act on one event of the link."""
        try:
            self._handlers[type(event)](event)
        except RemoteError as fault:
            self.fault(fault)

    def link_has_room(self) -> None:
        """Send chunks on. Messages that waited for room are looked at again by the next ``wake``."""
        self.uploads.pump()

    def link_lost(self, reason: str) -> None:
        """Take note that the hub is gone."""
        self.directory_complete = False
        self.fetching.lost(SessionLost)
        self._closed(self, reason)

    def _left(self, left: PeerLeft) -> None:
        self.refusal = left.end

    def _open(self, opened: Opened) -> None:
        assert opened.welcome is not None
        self.opened = True
        self._welcome = opened.welcome
        spawn(self._start(opened.welcome), self.failed)

    async def _start(self, welcome: payloads.Welcome) -> None:
        clock = self._core.clock
        if self.hub_key == self._core.identity.hub_key_next:
            await following.move(self._core)
            event(_LOG, logging.INFO, "hub-key-moved", hub_key=self.hub_key.fingerprint())
        self._core.hub_epoch_ms = welcome.now_ms - clock.monotonic_s() * 1000
        skew_s = (welcome.now_ms - clock.now_ms()) / 1000
        self._core.metrics.clock_skew.set(skew_s)
        # First, so that it stands before the note of this session's end, however soon that comes.
        began = partial(begin_again.session_began, welcome=welcome, ahead_ms=welcome.now_ms - clock.now_ms())
        begun = await self._core.database.write(began)
        self._core.again_seq = begun.again_seq
        if begun.again:
            event(
                _LOG,
                logging.WARNING,
                "hub-restored",
                submitted_again=begun.messages,
                said_again=begun.receipts,
            )
            await self.alarm("hub-restored", begun.told())
        if abs(skew_s) > CLOCK_WARNING_S:
            text = f"the hub's clock is {skew_s:+.0f} s from ours: set this machine's clock"
            await self.alarm("clock", text)
        version = await self._core.database.read(addressbook.version)
        self.say(f.DirectoryWanted(version))

    # ── directory ──────────────────────────────────────────────────────────────────────

    def _directory_told(self, frame: f.Directory) -> None:
        self._directory.append(frame)
        if len(self._directory) >= DIRECTORY_FRAMES:
            self.link.pause_reading()
        if not self._reading_directory:
            self._reading_directory = True
            spawn(self._read_directory(), self.failed)

    async def _read_directory(self) -> None:
        core = self._core
        complete = False
        try:
            while self._directory:
                frame = self._directory.popleft()
                await self._follow(frame.trust)
                distrusted = await core.database.write(partial(self._merge, frame=frame))
                await following.take_own(core, frame.entries)
                for problem in distrusted:
                    await self.alarm("directory", str(problem))
                complete = complete or frame.complete
                if not self._directory:
                    await core.reload_trust()
        finally:
            self._reading_directory = False
        self.link.resume_reading()
        if complete and not self.directory_complete and self.link.session.open:
            self.directory_complete = True
            event(_LOG, logging.INFO, "connected", hub=core.identity.hub_name)
            assert self._welcome is not None
            self.witness.begin(self._welcome)
            self.renewal.look()
        self._go_on()

    def _merge(self, connection: Connection, *, frame: f.Directory) -> list[addressbook.Distrusted]:
        authorities = self._core.identity.authorities
        return addressbook.merge_all(connection, frame.entries, *authorities, complete=frame.complete)

    async def _follow(self, changes: tuple[bytes, ...]) -> None:
        """Follow changes of the network's own keys; call again soon, so that the hub hears of it."""
        core = self._core
        try:
            if not await following.follow(core, changes):
                return
        except BadStatement as fault:
            await self.alarm("trust-refused", f"the hub names keys that the authority did not: {fault}")
            return
        event(_LOG, logging.INFO, "trust-followed", serial=core.identity.trust_serial)
        wait_s = core.random.uniform(0, following.CALL_AGAIN_S)
        core.clock.call_later(wait_s, self.call_again, "this node has heard of other keys of the network")

    def call_again(self, why: str) -> None:
        """End this session in good order; the next one begins at once."""
        self.link.end(f.Goodbye.DONE, why)

    def _go_on(self) -> None:
        """Do what waited for the keys."""
        if self.keys_current:
            self.wake()
            self.receiving.go_on()
            self._read_events_soon()

    # ── events, in order ───────────────────────────────────────────────────────────────

    def _told(self, frame: f.Events) -> None:
        self._events.append(frame)
        self._read_events_soon()

    def _read_events_soon(self) -> None:
        if not self._reading_events and self.keys_current:
            self._reading_events = True
            spawn(self._read_events(), self.failed)

    async def _read_events(self) -> None:
        try:
            while self._events and self.keys_current:
                await self.news.events(self._events.popleft())
        finally:
            self._reading_events = False

    def _file_refused(self, frame: f.FileRefused) -> None:
        if not self.fetching.refused(frame):
            self.uploads.refused(frame)
