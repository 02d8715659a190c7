"""Our attachments on their way to the hub: OFFER, then just the chunks that it WANTs.

The sealed file lies on our disk since the put, so a chunk sent again is the same chunk.
The hub says from where on it wants; after a cut at most the chunks it had not made durable
go again. Chunks are read a few at a time and sent only as fast as the connection takes
them, behind every other frame.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

from twisted.internet.defer import Deferred

from crypto.filestream import chunk_count
from nodes.link import progress
from nodes.link.core import LinkCore
from nodes.link.progress import OutgoingFile
from nodes.link.reading import sealed_chunks
from protocols.link import frames as f
from protocols.link import limits
from protocols.link.errors import RemoteError
from runtime import crash
from runtime.logs import event
from runtime.tasks import spawn

if TYPE_CHECKING:
    from nodes.link.session import NodeSession

CHUNKS_PER_READ: Final = 16
SHOW_EVERY_S: Final = 1.0

_LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class _Upload:
    file: OutgoingFile
    next: int = 0
    until: int = 0
    ready: deque[f.Chunk] = field(default_factory=deque)
    reading: bool = False
    shown_s: float = 0.0


class Uploads:
    """The sending side of attachments in one session; ``limits.TRANSFERS`` at once."""

    def __init__(self, core: LinkCore, session: NodeSession) -> None:
        self._core = core
        self._session = session
        self._waiting: dict[bytes, OutgoingFile] = {}
        self._uploads: dict[bytes, _Upload] = {}

    def need(self, files: Sequence[OutgoingFile]) -> None:
        """See to it that the hub gets these; asked again for the same file, nothing more happens."""
        for file in files:
            if file.id not in self._uploads:
                self._waiting.setdefault(file.id, file)
        self._begin()

    def _begin(self) -> None:
        while self._waiting and len(self._uploads) < limits.TRANSFERS:
            identifier = next(iter(self._waiting))
            file = self._waiting.pop(identifier)
            self._uploads[identifier] = _Upload(file)
            self._session.say(f.Offer(file.id, file.size, file.root))

    def wanted(self, frame: f.Want) -> None:
        """Send the chunks of this range that this session has not sent yet."""
        upload = self._uploads.get(frame.id)
        if upload is None:
            return
        if not frame.first <= frame.until <= frame.first + limits.CHUNK_WINDOW:
            raise RemoteError("window", f"chunks {frame.first} to {frame.until}")
        if frame.until > chunk_count(upload.file.size):
            raise RemoteError("out-of-turn", f"chunk {frame.until - 1} of a file of {upload.file.size} bytes")
        upload.next = max(upload.next, frame.first)
        upload.until = max(upload.until, frame.until)
        self._show(upload, frame.first)
        self.pump()

    def _show(self, upload: _Upload, chunks: int) -> None:
        """Let people who watch see how far it is, once a second at most."""
        now_s = self._core.clock.monotonic_s()
        if now_s - upload.shown_s >= SHOW_EVERY_S:
            upload.shown_s = now_s
            note = partial(progress.note_sent, identifier=upload.file.id, chunks=chunks)
            spawn(_awaited(self._core.database.write(note)), self._session.failed)

    def pump(self) -> None:
        """Send what is ready while the connection takes it, and read on."""
        link = self._session.link
        if not link.session.open:
            return
        for upload in list(self._uploads.values()):
            while upload.ready and link.has_room:
                link.send(upload.ready.popleft())
            if len(upload.ready) < CHUNKS_PER_READ and not upload.reading and upload.next < upload.until:
                upload.reading = True
                spawn(self._read(upload), self._session.failed)

    async def _read(self, upload: _Upload) -> None:
        first = upload.next
        count = min(CHUNKS_PER_READ, upload.until - first)
        path = self._core.home / upload.file.path
        try:
            chunks = await self._core.file_worker.run(partial(sealed_chunks, path, first, count))
        except OSError as error:
            self._give_up(upload, "file-lost", f"the sealed file cannot be read any more: {error}")
            return
        finally:
            upload.reading = False
        if len(chunks) < count:
            self._give_up(upload, "file-lost", f"the sealed file ends before chunk {first + count}")
            return
        for index, data in enumerate(chunks, first):
            if index >= upload.next:  # a WANT may have gone on meanwhile
                upload.ready.append(f.Chunk(upload.file.id, index, data))
                upload.next = index + 1
        crash.reached("node-chunks-read")
        self.pump()

    def stored(self, frame: f.Stored) -> None:
        """Note that the hub has all of it; its message may go."""
        upload = self._uploads.pop(frame.id, None)
        if upload is not None:
            upload.shown_s = -SHOW_EVERY_S
            self._show(upload, chunk_count(upload.file.size))
            self._session.sending.stored(frame.id)
            self._begin()

    def refused(self, frame: f.FileRefused) -> None:
        """Try again later, or give the message back."""
        upload = self._uploads.get(frame.id)
        if upload is None:
            return
        event(_LOG, logging.WARNING, "attachment-refused", code=frame.code, text=frame.text)
        if not frame.retry_after_ms:
            self._give_up(upload, frame.code, frame.text)
            return
        self._core.clock.call_later(frame.retry_after_ms / 1000, self._again, upload.file)

    def _again(self, file: OutgoingFile) -> None:
        self._uploads.pop(file.id, None)
        if self._session.ready:
            self.need([file])

    def _give_up(self, upload: _Upload, code: str, text: str) -> None:
        self._uploads.pop(upload.file.id, None)
        self._session.sending.file_refused(upload.file.id, code, text)
        self._begin()


async def _awaited(done: Deferred[None]) -> None:
    await done
