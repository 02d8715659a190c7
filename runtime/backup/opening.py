"""``backup verify`` and ``backup restore``: a backup read as a stream, checked, and put into a new home.

Nothing of a backup is believed before its seal and its manifest have agreed with every byte. Restoring
writes into a directory of another name beside the new home, checks the database there (integrity, row
counts), lets the daemon's own code put right what a home that went back in time must say (``begin again``),
syncs, and only then gives the directory its name. So a restore that was cut off left no home.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from crypto import recovery
from crypto.errors import CryptoError
from crypto.keys import LinkPublicKey, SealingPrivateKey
from runtime import disk
from runtime.backup.archive import BackupError, Beginning, Manifest, read_archive, read_beginning
from runtime.backup.source import POSTGRES_DUMP
from runtime.home import FILE_MODE, HOME_MODE

_DATABASES: Final = ("hub.db", "node.db", POSTGRES_DUMP)


@dataclass(frozen=True, slots=True)
class Opened:
    """A backup whose key fits; nothing of it was read yet."""

    beginning: Beginning
    link: LinkPublicKey
    _head: bytes
    _content_key: bytes
    _seal_key: bytes
    _file: BinaryIO

    def stream(self, sink: DirectorySink) -> Manifest:
        """Read it all into ``sink`` and check it; raises :class:`BackupError`, OSError."""
        size = os.fstat(self._file.fileno()).st_size
        return read_archive(self._file, self._head, size, self._content_key, self._seal_key, sink)


@contextmanager
def opened_backup(file: Path, key: SealingPrivateKey, *, made_by: str | None = None) -> Iterator[Opened]:
    """Open a backup; ``made_by`` is the fingerprint that its home's link key must have.

    Raises :class:`BackupError` for what is none, or is another's; OSError.
    """
    with file.open("rb") as stream:
        beginning, head = read_beginning(stream)
        if beginning.recovery != key.fingerprint():
            raise BackupError(
                f"{file} is for the recovery key {beginning.recovery}, this one is {key.fingerprint()}: use"
                " the"
                " private half of the key that it was made with"
            )
        try:
            link = LinkPublicKey(beginning.link)
            content_key = recovery.unwrap(beginning.wrapped, key)
            seal_key = recovery.seal_key_of_keeper(link, key)
        except CryptoError as fault:
            raise BackupError(f"{file}: its beginning is damaged ({fault}): use another copy of it") from None
        if made_by is not None and made_by != link.fingerprint():
            raise BackupError(f"{file} was made by the home {link.fingerprint()}, not by {made_by}")
        yield Opened(beginning, link, head, content_key, seal_key, stream)


class DirectorySink:
    """Writes files below a directory, durably; ``only_database`` drops all the others."""

    def __init__(self, directory: Path, *, only_database: bool = False) -> None:
        self._directory = directory
        self._only_database = only_database
        self._path = directory
        self._file: BinaryIO | None = None

    def begin(self, path: str) -> None:
        """Begin a file, mode 0600, in directories of mode 0700."""
        if self._only_database and path not in _DATABASES:
            return
        self._path = self._directory / path
        self._path.parent.mkdir(mode=HOME_MODE, parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, FILE_MODE)
        self._file = os.fdopen(descriptor, "wb")

    def data(self, piece: bytes) -> None:
        """Write some of it."""
        if self._file is not None:
            with disk.saying(self._path):
                self._file.write(piece)

    def end(self) -> None:
        """Sync and close it."""
        if self._file is not None:
            with disk.saying(self._path), self._file:
                self._file.flush()
                disk.sync_file(self._file.fileno(), self._path)
            self._file = None


def check_database(directory: Path, manifest: Manifest) -> None:
    """Check the SQLite database of an extracted backup; raises :class:`BackupError` with what is wrong."""
    path = directory / manifest.database
    if manifest.engine != "sqlite":
        return
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            (word,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
            if word != "ok":
                raise BackupError(f"the database in the backup is damaged: {word}")
            broken = connection.execute("PRAGMA foreign_key_check").fetchone()
            if broken is not None:
                raise BackupError(
                    f"the database in the backup has a row of {broken[0]} without its {broken[2]}"
                )
            for table, rows in manifest.rows.items():
                quoted = '"' + table.replace('"', '""') + '"'
                (found,) = connection.execute(f"SELECT count(*) FROM {quoted}").fetchone()  # noqa: S608 - quoted
                if found != rows:
                    raise BackupError(
                        f"table {table} has {found} rows in the backup, {rows} when it was made"
                    )
    except sqlite3.Error as fault:
        raise BackupError(f"the database in the backup does not read: {fault}") from fault


def verify(opened: Opened, work: Path) -> Manifest:
    """Read a whole backup, extract its database below ``work`` (removed again) and check both."""
    directory = work / f".verify-{secrets.token_hex(6)}"
    directory.mkdir(mode=HOME_MODE)
    try:
        manifest = opened.stream(DirectorySink(directory, only_database=True))
        check_database(directory, manifest)
        return manifest
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def restore(opened: Opened, what: str, home: Path, begin_again: Callable[[Path, Manifest], None]) -> Manifest:
    """Make ``home``, which must not exist, of a backup of a ``what``; raises :class:`BackupError`, OSError.

    ``begin_again`` works on the directory before it has its name; what it raises leaves no home.
    """
    if opened.beginning.what != what:
        raise BackupError(f"this is the backup of a {opened.beginning.what}, not of a {what}")
    if home.exists() or home.is_symlink():
        raise BackupError(
            f"{home} exists: a restore replaces nothing; move it away, or name another directory"
        )
    home.parent.mkdir(parents=True, exist_ok=True)
    directory = home.with_name(f".{home.name}.restoring-{secrets.token_hex(6)}")
    directory.mkdir(mode=HOME_MODE)
    try:
        manifest = opened.stream(DirectorySink(directory))
        check_database(directory, manifest)
        begin_again(directory, manifest)
        for root, _, _ in os.walk(directory):
            disk.sync_directory(Path(root))
        directory.rename(home)
        disk.sync_directory(home.parent)
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise
    return manifest
