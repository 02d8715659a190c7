"""The library of faults: compiled once, preloaded into a daemon, given its orders while the daemon runs.

``shim.c`` tells how; here are the kinds of faults by name. A fault fires once, or from the N-th call on until
it is disarmed ("stuck"): a bad sector, and a disk that is gone.
"""

from __future__ import annotations

import errno
import mmap
import shutil
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_WRITE, _SYNC, _OPEN, _READ, _NAMES, _SIZE, _DESCRIPTOR = (1 << bit for bit in range(7))
_WORDS: Final = struct.Struct("=6i")
_SOURCE: Final = Path(__file__).with_name("shim.c")
_COMPILER: Final = "gcc"


@dataclass(frozen=True, slots=True)
class Kind:
    """Which calls fail, how, and whether all from then on do; ``number`` 0 moves half of the bytes."""

    name: str
    calls: int
    number: int
    stuck: bool = False


KINDS: Final = {
    kind.name: kind
    for kind in (
        Kind("write-eio", _WRITE, errno.EIO),
        Kind("write-enospc", _WRITE, errno.ENOSPC),
        Kind("write-enospc-stuck", _WRITE | _SIZE, errno.ENOSPC, stuck=True),
        Kind("write-short", _WRITE, 0),
        Kind("sync-eio", _SYNC, errno.EIO),
        Kind("sync-enospc", _SYNC, errno.ENOSPC),
        Kind("sync-eio-stuck", _SYNC, errno.EIO, stuck=True),
        Kind("read-eio", _READ, errno.EIO),
        Kind("open-emfile", _DESCRIPTOR, errno.EMFILE),
        Kind("open-emfile-stuck", _DESCRIPTOR, errno.EMFILE, stuck=True),
        Kind("open-eio", _OPEN, errno.EIO),
        Kind("open-enospc", _OPEN, errno.ENOSPC),
        Kind("names-eio", _NAMES, errno.EIO),
        Kind("names-enospc", _NAMES, errno.ENOSPC),
        Kind("size-enospc", _SIZE, errno.ENOSPC),
    )
}
AT_START: Final = tuple(name for name in KINDS if not name.startswith("open-emfile"))
"""While a daemon starts, every import of Python's opens files: those are not ours to fail."""


def compiler() -> str | None:
    """Return where the C compiler is, None if there is none."""
    return shutil.which(_COMPILER)


def build(into: Path) -> Path:
    """Compile the library; returns its path. CalledProcessError with the compiler's words."""
    library = into / "faults.so"
    command = [_COMPILER, "-O1", "-Wall", "-shared", "-fPIC", "-o", str(library), str(_SOURCE), "-ldl"]
    subprocess.run(command, check=True)
    return library


class Orders:
    """The orders of one process at a time; the file stays over its restarts."""

    def __init__(self, library: Path, home: Path) -> None:
        self._path = home.with_name(f"{home.name}.faults")
        self._path.write_bytes(bytes(_WORDS.size))
        self._file = self._path.open("r+b")
        self._words = mmap.mmap(self._file.fileno(), _WORDS.size)
        self.environment = {
            "LD_PRELOAD": str(library),
            "WASL_FAULTS": str(self._path),
            "WASL_FAULTS_ROOT": str(home),
        }

    def arm(self, kind: Kind, at: int) -> None:
        """Let the ``at``-th call of this kind from now on (from 1) fail."""
        orders = _WORDS.pack(kind.calls, kind.number, kind.stuck, at, 0, 0)
        self.disarm()
        self._words[4:] = orders[4:]
        self._words[:4] = orders[:4]

    def disarm(self) -> None:
        """Let nothing fail any more; the counts stay."""
        self._words[:4] = bytes(4)

    @property
    def seen(self) -> int:
        """How many calls of the armed kind there were."""
        return int(_WORDS.unpack(self._words[:])[4])

    @property
    def fired(self) -> int:
        """How many of them failed."""
        return int(_WORDS.unpack(self._words[:])[5])

    def close(self) -> None:
        """Let go of the file."""
        self._words.close()
        self._file.close()
