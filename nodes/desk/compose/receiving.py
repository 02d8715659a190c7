"""Files on their way into a draft: announced, received piece by piece, kept once they are whole.

A browser announces name and size and gets a place. Then it sends pieces of ``PIECE_BYTES``, each at the
offset where the one before ended, each with its SHA-256 if the browser can reckon it. A piece is answered
when it is durable, so after a cut the offset that is asked for is the truth, and at most one piece is sent
twice. At the end the browser may say the root, the SHA-256 over the SHA-256 of all pieces: what lies on the
disk is read once more and must have it; if not, all of it is thrown away and begins anew.

``mark`` is a text by which the browser knows the same file again after a reload; announcing the same mark
goes on where the upload was. The files themselves are an :class:`nodes.gateways.api.uploads.Uploads` of the
desk's own directory. Everything here blocks, and may be called in any thread of the one desk of a home.
"""

from __future__ import annotations

import hmac
import mimetypes
import os
from collections.abc import Iterable
from pathlib import Path
from threading import Lock
from typing import BinaryIO, Final

from sqlalchemy import Connection

from crypto.primitives import sha256_stream
from nodes.desk import audit, heavy
from nodes.desk.compose import bounds, service, store
from nodes.desk.compose.store import Upload
from nodes.desk.context import Desk, Visitor
from nodes.desk.errors import DeskRefused, NotThere
from nodes.gateways.api.uploads import Uploads
from nodes.link.files import safe_name
from nodes.link.ids import id_text, new_id
from runtime import disk
from runtime.transactions import transact

DIRECTORY: Final = bounds.DRAFTS_DIRECTORY
ORPHAN_MS: Final = bounds.DAY_MS
_MARK_CHARS: Final = 300
_UNKNOWN_TYPE: Final = "application/octet-stream"
_LOCKS: Final = tuple(Lock() for _ in range(64))
"""Two pieces of one file are never written at once; a desk is one process."""


class WrongOffset(DeskRefused):
    """A piece does not follow what is here; ``received`` is where the next one must begin."""

    def __init__(self, received: int) -> None:
        super().__init__("wrong-offset", f"{received} bytes are here: go on from there")
        self.received = received


def drawer(desk: Desk) -> Uploads:
    """Return where the files are, made if need be; they leave more room than deliveries have to."""
    files = Uploads(desk.home, bounds.DRAFTS_FLOOR * desk.settings.disk.floor_bytes, DIRECTORY)
    files.make()
    return files


def announce(desk: Desk, who: Visitor, draft: str, name: str, size: int, mark: str) -> Upload:
    """Return a place for a file; the one of before if the same mark was announced and is not whole.

    Raises NotThere, DeskRefused (empty-file, too-large, too-many-files, too-much), NoRoom.
    """
    if size <= 0:
        raise DeskRefused("empty-file", f"{name[:80]!r} is empty")
    if size > bounds.FILE_BYTES:
        raise DeskRefused(
            "too-large", f"{name[:80]!r} has {size} bytes; at most {bounds.FILE_BYTES} are taken"
        )
    mark = mark[:_MARK_CHARS]
    known = desk.read(lambda c: _unfinished(c, who, draft, size, mark))
    if known is not None:
        return known
    files = drawer(desk)
    files.check_room(size)
    path, file = files.begin()
    file.close()
    now_ms = desk.clock.now_ms()

    def enter(connection: Connection) -> Upload:
        service.writable(connection, who.name, draft)
        present = store.uploads_of(connection, draft)
        if len(present) >= bounds.FILES:
            raise DeskRefused("too-many-files", f"a message has at most {bounds.FILES} attachments")
        if store.bytes_of(connection, who.name) + size > bounds.DRAFTS_BYTES:
            raise DeskRefused("too-much", f"an account's drafts hold at most {bounds.DRAFTS_BYTES} bytes")
        free = _free_name(safe_name(name), {one.name for one in present})
        made = Upload(id_text(new_id(now_ms)), draft, free, size, mark, 0, path.name, "")
        store.add_upload(connection, made)
        return made

    try:
        return transact(desk.engine, enter)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _unfinished(connection: Connection, who: Visitor, draft: str, size: int, mark: str) -> Upload | None:
    service.writable(connection, who.name, draft)
    return next(
        (
            one
            for one in store.uploads_of(connection, draft)
            if mark and one.mark == mark and one.size == size and not one.whole
        ),
        None,
    )


def _free_name(name: str, taken: set[str]) -> str:
    """Return ``name``, with a number before its suffix if another file of the draft has it."""
    if name not in taken:
        return name
    path = Path(name)
    numbered = (f"{path.stem} ({number}){path.suffix}" for number in range(2, bounds.FILES + 2))
    return safe_name(next(one for one in numbered if one not in taken))


def find(connection: Connection, who: Visitor, draft: str, identifier: str) -> Upload:
    """Return a file of one's own draft. Raises NotThere."""
    service.own(connection, who.name, draft)
    found = store.find_upload(connection, draft, identifier[:64])
    if found is None:
        raise NotThere("no-such-file", f"there is no file {identifier[:64]!r} in this draft")
    return found


def piece(
    desk: Desk, who: Visitor, draft: str, identifier: str, offset: int, data: bytes, digest: bytes | None
) -> int:
    """Take the piece at ``offset``; durable when this returns how much of the file is here.

    ``digest`` is the piece's SHA-256, None if its sender cannot reckon it. Raises NotThere, WrongOffset,
    DeskRefused (complete, bad-piece, bad-hash), NoRoom, StorageError.
    """
    with _LOCKS[hash(identifier) % len(_LOCKS)]:
        upload = desk.read(lambda c: find(c, who, draft, identifier))
        if upload.whole:
            raise DeskRefused("complete", "all of this file is here")
        if offset != upload.received:
            raise WrongOffset(upload.received)
        due = min(bounds.PIECE_BYTES, upload.size - offset)
        if len(data) != due or not due:
            raise DeskRefused("bad-piece", f"the piece has {len(data)} bytes; {due} are due at {offset}")
        if digest is not None and not hmac.compare_digest(digest, sha256_stream(data).digest()):
            raise DeskRefused("bad-hash", "the piece was damaged on its way: send it again")
        files = drawer(desk)
        files.check_room(len(data))
        if not _write(files.part(upload.part), offset, data):
            _begin_again(desk, files, upload)
            raise WrongOffset(0)
        after = offset + len(data)
        if not transact(desk.engine, lambda c: store.advance(c, identifier, offset, after)):
            raise WrongOffset(upload.received)
        return after


def _write(path: Path, offset: int, data: bytes) -> bool:
    """Write durably; False if the file of what came before is not there any more."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        if os.fstat(descriptor).st_size < offset:
            return False
        with disk.saying(path):
            disk.write_all(descriptor, [data], offset)
        disk.sync_file(descriptor, path)
    finally:
        os.close(descriptor)
    return True


def _begin_again(desk: Desk, files: Uploads, upload: Upload) -> None:
    path, file = files.begin()
    file.close()
    transact(desk.engine, lambda c: store.begin_again(c, upload.id, path.name))
    if upload.part:
        files.part(upload.part).unlink(missing_ok=True)


def finish(desk: Desk, who: Visitor, draft: str, identifier: str, root: bytes | None) -> Upload:
    """Keep a file that has come whole; again the same if it is kept already.

    Raises NotThere, DeskRefused (incomplete; bad-root: it begins anew; busy), StorageError.
    """
    with _LOCKS[hash(identifier) % len(_LOCKS)]:
        upload = desk.read(lambda c: find(c, who, draft, identifier))
        if upload.whole:
            return upload
        if upload.received != upload.size:
            raise DeskRefused("incomplete", f"{upload.received} of {upload.size} bytes are here")
        files = drawer(desk)
        path = files.part(upload.part)
        with heavy.turn(upload.size):
            if not path.exists() or (root is not None and not hmac.compare_digest(root, root_of(path))):
                _begin_again(desk, files, upload)
                raise DeskRefused("bad-root", "what came is not the file that was sent: it begins anew")
            return _keep(desk, who, files, upload)


def root_of(path: Path) -> bytes:
    """Return the SHA-256 over the SHA-256 of all pieces of a file."""
    whole = sha256_stream()
    with path.open("rb") as file:
        while part := file.read(bounds.PIECE_BYTES):
            whole.update(sha256_stream(part).digest())
    return whole.digest()


def _keep(desk: Desk, who: Visitor, files: Uploads, upload: Upload) -> Upload:
    media_type = mimetypes.guess_type(upload.name)[0] or _UNKNOWN_TYPE
    path, now_ms = files.part(upload.part), desk.clock.now_ms()
    with disk.saying(path):
        kept = files.keep(path, upload.name, media_type, now_ms)

    def note(connection: Connection) -> Upload:
        store.keep(connection, upload.id, kept.id)
        details = {"name": upload.name, "size": str(upload.size), "digest": kept.digest.hex()}
        audit.record(connection, who.actor, "draft.attached", upload.draft, details, now_ms)
        found = store.find_upload(connection, upload.draft, upload.id)
        if found is None:
            raise NotThere("no-such-file", "the file was removed meanwhile")
        return found

    try:
        return transact(desk.engine, note)
    except NotThere:
        files.drop(kept.id)
        raise


def take_all(desk: Desk, who: Visitor, draft: str, sent: Iterable[tuple[str, BinaryIO]]) -> None:
    """Keep files that came in one form: their names and bytes. Raises as :func:`announce` does."""
    for name, stream in sent:
        _take_whole(desk, who, draft, name, stream)


def _take_whole(desk: Desk, who: Visitor, draft: str, name: str, stream: BinaryIO) -> None:
    stream.seek(0, os.SEEK_END)
    size = stream.tell()
    stream.seek(0)
    take_pieces(desk, who, draft, name, size, iter(lambda: stream.read(bounds.PIECE_BYTES), b""))


def take_pieces(desk: Desk, who: Visitor, draft: str, name: str, size: int, pieces: Iterable[bytes]) -> None:
    """Keep a file of ``size`` bytes that is at hand. Raises as :func:`announce` and ``pieces`` do."""
    upload = announce(desk, who, draft, name, size, "")
    files = drawer(desk)
    path = files.part(upload.part)
    with disk.saying(path), path.open("wb") as file:
        for piece in pieces:
            file.write(piece)
    transact(desk.engine, lambda c: store.advance(c, upload.id, 0, size))
    _keep(desk, who, files, upload)


def remove(desk: Desk, who: Visitor, draft: str, identifier: str) -> None:
    """Take a file out of a draft, whole or not. Raises NotThere, DeskRefused (sent)."""
    with _LOCKS[hash(identifier) % len(_LOCKS)]:

        def forget(connection: Connection) -> Upload:
            service.writable(connection, who.name, draft)
            found = find(connection, who, draft, identifier)
            store.remove_upload(connection, identifier)
            return found

        drop(desk, [transact(desk.engine, forget)])


def drop(desk: Desk, uploads: Iterable[Upload]) -> None:
    """Remove what lies on the disk of uploads that no draft has any more."""
    files = drawer(desk)
    for upload in uploads:
        if upload.part:
            files.part(upload.part).unlink(missing_ok=True)
        if upload.kept:
            files.drop(upload.kept)


def tidy(desk: Desk) -> None:
    """Forget drafts that nobody touched for long, with their files, and what a crash left. Blocks."""
    now_ms = desk.clock.now_ms()
    drop(desk, transact(desk.engine, lambda c: service.forget_old(c, now_ms)))
    sweep(desk)


def sweep(desk: Desk) -> None:
    """Remove files that no draft owns: a crash came between the disk and the table. Blocks."""
    files = drawer(desk)
    parts, kept = desk.read(store.names_in_use)
    for path in files.others(parts, kept, older_than_ms=desk.clock.now_ms() - ORPHAN_MS):
        path.unlink(missing_ok=True)
