"""SQLite files that have their tables from the start: made once in a process, then copied.

Making the tables takes 30 ms, and most tests of stores want them; a copy takes one. What is copied is what
was made: the whole file, closed, its log folded in.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, MetaData

from runtime.transactions import open_engine, transact

Fill = Callable[[Connection], object]

_MADE: Final[dict[tuple[int, int, Fill | None], bytes]] = {}
"""By metadata, how many tables it had (modules imported later declare more), and what filled them."""


def make_file(path: Path, metadata: MetaData, fill: Fill | None = None) -> None:
    """Write a database with the tables of ``metadata`` to ``path``, which must not be there; mode 0600.

    ``fill`` is called once in a process: it has to do the same each time, and be the same function.
    """
    which = id(metadata), len(metadata.tables), fill
    if which not in _MADE:
        _MADE[which] = _made(metadata, fill)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(_MADE[which])


def _made(metadata: MetaData, fill: Fill | None) -> bytes:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "made.db"
        engine = open_engine(f"sqlite:///{path}")
        transact(engine, metadata.create_all)
        if fill is not None:
            transact(engine, fill)
        engine.dispose()
        assert list(path.parent.iterdir()) == [path], "the log was not folded in"
        return path.read_bytes()
