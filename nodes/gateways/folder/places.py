"""Directories held open, and files in them by name.

Every name is used relative to an open directory and holds no separator; links are not followed and only
regular files are opened, so nothing that stands in ``out/`` leads out of it, and no FIFO or device holds the
node up. All of it blocks and belongs on an executor. An operation on the directory itself (it vanished, there
is no room) raises OSError; a file that cannot be taken raises :class:`Unfit`; a failed fsync StorageFailed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from config.fields import size_text
from nodes.gateways.folder import bounds
from runtime import disk

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_DIRECTORY_MODE: Final = 0o700
_FILE_MODE: Final = 0o600
_GROUP_FILE_MODE: Final = 0o060
"""What a group that the operator let into a directory may do with the files that we write there."""
_KINDS: Final = (
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
)


class Unfit(Exception):  # noqa: N818 - states the condition
    """Something in the folder that cannot be taken as it is: where, what is wrong, what would be right."""

    def __init__(self, where: str, wrong: str, right: str, *, code: str = "bad-file") -> None:
        super().__init__(f"{where}: {wrong}; {right}")
        self.where, self.wrong, self.right, self.code = where, wrong, right, code


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at a file saw; equal in two looks: nobody is writing it."""

    size_bytes: int
    changed_ns: int
    inode: int
    regular: bool


def check_name(name: str, where: str) -> None:
    """Raise :class:`Unfit` unless ``name`` can only mean a file in the directory itself."""
    if not name or name in {".", ".."} or "/" in name or "\0" in name:
        raise Unfit(where, f"{name[:80]!r} is no plain file name", "name a file that lies in out/ itself")
    try:
        size = len(os.fsencode(name))
    except UnicodeEncodeError:
        raise Unfit(where, f"{name[:80]!r} cannot be a file name", "use UTF-8") from None
    if size > bounds.NAME_BYTES:
        raise Unfit(where, f"a file name of {size} bytes", f"at most {bounds.NAME_BYTES} are possible")


class Place:
    """One open directory."""

    def __init__(self, descriptor: int, path: Path) -> None:
        """``path`` is for the texts of errors: all work is done by the descriptor."""
        self._descriptor, self._path = descriptor, path

    def names(self) -> list[str]:
        """Return what stands here, in no order, the first ``ENTRIES`` of it."""
        with os.scandir(self._descriptor) as entries:
            return [entry.name for _, entry in zip(range(bounds.ENTRIES), entries, strict=False)]

    def look(self, name: str) -> Look | None:
        """Look at ``name`` without opening it; None if it is not there."""
        try:
            found = os.stat(name, dir_fd=self._descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return None
        return Look(found.st_size, found.st_mtime_ns, found.st_ino, stat.S_ISREG(found.st_mode))

    def open(self, name: str, where: str) -> BinaryIO:
        """Open the regular file ``name`` for reading; ``where`` says who named it, for the error."""
        check_name(name, where)
        try:
            _check_regular(os.stat(name, dir_fd=self._descriptor, follow_symlinks=False).st_mode, name, where)
            descriptor = os.open(name, _FILE, dir_fd=self._descriptor)
        except FileNotFoundError:
            raise Unfit(
                where, f"there is no file {name!r} in out/", "write it before the control file"
            ) from None
        except PermissionError:
            raise Unfit(where, f"{name!r} may not be read", "let the node's user read it") from None
        except OSError as error:
            if error.errno == errno.ELOOP:  # it became a link since it was looked at
                raise _irregular(name, where, "a symbolic link") from None
            raise
        file = os.fdopen(descriptor, "rb")
        try:
            _check_regular(os.fstat(descriptor).st_mode, name, where)
        except Unfit:
            file.close()
            raise
        return file

    def read(self, name: str, where: str, max_bytes: int) -> bytes:
        """Return the whole of a regular file of at most ``max_bytes``."""
        with self.open(name, where) as file:
            content = file.read(max_bytes + 1)
        if len(content) > max_bytes:
            raise Unfit(where, f"{name!r} is too large", f"at most {size_text(max_bytes)} are taken this way")
        return content

    def write(self, name: str, pieces: Iterable[bytes]) -> None:
        """Put a file here, whole or not at all; durable after :meth:`sync`. The name is our own.

        It is for this user, and for the directory's group as far as the directory is.
        """
        temporary = f".{name}.tmp"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=self._descriptor)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(temporary, flags, _FILE_MODE, dir_fd=self._descriptor)
        try:
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(descriptor, _FILE_MODE | os.fstat(self._descriptor).st_mode & _GROUP_FILE_MODE)
                for piece in pieces:
                    file.write(piece)
                file.flush()
                disk.sync_file(descriptor, self._path / name)
            self.rename(temporary, name)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=self._descriptor)
            raise

    def rename(self, name: str, new_name: str) -> None:
        """Rename inside this directory, replacing."""
        os.rename(name, new_name, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)

    def move(self, name: str, to: Place, new_name: str) -> bool:
        """Move ``name`` (whatever it is; a link moves as a link); False if it is not there."""
        try:
            os.rename(name, new_name, src_dir_fd=self._descriptor, dst_dir_fd=to._descriptor)
        except FileNotFoundError:
            return False
        return True

    def remove(self, name: str) -> None:
        """Remove the file ``name``, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._descriptor)

    def sync(self) -> None:
        """Make what was done here durable; StorageFailed if that fails, once and for all."""
        disk.sync_names(self._descriptor, self._path)

    def free_bytes(self) -> int:
        """Return how much can still be written here."""
        found = os.fstatvfs(self._descriptor)
        return found.f_bavail * found.f_frsize


@dataclass(frozen=True, slots=True)
class Places:
    """The folder and the four directories in it."""

    root: Place
    out: Place
    arrivals: Place
    sent: Place
    failed: Place


NAMES: Final = ("out", "in", "sent", "failed")


def make_places(root: Path) -> None:
    """Make what is missing of the folder, mode 0700; what exists keeps its mode."""
    root.mkdir(_DIRECTORY_MODE, parents=True, exist_ok=True)
    for name in NAMES:
        (root / name).mkdir(_DIRECTORY_MODE, exist_ok=True)


@contextlib.contextmanager
def open_places(root: Path) -> Iterator[Places]:
    """Hold the folder open; OSError if any of it is missing or is no directory."""
    with contextlib.ExitStack() as stack:

        def opened(path: Path | str, beside: int | None = None) -> int:
            # The folder itself may be reached through a link: the operator chose it. What is in it may not.
            flags = _DIRECTORY if beside is None else _DIRECTORY | os.O_NOFOLLOW
            descriptor = os.open(path, flags, dir_fd=beside)
            stack.callback(os.close, descriptor)
            return descriptor

        base = opened(root)
        yield Places(Place(base, root), *(Place(opened(name, base), root / name) for name in NAMES))


def _check_regular(mode: int, name: str, where: str) -> None:
    if not stat.S_ISREG(mode):
        raise _irregular(name, where, next((kind for is_it, kind in _KINDS if is_it(mode)), "a device"))


def _irregular(name: str, where: str, what: str) -> Unfit:
    return Unfit(where, f"{name!r} is {what}", "only regular files are taken")
