"""The attachment store as the reactor sees it: the calls of :mod:`hub.files.core`, in a thread of their own.

Every call is handed to one executor, which runs them one by one in the order of the calls, so the blocking
core needs no locks and a session may send ``append``, ``append``, ``sync`` without waiting in between. What
the calls promise and raise is written there; here it arrives through a Deferred. A StorageFailed also calls
``on_fatal``, which has to end the process.

Not done here: bounding what waits. A session holds back by credits; what it was not granted does not come.
"""

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from hub.files.core import FLOOR_BYTES, AttachmentFiles, StoredFile
from runtime.executors import Executor
from runtime.storage_errors import StorageFailed

_T = TypeVar("_T")


class AttachmentStore:
    """Owns the executor: :meth:`close` stops it. Its methods are some of those of ``AttachmentFiles``.

    Making one blocks while ``directory`` is searched for unfinished uploads; raises StorageError.
    """

    def __init__(
        self,
        directory: Path,
        *,
        executor: Executor,
        now_ms: Callable[[], int],
        on_fatal: Callable[[BaseException], None],
        floor_bytes: int = FLOOR_BYTES,
        shared: bool = False,
    ) -> None:
        self._executor = executor
        self._on_fatal = on_fatal
        self._files = AttachmentFiles(directory, now_ms=now_ms, floor_bytes=floor_bytes, shared=shared)

    def open_upload(
        self, owner_facility: str, attachment_id: bytes, size_bytes: int, root: bytes
    ) -> "Deferred[int]":
        """Begin or resume; fires with the next chunk to send."""
        return self._run(lambda: self._files.open_upload(owner_facility, attachment_id, size_bytes, root))

    def append(
        self, owner_facility: str, attachment_id: bytes, first_index: int, chunks: Sequence[bytes]
    ) -> "Deferred[int]":
        """Store chunks, not durably yet; fires with the next chunk expected."""
        return self._run(lambda: self._files.append(owner_facility, attachment_id, first_index, chunks))

    def sync(self, owner_facility: str, attachment_id: bytes) -> "Deferred[int]":
        """Make them durable; fires with the number that may be acknowledged."""
        return self._run(lambda: self._files.sync(owner_facility, attachment_id))

    def finish(self, owner_facility: str, attachment_id: bytes) -> "Deferred[None]":
        """Check the whole and keep it."""
        return self._run(lambda: self._files.finish(owner_facility, attachment_id))

    def read(
        self, owner_facility: str, attachment_id: bytes, first_index: int, count: int
    ) -> "Deferred[list[bytes]]":
        """Fire with verified sealed chunks."""
        return self._run(lambda: self._files.read(owner_facility, attachment_id, first_index, count))

    def has(
        self, owner_facility: str, attachment_id: bytes, size_bytes: int, root: bytes
    ) -> "Deferred[bool]":
        """Fire with whether this very attachment is here, finished."""
        return self._run(lambda: self._files.has(owner_facility, attachment_id, size_bytes, root))

    def let_go(self, owner_facility: str, attachment_id: bytes) -> "Deferred[None]":
        """Close an unfinished upload."""
        return self._run(lambda: self._files.let_go(owner_facility, attachment_id))

    def delete(self, owner_facility: str, attachment_id: bytes) -> "Deferred[bool]":
        """Remove it; fires with whether it was there."""
        return self._run(lambda: self._files.delete(owner_facility, attachment_id))

    def sweep(self, keep: AbstractSet[bytes], older_than_ms: int) -> "Deferred[list[StoredFile]]":
        """Remove what is old and whose storage key is not in ``keep``; fires with what was removed."""
        return self._run(lambda: self._files.sweep(keep, older_than_ms))

    async def close(self) -> None:
        """Finish what was asked for, sync and close the files, stop the executor."""
        try:
            await self._run(self._files.close)
        finally:
            self._executor.stop()

    def _run(self, work: Callable[[], _T]) -> "Deferred[_T]":
        return self._executor.run(work).addErrback(self._failed)

    def _failed(self, failure: Failure) -> Failure:
        if isinstance(failure.value, StorageFailed):
            self._on_fatal(failure.value)
        return failure
