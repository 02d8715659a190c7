"""Files on their way into a message: uploaded first, named in the message afterwards.

``uploads/`` in the home (the desk has a directory of its own) holds ``ID.data`` and ``ID.json``. The data is
whole and durable before the note is written, and the note before the client hears of it. When a message has
taken an upload, the data goes (it is sealed in the message) and the note stays for a day, so that the same
request again, which names it, gets the same answer. :meth:`Uploads.sweep` removes what nobody used.
Any thread.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import BinaryIO, Final

import msgspec
from msgspec import Struct

from crypto.primitives import blake2b_stream
from nodes.gateways.api import bounds
from nodes.link.files import Source, check_room, safe_name
from nodes.link.ids import id_text, new_id, parse_id
from runtime import disk
from runtime.home import HomeError, read_bounded, write_private
from runtime.web.problems import ApiError

DIRECTORY: Final = "uploads"
_PART: Final = ".part"
_DATA: Final = ".data"
_NOTE: Final = ".json"
_NOTE_BYTES: Final = 16_384
_ENTRIES: Final = 100_000


class Upload(Struct, frozen=True):
    """The note of one upload; ``digest`` is BLAKE2b-256 of the bytes. ``used``: the data is gone."""

    id: str
    name: str
    media_type: str
    size: int
    digest: bytes
    created_ms: int
    used: bool = False


class Uploads:
    """The uploads of one home."""

    def __init__(self, home: Path, floor_bytes: int, directory: str = DIRECTORY) -> None:
        self._home, self._floor_bytes = home, floor_bytes
        self._directory = home / directory

    def make(self) -> None:
        """Make the directory, mode 0700."""
        self._directory.mkdir(mode=0o700, exist_ok=True)

    def check_room(self, size_bytes: int) -> None:
        """Raise NoRoom if so much more would leave less than the floor."""
        check_room(self._home, size_bytes, self._floor_bytes)

    def begin(self) -> tuple[Path, BinaryIO]:
        """Open a new file to write an upload into; the caller keeps or removes it."""
        path = self._directory / f"{secrets.token_hex(16)}{_PART}"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        return path, os.fdopen(descriptor, "w+b")

    def part(self, name: str) -> Path:
        """Return where a file from :meth:`begin` is, by its name alone."""
        return self._directory / Path(name).name

    def keep(self, path: Path, name: str, media_type: str, now_ms: int) -> Upload:
        """Take over a file from :meth:`begin`, complete and flushed: hashed, durable, noted. Blocks.

        Raises OSError, StorageFailed.
        """
        identifier = new_id(now_ms)
        digest, size = blake2b_stream(), 0
        with path.open("rb") as file:
            while piece := file.read(bounds.COPY_BYTES):
                digest.update(piece)
                size += len(piece)
            # A part may have lain for days: under its new name nobody who sweeps just now knows it yet.
            os.utime(file.fileno(), (now_ms / 1000, now_ms / 1000))
            disk.sync_file(file.fileno(), path)
        path.rename(self._directory / f"{identifier.hex()}{_DATA}")
        disk.sync_directory(self._directory)
        upload = Upload(id_text(identifier), safe_name(name), media_type, size, digest.digest(), now_ms)
        self._note(upload)
        return upload

    def find(self, identifier: str) -> Upload:
        """Return the upload with this id. Raises ApiError (422): it is named in a message."""
        raw = parse_id(identifier)
        path = self._directory / f"{raw.hex() if raw else '-'}{_NOTE}"
        try:
            return msgspec.json.decode(read_bounded(path, _NOTE_BYTES), type=Upload)
        except (FileNotFoundError, HomeError, msgspec.MsgspecError):
            raise ApiError(
                422, "unknown-upload", f"there is no upload {identifier[:64]!r}: it may be older than a day"
            ) from None

    def open(self, upload: Upload) -> Source:
        """Open the data, to be attached. Raises ApiError (409) if another message took it."""
        try:
            file = self._data(upload).open("rb")
        except FileNotFoundError:
            raise ApiError(
                409, "upload-used", f"the upload {upload.id} went with another message: upload it again"
            ) from None
        return Source(upload.name, upload.media_type, file, upload.size)

    def used(self, uploads: Iterable[Upload]) -> None:
        """Remove the data of uploads that a message has taken; the notes stay."""
        for upload in uploads:
            self._note(msgspec.structs.replace(upload, used=True))
            self._data(upload).unlink(missing_ok=True)

    def drop(self, identifier: str) -> None:
        """Remove an upload that nobody wants any more, if it is there."""
        raw = parse_id(identifier)
        if raw is not None:
            for suffix in (_DATA, _NOTE):
                (self._directory / f"{raw.hex()}{suffix}").unlink(missing_ok=True)

    def others(self, parts: Collection[str], kept: Collection[str], *, older_than_ms: int) -> list[Path]:
        """Return files, not changed since then, that are none of these parts nor of these uploads."""
        raws = (parse_id(identifier) for identifier in kept)
        own = {*parts} | {raw.hex() for raw in raws if raw is not None}
        with os.scandir(self._directory) as entries:
            return [
                Path(entry.path)
                for _, entry in zip(range(_ENTRIES), entries, strict=False)
                if entry.name not in own
                and Path(entry.name).stem not in own
                and entry.stat(follow_symlinks=False).st_mtime < older_than_ms / 1000
            ]

    def sweep(self, now_ms: int) -> int:
        """Remove what is older than a day by its own time; return how many files. Blocks."""
        removed = 0
        oldest_s = (now_ms - bounds.UPLOAD_KEPT_MS) / 1000
        with os.scandir(self._directory) as entries:
            old = [
                entry.path
                for _, entry in zip(range(_ENTRIES), entries, strict=False)
                if entry.stat(follow_symlinks=False).st_mtime < oldest_s
            ]
        for path in old:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)  # noqa: PTH108 - scandir gives text
                removed += 1
        return removed

    def _data(self, upload: Upload) -> Path:
        raw = parse_id(upload.id)
        assert raw is not None
        return self._directory / f"{raw.hex()}{_DATA}"

    def _note(self, upload: Upload) -> None:
        path = self._data(upload).with_suffix(_NOTE)
        write_private(path, msgspec.json.encode(upload))
