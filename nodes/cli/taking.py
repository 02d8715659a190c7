"""``fetch`` writes files: each whole, durable, for this user only, and never over anybody's file.

A file is written under a hidden name of its own and then linked to its real name, which fails if that is
taken: so two that fetch into one directory cannot overwrite each other either. A name that is taken by the
same bytes is left as it is, which makes a repeated fetch the same files; one taken by others makes the next
name, ``NAME-2.EXT``.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from nodes.gateways.naming import SNIFFED_BYTES, body_suffix
from nodes.link import inbox
from nodes.link.files import safe_name
from nodes.link.ids import id_text
from runtime import disk
from runtime.home import FILE_MODE, HOME_MODE

_PIECE_BYTES: Final = 1_048_576
_NO_LINKS: Final = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
"""What a file system says that has no hard links (vfat, some network shares)."""


def write_message(received: inbox.Received, home: Path, into: Path) -> list[Path]:
    """Write body and attachments into ``into`` (made, mode 0700, if missing); return where they are.

    Raises OSError; StorageFailed; Damaged if any of it is not what arrived any more.
    """
    into.mkdir(HOME_MODE, parents=True, exist_ok=True)
    written: list[Path] = []
    body = inbox.read_body(received, home)
    if body:
        name = id_text(received.id) + body_suffix(body[:SNIFFED_BYTES])
        written.append(_write(into, name, [body], written))
    for file in received.files:
        written.append(_write(into, safe_name(file.name), inbox.file_pieces(file, home), written))
    disk.sync_directory(into)
    return written


def _write(into: Path, name: str, pieces: Iterable[bytes], written: list[Path]) -> Path:
    partial = into / f".{secrets.token_hex(8)}.part"
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, FILE_MODE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            disk.sync_file(descriptor, partial)
        return _named(partial, into, name, written)
    finally:
        partial.unlink(missing_ok=True)


def _named(partial: Path, into: Path, name: str, written: list[Path]) -> Path:
    """Give the file its name, or another that is free; keep what is there if it holds the same bytes."""
    for candidate in _names(name):
        target = into / candidate
        if target in written:  # another file of this very message
            continue
        try:
            _claim(partial, target)
        except FileExistsError:
            if _same(partial, target):
                return target
        else:
            return target
    raise AssertionError  # the names do not end


def _names(name: str) -> Iterator[str]:
    yield name
    stem, dot, suffix = name.rpartition(".")
    number = 1
    while True:
        number += 1
        yield f"{stem}-{number}{dot}{suffix}" if stem else f"{name}-{number}"


def _claim(partial: Path, target: Path) -> None:
    """Let ``target`` be the file ``partial``; FileExistsError if there is anything of that name."""
    try:
        target.hardlink_to(partial)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, FILE_MODE))
        partial.replace(target)  # the empty file that took the name for us


def _same(partial: Path, target: Path) -> bool:
    try:
        descriptor = os.open(target, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_size != partial.stat().st_size:
        os.close(descriptor)
        return False
    with os.fdopen(descriptor, "rb") as there, partial.open("rb") as ours:
        while piece := ours.read(_PIECE_BYTES):
            if there.read(len(piece)) != piece:
                return False
    return True
