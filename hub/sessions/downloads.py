"""Attachments on their way out: the node says WANT, the hub sends just those chunks.

A node may ask only for attachments of messages that are now being delivered to it. Chunks
are read a few at a time, each checked against its hash, and only as fast as the
connection takes them. However many attachments are asked for, only ``limits.TRANSFERS`` of
them are read and sent at a time; the others wait for their turn. So one that the node has
given up costs what was asked for of it, and keeps nobody waiting for longer.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Final

from hub.core import HubCore
from hub.files.errors import AttachmentError, AttachmentMissing, Damaged
from hub.sessions.delivery import Delivery, Offered
from protocols.link import frames as f
from protocols.link import limits
from protocols.link.errors import RemoteError
from runtime.storage_errors import StorageError
from runtime.tasks import spawn

if TYPE_CHECKING:
    from hub.sessions.session import HubSession

CHUNKS_PER_READ: Final = 16
RETRY_MS: Final = 10_000


@dataclass(slots=True)
class _Download:
    id: bytes
    offered: Offered
    next: int
    until: int
    ready: deque[f.Chunk] = field(default_factory=deque)
    reading: bool = False

    @property
    def idle(self) -> bool:
        """All that was asked for has been sent."""
        return not self.ready and not self.reading and self.next >= self.until


class Downloads:
    """The sending side of one session. ``_busy`` are those of ``_downloads`` with something left to send."""

    def __init__(self, hub: HubCore, session: HubSession, delivery: Delivery) -> None:
        self._hub = hub
        self._session = session
        self._delivery = delivery
        self._downloads: dict[bytes, _Download] = {}
        self._busy: dict[bytes, _Download] = {}

    def want(self, frame: f.Want) -> None:
        """Send the chunks of this range that this session has not sent yet."""
        if not frame.first <= frame.until <= frame.first + limits.CHUNK_WINDOW:
            raise RemoteError(
                "window", f"chunks {frame.first} to {frame.until}; ask for {limits.CHUNK_WINDOW}"
            )
        offered = self._delivery.offered(frame.id)
        if offered is None:
            self._session.say(f.FileRefused(frame.id, "not-yours", "no message for you names it", 0))
            return
        if frame.until > offered.chunks:
            text = f"chunks up to {frame.until} of {offered.chunks}"
            self._session.say(f.FileRefused(frame.id, "past-end", text, 0))
            self.drop(frame.id)
            return
        download = self._downloads.get(frame.id)
        if download is None:
            download = self._downloads[frame.id] = _Download(frame.id, offered, frame.first, frame.until)
        elif frame.first > download.next or frame.until < download.until:
            raise RemoteError("out-of-turn", f"WANT goes back, or past chunk {download.next}")
        download.until = frame.until
        self._busy.setdefault(frame.id, download)
        self.pump()

    def drop(self, attachment: bytes) -> None:
        """Send no more of an attachment: no message on its way to this node names it any more."""
        self._downloads.pop(attachment, None)
        self._busy.pop(attachment, None)

    def pump(self) -> None:
        """Send what is ready while the connection takes it, and read on."""
        done = True
        while done:
            turns = list(islice(self._busy.values(), limits.TRANSFERS))
            done = False
            for download in turns:
                self._send(download)
                if download.idle:
                    done = True
                    self._busy.pop(download.id, None)
                    if download.next >= download.offered.chunks:
                        self.drop(download.id)

    def _send(self, download: _Download) -> None:
        link = self._session.link
        while download.ready and link.has_room:
            chunk = download.ready.popleft()
            self._hub.metrics.file_bytes_out.inc(len(chunk.data))
            link.send(chunk)
        room = CHUNKS_PER_READ - len(download.ready)
        if room > 0 and not download.reading and download.next < download.until:
            download.reading = True
            spawn(self._read(download), self._session.failed)

    async def _read(self, download: _Download) -> None:
        count = min(CHUNKS_PER_READ, download.until - download.next)
        try:
            chunks = await self._hub.files.read(download.offered.owner, download.id, download.next, count)
        except (Damaged, AttachmentMissing) as error:
            # It will not come back by itself: waiting for it would hold the node's transfers for ever.
            if self._stop(download, "damaged", str(error), 0):
                self._delivery.damaged(download.id)
            return
        except (AttachmentError, StorageError) as error:
            self._stop(download, "unreadable", str(error), RETRY_MS)
            return
        finally:
            download.reading = False
        if self._downloads.get(download.id) is not download:
            return  # dropped meanwhile
        for data in chunks:
            download.ready.append(f.Chunk(download.id, download.next, data))
            download.next += 1
        self.pump()

    def _stop(self, download: _Download, code: str, text: str, retry_after_ms: int) -> bool:
        """Refuse the rest, unless it was dropped meanwhile; returns whether it was not."""
        if self._downloads.get(download.id) is not download:
            return False
        self.drop(download.id)
        text = text[: limits.REASON_TEXT_CHARS]
        self._session.say(f.FileRefused(download.id, code, text, retry_after_ms))
        self.pump()
        return True
