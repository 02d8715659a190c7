"""What Python code does to files, recorded: the functions of ``os``, wrapped while a recording lasts.

Whatever goes through ``os`` below the root is passed on and then noted, ``pathlib``'s methods included (they
call ``os``). A file object made by ``os.fdopen`` writes through C and would be missed, so it gets a raw
stream of ours. Not seen: files made by ``open()`` for writing, memory maps, other processes; none of the
modules recorded here uses those, and :meth:`Recorder.complete` compares the trace's end with the real tree.

``leave_out`` names functions whose effect on durability is forgotten ("fsync of a directory was left out"),
to prove that a missing call is noticed.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from random import Random
from typing import Any, Final
from unittest import mock

from tests.powerfail.disk import DIRECTORY, Act, Cut, Sync, SyncNames, Trace, Write, crashes

FILE_SYNC: Final = "sync of a file"
DIRECTORY_SYNC: Final = "sync of a directory"

_open, _close, _write, _pwrite, _pwritev = os.open, os.close, os.write, os.pwrite, os.pwritev
_ftruncate, _fsync, _fdatasync, _fdopen = os.ftruncate, os.fsync, os.fdatasync, os.fdopen
_rename, _replace, _unlink, _mkdir = os.rename, os.replace, os.unlink, os.mkdir


class Recorder:
    """Stands in for functions of ``os`` below one root."""

    def __init__(self, root: Path, leave_out: frozenset[str]) -> None:
        self.trace = Trace.on(root)
        self._leave_out = leave_out
        self._open: dict[int, str | int] = {}
        """Descriptor to a directory's name or a file's inode."""

    def functions(self) -> dict[str, Callable[..., Any]]:
        return {
            "open": self.open, "close": self.close, "write": self.write, "pwrite": self.pwrite,
            "pwritev": self.pwritev, "ftruncate": self.ftruncate, "fsync": self.fsync,
            "fdatasync": self.fsync, "fdopen": self.fdopen, "rename": self.rename, "replace": self.rename,
            "unlink": self.unlink, "mkdir": self.mkdir,
        }  # fmt: skip

    def complete(self) -> bool:
        """Return whether the trace, had nothing failed, leaves what the real tree holds."""
        everything: list[Act] = []
        for act in self.trace.acts:
            everything.append(act)
            if isinstance(act, Write | Cut):
                everything.append(Sync(act.inode))
        directories = {"."} | {name for name, inode in self.trace.names.items() if inode == DIRECTORY}
        everything += [SyncNames(name) for name in directories]
        whole = Trace(self.trace.root, everything, self.trace.start)
        ((_, image),) = crashes(whole, [len(everything)], Random(0))
        return image == Trace.on(self.trace.root).start

    def open(self, path: Any, flags: int, mode: int = 0o777, **options: Any) -> int:
        name = self._name(path)
        descriptor = _open(path, flags, mode, **options)
        if name is None:
            return descriptor
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            self._open[descriptor] = name
            return descriptor
        inode = self._open[descriptor] = self.trace.opened(name)
        if flags & os.O_TRUNC:
            self.trace.acts.append(Cut(inode, 0))
        return descriptor

    def close(self, descriptor: int) -> None:
        self._open.pop(descriptor, None)
        _close(descriptor)

    def write(self, descriptor: int, data: Any) -> int:
        at = os.lseek(descriptor, 0, os.SEEK_CUR) if descriptor in self._open else 0
        written = _write(descriptor, data)
        self._written(descriptor, at, bytes(data)[:written])
        return written

    def pwrite(self, descriptor: int, data: Any, offset: int) -> int:
        written = _pwrite(descriptor, data, offset)
        self._written(descriptor, offset, bytes(data)[:written])
        return written

    def pwritev(self, descriptor: int, parts: Sequence[Any], offset: int) -> int:
        written = _pwritev(descriptor, parts, offset)
        self._written(descriptor, offset, b"".join(parts)[:written])
        return written

    def ftruncate(self, descriptor: int, size: int) -> None:
        _ftruncate(descriptor, size)
        inode = self._open.get(descriptor)
        if isinstance(inode, int):
            self.trace.acts.append(Cut(inode, size))

    def fsync(self, descriptor: int) -> None:
        _fsync(descriptor)
        what = self._open.get(descriptor)
        if isinstance(what, int) and FILE_SYNC not in self._leave_out:
            self.trace.acts.append(Sync(what))
        elif isinstance(what, str) and DIRECTORY_SYNC not in self._leave_out:
            self.trace.acts.append(SyncNames(what))

    def fdopen(self, descriptor: int, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if descriptor in self._open and mode == "wb":
            return io.BufferedWriter(_Raw(self, descriptor))
        return _fdopen(descriptor, mode, *arguments, **options)

    def rename(self, old: Any, new: Any) -> None:
        _rename(old, new)
        before, after = self._name(old), self._name(new)
        if before is not None and after is not None:
            self.trace.renamed(before, after)

    def unlink(self, path: Any, **options: Any) -> None:
        _unlink(path, **options)
        name = self._name(path)
        if name is not None:
            self.trace.removed(name)

    def mkdir(self, path: Any, mode: int = 0o777) -> None:
        _mkdir(path, mode)
        name = self._name(path)
        if name is not None:
            self.trace.made_directory(name)

    def _written(self, descriptor: int, offset: int, data: bytes) -> None:
        inode = self._open.get(descriptor)
        if isinstance(inode, int):
            self.trace.acts.append(Write(inode, offset, data))

    def _name(self, path: Any) -> str | None:
        """Return the path below the root, None if it is elsewhere."""
        whole = PurePosixPath(os.fsdecode(path)) if isinstance(path, str | bytes | os.PathLike) else None
        if whole is None or not whole.is_relative_to(self.trace.root):
            return None
        return str(whole.relative_to(self.trace.root))


class _Raw(io.RawIOBase):
    """What ``os.fdopen(descriptor, "wb")`` writes to."""

    def __init__(self, recorder: Recorder, descriptor: int) -> None:
        self._recorder, self._descriptor = recorder, descriptor

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return self._recorder.write(self._descriptor, data)

    def fileno(self) -> int:
        return self._descriptor

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._recorder.close(self._descriptor)


@contextmanager
def recorded(root: Path, *, leave_out: frozenset[str] = frozenset()) -> Iterator[Recorder]:
    """Record everything that this thread's code does below ``root``; what is there counts as durable."""
    recorder = Recorder(root, leave_out)
    with ExitStack() as patches:
        for name, function in recorder.functions().items():
            patches.enter_context(mock.patch.object(os, name, function))
        yield recorder
