"""System calls on files, with what they can say turned into our own errors.

A write that finds no room is :class:`StorageFull` and may be tried again later. A failed fsync is
:class:`StorageFailed` whatever its reason, and so is an input/output error while writing: the process has
to end (:class:`runtime.executors.FailStop` sees to it).
"""

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from runtime.storage_errors import StorageError, StorageFailed, StorageFull

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextmanager
def saying(path: Path) -> Iterator[None]:
    """Turn an OSError about ``path`` into a StorageError that names it."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise StorageFull(f"{path}: {error.strerror}; make room on the disk") from error
        if error.errno == errno.EIO:
            raise StorageFailed(f"{path}: {error.strerror}; check the disk (dmesg, smartctl)") from error
        raise StorageError(f"{path}: {error.strerror}; the daemon's user must be able to use it") from error


def write_all(descriptor: int, parts: Sequence[bytes], offset: int) -> None:
    """Write all parts one behind the other at ``offset``; raises OSError, perhaps with some of it written."""
    written = os.pwritev(descriptor, parts, offset)
    rest = memoryview(b"".join(parts))[written:] if written < sum(map(len, parts)) else b""
    while rest:
        step = os.pwrite(descriptor, rest, offset + written)
        rest, written = rest[step:], written + step


def sync_file(descriptor: int, path: Path) -> None:
    """Make the content durable; StorageFailed if that fails, once and for all."""
    try:
        os.fdatasync(descriptor)
    except OSError as error:
        raise StorageFailed(
            f"{path}: fdatasync: {error.strerror}; check the disk (dmesg, smartctl)"
        ) from error


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable; StorageFailed if that fails, once and for all.

    Raises OSError if the directory cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        sync_names(descriptor, path)
    finally:
        os.close(descriptor)


def sync_names(descriptor: int, path: Path) -> None:
    """Do what :func:`sync_directory` does, for a directory that is open."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        raise StorageFailed(f"{path}: fsync: {error.strerror}; check the disk (dmesg, smartctl)") from error
