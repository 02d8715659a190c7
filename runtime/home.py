"""A daemon's home: one directory that only its user can enter, with everything the daemon owns in it.

The home holds keys, the database and sealed bodies, so it is mode 0700 and belongs to the user who works on
it; a home that others can enter is refused, never repaired silently (an empty directory is: nothing was in it
to be read). What is secret in it is written by :func:`write_private`, which a power cut leaves either old or
new, whole, and which no other user can read at any instant.

Two things meet here besides files. The *run lock* (``run.lock``, flock) makes a daemon the only one on its
home; the kernel drops it with the process, so there is no stale lock. The *poke* is the hint that something
new is in the tables: a datagram to a unix socket in the home, sent by command line and web processes, which
may be lost at any moment, because the daemon polls as well. This module imports nothing of Twisted, so those
processes stay light.

Linux only: it relies on flock, on /proc/self/fd and on a socket's mode being taken from its descriptor.
"""

import contextlib
import errno
import fcntl
import os
import secrets
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from runtime import disk

HOME_MODE = 0o700
FILE_MODE = 0o600
OTHERS_MASK = 0o077
LOCK_NAME = "run.lock"
MAX_LOCK_BYTES = 32
"""A lock file holds a process id in decimal."""
MAX_SOCKET_PATH_BYTES = 107
"""What fits into ``sockaddr_un.sun_path`` with its final zero (unix(7))."""
HUB_MARKS = ("hub.toml", "hub.db", "attachments")
"""What only a hub's home holds; either daemon refuses to make its home where the other's is."""
NODE_MARKS = ("node.toml", "identity.json", "node.db", "incoming", "outgoing")
"""What only a node's home holds."""
KEYS_MARK = "keys"
"""What both hold, and what nothing ever replaces."""
MAX_POKES_PER_WAKE_UP = 64
"""Pokes taken off the socket before the reactor gets its turn; they are one hint all the same."""


class HomeError(Exception):
    """A home, or a file in it, that cannot be used as it is; the text says what would be right."""


class HomeBusyError(HomeError):
    """Another process runs on this home; ``pid`` is its process id, or None if it has not written it yet."""

    def __init__(self, home: Path, pid: int | None) -> None:
        holder = f"process {pid}" if pid is not None else "another process"
        super().__init__(f"{home} is in use by {holder}: stop that first, or use another --home")
        self.pid = pid


def create_home(home: Path) -> None:
    """Make ``home`` (mode 0700, parents as needed), or take an existing one that is private or empty.

    Idempotent. Raises HomeError if it exists and is not a private directory of ours; OSError as mkdir does;
    StorageFailed.
    """
    home.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        home.mkdir(HOME_MODE)
        disk.sync_directory(home.parent)
    if home.is_dir() and home.stat().st_uid == os.geteuid() and not any(home.iterdir()):
        home.chmod(HOME_MODE)
    check_home(home)


def check_home(home: Path) -> None:
    """Raise HomeError unless ``home`` is a directory of this user that nobody else can enter."""
    try:
        found = home.stat()
    except FileNotFoundError:
        raise HomeError(f"{home} does not exist: make it with init or join first") from None
    except (OSError, ValueError) as error:
        raise HomeError(f"{home} cannot be used as a home: {error}") from error
    if not stat.S_ISDIR(found.st_mode):
        raise HomeError(f"{home} is not a directory, and a home is one")
    if found.st_uid != os.geteuid():
        raise HomeError(
            f"{home} belongs to user {found.st_uid}, this process is user {os.geteuid()}: run as that user"
        )
    if found.st_mode & OTHERS_MASK:
        mode = stat.S_IMODE(found.st_mode)
        raise HomeError(f"{home} can be entered by others (mode {mode:04o}): chmod 0700 '{home}'")


def marks_in(home: Path) -> tuple[str, ...]:
    """Return the names in ``home`` that say that it is a hub's or a node's; none if it is not there.

    Raises OSError if it cannot be looked at.
    """
    try:
        there = {path.name for path in home.iterdir()}
    except (FileNotFoundError, NotADirectoryError):
        return ()
    return tuple(name for name in (KEYS_MARK, *HUB_MARKS, *NODE_MARKS) if name in there)


def foreign_in(home: Path) -> list[str]:
    """Return a few names in ``home`` that are none of a home not made yet; none if it is not there.

    What is hidden may be left of a write that was broken off, and ``lost+found`` is the file system's.
    Raises OSError if it cannot be looked at.
    """
    if not home.is_dir():
        return []
    names = sorted(path.name for path in home.iterdir() if not path.name.startswith("."))
    return [name for name in names if name != "lost+found"][:3]


def write_new(path: Path, content: bytes) -> None:
    """Put ``content`` at ``path`` as :func:`write_private` does, but raise FileExistsError if it is there."""
    _write(path, content, replace=False)


def write_private(path: Path, content: bytes) -> None:
    """Put ``content`` at ``path``, mode 0600, replacing what was there; durable when it returns.

    A crash leaves the old file or the new, never a mixture; a temporary ``.NAME.*.tmp`` may be left behind.
    Raises OSError; then ``path`` is as it was. A failed sync is StorageFailed: nothing may be tried again.
    """
    _write(path, content, replace=True)


def _write(path: Path, content: bytes, *, replace: bool) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, FILE_MODE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, FILE_MODE)
            file.write(content)
            file.flush()
            disk.sync_file(descriptor, path)
        if replace:
            temporary.replace(path)
        else:
            path.hardlink_to(temporary)  # unlike a rename, this never replaces
            temporary.unlink()
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    disk.sync_directory(path.parent)


def read_bounded(path: Path, max_bytes: int) -> bytes:
    """Return the whole of the regular file ``path``, which must not be longer than ``max_bytes``.

    Raises HomeError for anything else than a regular file and for a longer one; OSError as open does.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a FIFO must not hold us up
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise HomeError(f"{path} is not a regular file")
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise HomeError(f"{path} is longer than the {max_bytes} bytes that are allowed here")
    return content


def free_bytes(path: Path) -> int:
    """Return how many bytes an unprivileged process can still write to the file system of ``path``."""
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


class RunLock:
    """The right to be the only daemon on a home, held from construction to :meth:`release` or death."""

    def __init__(self, home: Path) -> None:
        """Take the lock of ``home``; raises HomeBusyError at once if another process has it."""
        self._descriptor = os.open(home / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, FILE_MODE)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = _pid_in(os.pread(self._descriptor, MAX_LOCK_BYTES, 0))
            os.close(self._descriptor)
            raise HomeBusyError(home, pid) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode("ascii"), 0)

    def release(self) -> None:
        """Let another process in; once only. The file stays, it means nothing without the lock."""
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)


def _pid_in(content: bytes) -> int | None:
    digits = content.strip()
    return int(digits) if digits.isdigit() else None


class PokeListener:
    """The daemon's ear for pokes: calls ``callback()`` in the reactor's thread, once for any number of them.

    It is one of the reactor's readers: the camelCase names below are what Twisted calls.
    """

    def __init__(self, path: Path, reactor: Any, callback: Callable[[], object]) -> None:
        """Listen at ``path`` (a unix datagram socket, mode 0600, replacing a stale one). Raises OSError.

        The caller holds the home's :class:`RunLock`, so a socket found at ``path`` is nobody's.
        """
        self._path = path
        self._reactor = reactor
        self._callback = callback
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self._socket.settimeout(0)
            os.fchmod(self._socket.fileno(), FILE_MODE)  # bind() gives the file the socket's mode
            path.unlink(missing_ok=True)
            with _socket_address(path) as address:
                self._socket.bind(address)
        except BaseException:
            self._socket.close()
            raise
        reactor.addReader(self)

    def stop(self) -> None:
        """Stop listening and take the socket away; may be called again."""
        if self._socket.fileno() >= 0:
            self._reactor.removeReader(self)
            self._socket.close()
            self._path.unlink(missing_ok=True)

    def fileno(self) -> int:
        """Return the socket's descriptor, -1 when closed (twisted.internet.interfaces.IFileDescriptor)."""
        return self._socket.fileno()

    def doRead(self) -> None:  # noqa: N802  # the reactor calls it so
        """Take what has come and pass on one hint."""
        with contextlib.suppress(BlockingIOError):
            for _ in range(MAX_POKES_PER_WAKE_UP):
                self._socket.recv(1)
        self._callback()

    def connectionLost(self, _reason: object) -> None:  # noqa: N802  # the reactor calls it so
        """Stop: the reactor found the descriptor broken, or is shutting down."""
        self.stop()

    def logPrefix(self) -> str:  # noqa: N802  # the reactor calls it so
        """Return the name under which the reactor logs this reader's failures."""
        return "poke"


def poke(path: Path) -> bool:
    """Tell the daemon listening at ``path`` to look at its tables; return whether one is there.

    Never blocks and never raises OSError: the daemon finds the work by itself later. True means that a
    process has the socket open, not that it has looked.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.settimeout(0)
        try:
            with _socket_address(path) as address:
                sender.sendto(b"\x01", address)
        except OSError as error:
            return error.errno in {errno.EAGAIN, errno.ENOBUFS}  # its queue is full of hints already
    return True


@contextlib.contextmanager
def _socket_address(path: Path) -> Iterator[str]:
    """Yield an address for ``path`` that fits into a sockaddr_un, however deep the home lies."""
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
