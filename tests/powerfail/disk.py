"""A disk that loses power: what was done to files, and what of it may be left afterwards.

A :class:`Trace` is the list of what a program did to one directory tree, in order: files and directories
named, renamed, removed, written, cut and synced. :func:`crashes` says what the disk may hold if the power
fails after the first so many of these acts. What a sync covered is there. Of everything later each part may
be there or not, by chance:

* a write is kept, dropped, or *torn* at sectors of 512 bytes, and writes reach the disk in another order;
  what a file gained in length without its bytes reads as zeros, or as what somebody left there;
* a cut may have happened or not;
* a name (made, removed, renamed) is durable only by a sync of its directory, not by one of the file, and
  names of one directory reach the disk independently of each other. POSIX promises no more, though journals
  of common file systems do.

Not modelled: a disk that lies about syncs, decay of what is at rest (``tests/bitflips``), a sector that is
half old and half new, a failed sync (``tests/runtime`` has those).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from random import Random
from typing import Any, Final

SECTOR_BYTES: Final = 512
_KEPT: Final = 0.5
DIRECTORY: Final = -1
"""What a directory's name stands for, instead of an inode."""


@dataclass(frozen=True, slots=True)
class Write:
    inode: int
    offset: int
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Cut:
    """A file's length was set."""

    inode: int
    size: int


@dataclass(frozen=True, slots=True)
class Sync:
    inode: int


@dataclass(frozen=True, slots=True)
class Name:
    """``path`` (relative) means ``inode`` now (DIRECTORY, None: nothing), which was ``instead_of`` before."""

    path: str
    inode: int | None
    instead_of: str | None = None

    @property
    def directory(self) -> str:
        return str(PurePosixPath(self.path).parent)


@dataclass(frozen=True, slots=True)
class SyncNames:
    directory: str


@dataclass(frozen=True, slots=True)
class Note:
    """Something that the program said to the outside: what it answered for from here on."""

    what: Any


Act = Write | Cut | Sync | Name | SyncNames | Note
Image = dict[str, bytes | None]
"""Relative path to content; None for a directory."""


@dataclass
class Trace:
    """What was done, on top of what was there (durable) at the beginning."""

    root: Path
    acts: list[Act] = field(default_factory=list)
    start: Image = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)
    """What each name means to the running program."""
    _inodes: int = 0

    @classmethod
    def on(cls, root: Path) -> Trace:
        """Return an empty trace of a tree as it is now."""
        trace = cls(root)
        for path in sorted(root.rglob("*")):
            name = str(path.relative_to(root))
            trace.start[name] = None if path.is_dir() else path.read_bytes()
            trace.names[name] = DIRECTORY if path.is_dir() else trace._inode()
        return trace

    def _inode(self) -> int:
        self._inodes += 1
        return self._inodes

    def opened(self, name: str) -> int:
        """Return the inode of a file, a new one if there was none of that name."""
        if name not in self.names:
            self.names[name] = self._inode()
            self.acts.append(Name(name, self.names[name]))
        return self.names[name]

    def made_directory(self, name: str) -> None:
        self.names[name] = DIRECTORY
        self.acts.append(Name(name, DIRECTORY))

    def removed(self, name: str) -> None:
        del self.names[name]
        self.acts.append(Name(name, None))

    def renamed(self, old: str, new: str) -> None:
        inode = self.names[new] = self.names.pop(old)
        if PurePosixPath(old).parent == PurePosixPath(new).parent:
            self.acts.append(Name(new, inode, instead_of=old))
        else:
            self.acts += [Name(new, inode), Name(old, None)]

    def note(self, what: Any) -> None:
        self.acts.append(Note(what))

    def notes(self, before: int) -> Iterable[Any]:
        """Yield what was noted among the first ``before`` acts."""
        return (act.what for act in self.acts[:before] if isinstance(act, Note))


@dataclass
class _File:
    content: bytearray = field(default_factory=bytearray)
    """What is durable."""
    pending: list[Write | Cut] = field(default_factory=list)


@dataclass
class _State:
    """What is durable after some acts, and what is pending."""

    files: dict[int, _File]
    names: dict[str, int]
    pending: list[Name] = field(default_factory=list)

    def do(self, act: Act) -> None:
        match act:
            case Write(inode) | Cut(inode):
                self.files.setdefault(inode, _File()).pending.append(act)
            case Sync(inode):
                file = self.files.setdefault(inode, _File())
                for pending in file.pending:
                    _apply(file.content, pending)
                file.pending.clear()
            case Name():
                self.pending.append(act)
            case SyncNames(directory):
                for name in self.pending:
                    if name.directory == directory:
                        self._rename(name)
                self.pending = [name for name in self.pending if name.directory != directory]

    def copy(self) -> _State:
        """Return the same, to be lost instead of this."""
        files = {
            inode: _File(bytearray(file.content), list(file.pending)) for inode, file in self.files.items()
        }
        return _State(files, dict(self.names), list(self.pending))

    def image(self) -> Image:
        """Return what is durable, as far as names lead there."""
        image: Image = {}
        for path, inode in sorted(self.names.items()):
            parent = str(PurePosixPath(path).parent)
            if parent == "." or parent in image:
                known = self.files.get(inode, _File()).content
                image[path] = None if inode == DIRECTORY else bytes(known)
        return image

    def lose(self, random: Random) -> None:
        """Let the power fail."""
        for name in self.pending:
            if random.random() < _KEPT:
                self._rename(name)
        for file in self.files.values():
            _MOODS[random.randrange(len(_MOODS))](file, random)

    def _rename(self, name: Name) -> None:
        if name.instead_of is not None:
            self.names.pop(name.instead_of, None)
        if name.inode is None:
            self.names.pop(name.path, None)
        else:
            self.names[name.path] = name.inode


def crashes(trace: Trace, points: Iterable[int], random: Random) -> Iterator[tuple[int, Image]]:
    """Yield (point, image), points ascending: what may be on the disk if the power fails then.

    A point is a number of acts that were done before.
    """
    state = _State({}, {})
    for name, content in trace.start.items():
        state.names[name] = inode = DIRECTORY if content is None else len(state.files) + 1
        if content is not None:
            state.files[inode] = _File(bytearray(content))
    done = 0
    for point in sorted(points):
        for act in trace.acts[done:point]:
            state.do(act)
        done = point
        lost = state.copy()
        lost.lose(random)
        yield point, lost.image()


def write_image(image: Image, directory: Path) -> None:
    """Make ``directory`` anew, holding the image."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o700)
    for name, content in image.items():
        if content is None:
            (directory / name).mkdir(mode=0o700)
        else:
            (directory / name).write_bytes(content)


# ── what is left of unsynced writes ────────────────────────────────────────────────────────


def _apply(content: bytearray, act: Write | Cut) -> None:
    if isinstance(act, Cut):
        _set_length(content, act.size)
        return
    if act.offset > len(content):
        _set_length(content, act.offset)
    content[act.offset : act.offset + len(act.data)] = act.data


def _set_length(content: bytearray, size: int) -> None:
    del content[size:]
    content.extend(bytes(size - len(content)))


def _all(file: _File, _random: Random) -> None:
    for act in file.pending:
        _apply(file.content, act)


def _nothing(_file: _File, _random: Random) -> None:
    """Keep nothing."""


def _beginning(file: _File, random: Random) -> None:
    """Keep the first few, the last of them torn."""
    count = random.randint(0, len(file.pending))
    for act in file.pending[:count]:
        _apply(file.content, act)
    for act in file.pending[count : count + 1]:
        _torn(file.content, act, random)


def _anything(file: _File, random: Random) -> None:
    """Keep some, torn, in any order."""
    acts = list(file.pending)
    random.shuffle(acts)
    for act in acts:
        chance = random.random()
        if chance < 0.4:
            _apply(file.content, act)
        elif chance < 0.75:
            _torn(file.content, act, random)


_MOODS: Final[tuple[Callable[[_File, Random], None], ...]] = (
    _all,
    _nothing,
    _beginning,
    _anything,
    _anything,
)


def _torn(content: bytearray, act: Write | Cut, random: Random) -> None:
    """Keep some sectors; what lies between the old end and the new one may hold anything."""
    if isinstance(act, Cut):
        _apply(content, act)
        return
    old_end, end = len(content), act.offset + len(act.data)
    if end > old_end:
        _set_length(content, end)
        if random.random() < 0.3:
            content[old_end:end] = random.randbytes(end - old_end)
    at = act.offset
    while at < end:
        step = min(end, (at // SECTOR_BYTES + 1) * SECTOR_BYTES)
        if random.random() < 0.5:
            content[at:step] = act.data[at - act.offset : step - act.offset]
        at = step
