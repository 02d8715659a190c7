"""``backup create``: a moment of the home, sealed into one file, read back, and only then given its name.

One backup of a home is made at a time (``backup.lock``). It is written under a temporary name beside its
place, synced, read back from the first byte to the last with the keys that are still in memory, and renamed.
So what has the name is whole; what a crash leaves has a temporary name. A good one is told in ``backup.json``
of the home, for whoever watches its age.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from crypto import recovery
from crypto.keys import SealingPublicKey
from crypto.primitives import random_bytes
from runtime import disk
from runtime.backup import source
from runtime.backup.archive import (
    PIECE_BYTES,
    ArchiveWriter,
    BackupError,
    Beginning,
    Manifest,
    read_archive,
    read_beginning,
)
from runtime.backup.source import Kept, Moment
from runtime.home import FILE_MODE, free_bytes, read_bounded, write_private

ENDING: Final = ".wasl-backup"
REPORT_BYTES: Final = 4_096


class Report(Struct, frozen=True):
    """``backup.json``: the last good backup of a home."""

    finished: str
    """RFC 3339, UTC."""
    verified: bool
    """It was read back whole."""
    file: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Made:
    """A backup that was made."""

    file: Path
    size_bytes: int
    manifest: Manifest
    lost: tuple[str, ...]
    """What the database names and the disk had lost before."""
    seconds: float


class _Nothing:
    """A sink for reading back: the hashes are what counts."""

    def begin(self, path: str) -> None:
        """Take nothing."""

    def data(self, piece: bytes) -> None:
        """Take nothing."""

    def end(self) -> None:
        """Take nothing."""


def default_file(kept: Kept, now_ms: int) -> Path:
    """Return where a backup goes that was not told where: ``backups`` in the home, mode 0700."""
    stamp = datetime.fromtimestamp(now_ms / 1000, UTC).strftime("%Y%m%dT%H%M%SZ")
    directory = kept.home / source.BACKUPS
    directory.mkdir(mode=0o700, exist_ok=True)
    return directory / f"{kept.name}-{stamp}{ENDING}"


def create(kept: Kept, into: Path, key: SealingPublicKey, *, now_ms: int, floor_bytes: int) -> Made:
    """Make a backup of a home, running or not, at ``into``, which must not exist. Blocking.

    Raises :class:`BackupError`, StorageError, OSError; nothing of it is left then.
    """
    began_s = time.monotonic()
    if into.exists():
        raise BackupError(f"{into} exists already; a backup replaces nothing: give it another name")
    with _alone(kept):
        source.remove_leftovers(kept)
        _check_room(kept, into, floor_bytes)
        directory = kept.staging / f"{source.STAGING}{secrets.token_hex(6)}"
        try:
            moment = source.take(kept, directory)
            manifest, size = _write(kept, moment, into, key, now_ms)
        finally:
            shutil.rmtree(directory, ignore_errors=True)
    write_report(kept.home, into, size)
    return Made(into, size, manifest, tuple(sorted(moment.lost)), time.monotonic() - began_s)


def write_report(home: Path, file: Path, size_bytes: int) -> None:
    """Tell in the home that a good backup was made just now."""
    finished = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    report = Report(finished, verified=True, file=file.name, bytes=size_bytes)
    write_private(home / source.REPORT, msgspec.json.encode(report) + b"\n")


def read_report(home: Path) -> Report | None:
    """Return the last good backup of a home; None if there is none, or its word cannot be read."""
    try:
        return msgspec.json.decode(read_bounded(home / source.REPORT, REPORT_BYTES), type=Report)
    except (OSError, ValueError):
        return None


@contextmanager
def _alone(kept: Kept) -> Iterator[None]:
    descriptor = os.open(kept.home / source.LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, FILE_MODE)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BackupError(f"a backup of {kept.home} is being made already: wait for it") from None
        yield
    finally:
        os.close(descriptor)


def _check_room(kept: Kept, into: Path, floor_bytes: int) -> None:
    """Refuse before the disk falls below its floor: a copy of the database, and what is written of it."""
    if kept.engine.dialect.name != "sqlite" or kept.engine.url.database is None:
        return
    database_bytes = Path(kept.engine.url.database).stat().st_size
    for place, needed in ((kept.staging, database_bytes), (into.parent, database_bytes)):
        if not place.is_dir():
            raise BackupError(f"{place} is no directory: make it, or write the backup elsewhere")
        if free_bytes(place) - needed < floor_bytes:
            raise BackupError(
                f"{place}: {free_bytes(place)} bytes are free, the backup needs {needed} and more for"
                f" attachments, and {floor_bytes} must stay free (disk.floor): make room, or use --to"
            )


def _write(
    kept: Kept, moment: Moment, into: Path, key: SealingPublicKey, now_ms: int
) -> tuple[Manifest, int]:
    content_key = random_bytes(recovery.CONTENT_KEY_BYTES)
    seal_key = recovery.seal_key_of_home(kept.link, key)
    beginning = Beginning(
        what=kept.what,
        name=kept.name,
        made_ms=now_ms,
        software=kept.software,
        recovery=key.fingerprint(),
        link=bytes(kept.link.public),
        wrapped=recovery.wrap(content_key, key),
    )
    partial = into.with_name(f".{into.name}.{secrets.token_hex(6)}.part")
    descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, FILE_MODE)
    try:
        with os.fdopen(descriptor, "w+b") as file, disk.saying(partial):
            archive = ArchiveWriter(file, beginning, content_key, seal_key)
            for path, held in moment.files.items():
                archive.add(path, _pieces(held))
            engine = kept.engine.dialect.name
            manifest = archive.finish(
                database=moment.database, engine=engine, schema=moment.schema, rows=moment.rows
            )
            file.flush()
            disk.sync_file(file.fileno(), partial)
            size = file.tell()
            file.seek(0)
            _, head = read_beginning(file)
            if read_archive(file, head, size, content_key, seal_key, _Nothing()) != manifest:
                raise BackupError(f"{partial} does not read as it was written: check the disk it lies on")
        if into.exists():
            raise BackupError(f"{into} exists meanwhile; nothing was replaced")
        partial.rename(into)
        disk.sync_directory(into.parent)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return manifest, size


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            yield piece
