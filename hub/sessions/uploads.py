"""Attachments on their way in: OFFER, WANT, CHUNK, STORED.

The hub asks for a window of chunks, stores what comes, makes it durable half a window at a
time, and asks for as much again from there while the other half is on its way: WANT never
begins behind a chunk that a power cut could still take. Only
when the whole is durable and its root is right does it say STORED, and only then may a
message that names the attachment be accepted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from config.fields import size_text
from crypto.filestream import SEALED_CHUNK_BYTES, chunk_count
from hub.core import HubCore
from hub.files.errors import AttachmentError, AttachmentMissing, BeingUploaded, Damaged, TooManyUploads
from protocols.link import frames as f
from protocols.link import limits
from protocols.link.errors import RemoteError
from runtime import crash
from runtime.storage_errors import StorageError, StorageFull
from runtime.tasks import spawn

if TYPE_CHECKING:
    from hub.sessions.session import HubSession

RETRY_MS: Final = 10_000
CHUNKS_PER_SYNC: Final = limits.CHUNK_WINDOW // 2
ELSEWHERE_MS: Final = 1_000
"""Until another hub process has noticed that the node is no longer there."""


@dataclass(slots=True)
class _Upload:
    id: bytes
    chunks: int
    expected: int = 0
    durable: int = 0
    until: int = 0
    waiting: list[bytes] = field(default_factory=list)
    running: bool = False


class Uploads:
    """The storing side of one session; at most ``limits.TRANSFERS`` attachments at once."""

    def __init__(self, hub: HubCore, session: HubSession) -> None:
        self._hub = hub
        self._session = session
        self._uploads: dict[bytes, _Upload] = {}
        self._over = False

    def end(self) -> None:
        """Close what is unfinished, since the session is over: the node may go on at another process."""
        self._over = True
        if self._hub.shared:
            spawn(self._let_go(), self._session.failed)

    async def _let_go(self) -> None:
        for identifier in list(self._uploads):
            await self._hub.files.let_go(self._session.facility, identifier)

    def _done(self, upload: _Upload) -> bool:
        """Return whether there is nothing to store; after the session's end it would be opened again."""
        return self._over or not upload.waiting

    def offer(self, frame: f.Offer) -> None:
        """Begin or resume an attachment."""
        if frame.size > self._hub.settings.limits.max_attachment_bytes:
            most = self._hub.settings.limits.max_attachment_bytes
            text = f"{size_text(frame.size)}, this hub takes up to {size_text(most)}"
            self._refuse(frame.id, "too-large", text, 0)
            return
        if frame.id in self._uploads:
            # Each OFFER costs a turn of the only thread of the store: asking on would stall everybody.
            raise RemoteError("out-of-turn", "OFFER again, before STORED or FILE_REFUSED")
        if len(self._uploads) >= limits.TRANSFERS:
            raise RemoteError("window", f"more than {limits.TRANSFERS} attachments at once")
        upload = _Upload(frame.id, chunk_count(frame.size), running=True)
        self._uploads[frame.id] = upload
        spawn(self._begin(upload, frame), self._session.failed)

    async def _begin(self, upload: _Upload, frame: f.Offer) -> None:
        facility = self._session.facility
        try:
            upload.expected = await self._hub.files.open_upload(facility, frame.id, frame.size, frame.root)
            await self._go_on(upload, upload.expected)
        except (AttachmentError, StorageError) as error:
            self._failed(upload, error)
        finally:
            upload.running = False

    def chunk(self, frame: f.Chunk) -> None:
        """Take the next chunk of an attachment that was asked for."""
        upload = self._uploads.get(frame.id)
        if upload is None:
            return
        if frame.index != upload.expected or frame.index >= upload.until:
            raise RemoteError("out-of-turn", f"chunk {frame.index}, wanted is {upload.expected}")
        if len(frame.data) > SEALED_CHUNK_BYTES:
            raise RemoteError("too-large", f"chunk of {len(frame.data)} bytes, at most {SEALED_CHUNK_BYTES}")
        upload.expected += 1
        upload.waiting.append(frame.data)
        if not upload.running:
            upload.running = True
            spawn(self._run(upload), self._session.failed)

    async def _run(self, upload: _Upload) -> None:
        facility, files = self._session.facility, self._hub.files
        try:
            while not self._done(upload):
                chunks, upload.waiting = upload.waiting, []
                first = upload.expected - len(chunks)
                await files.append(facility, upload.id, first, chunks)
                if self._over:
                    return
                self._hub.metrics.file_bytes_in.inc(sum(map(len, chunks)))
                stored = first + len(chunks)
                if stored - upload.durable >= CHUNKS_PER_SYNC or stored >= upload.until:
                    durable = await files.sync(facility, upload.id)
                    crash.reached("hub-chunks-stored")
                    await self._go_on(upload, durable)
        except (AttachmentError, StorageError) as error:
            self._failed(upload, error)
        finally:
            upload.running = False

    async def _go_on(self, upload: _Upload, durable: int) -> None:
        if self._over:
            return
        upload.durable = durable
        if durable < upload.chunks:
            upload.until = min(durable + limits.CHUNK_WINDOW, upload.chunks)
            self._session.say(f.Want(upload.id, durable, upload.until))
            return
        await self._hub.files.finish(self._session.facility, upload.id)
        self._uploads.pop(upload.id, None)
        self._session.say(f.Stored(upload.id))

    def _failed(self, upload: _Upload, error: Exception) -> None:
        self._uploads.pop(upload.id, None)
        # What this hub's disk lost is no fault of the sender's: it begins again from chunk 0.
        later = isinstance(error, (StorageError, TooManyUploads, Damaged, AttachmentMissing))
        if isinstance(error, BeingUploaded):
            self._refuse(upload.id, "try-later", str(error), ELSEWHERE_MS)
            return
        code = "no-room" if isinstance(error, StorageFull) else "try-later" if later else "bad-attachment"
        self._refuse(upload.id, code, str(error), RETRY_MS if later else 0)

    def _refuse(self, identifier: bytes, code: str, text: str, retry_after_ms: int) -> None:
        self._session.say(f.FileRefused(identifier, code, text[: limits.REASON_TEXT_CHARS], retry_after_ms))
