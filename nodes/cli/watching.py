"""Watching one message on its way: the table is asked again and again; a terminal gets a bar."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, Engine, select

from crypto.filestream import CHUNK_BYTES
from nodes.link import tracking
from nodes.link.tables import outbox as outbox_table
from nodes.link.tables import outbox_files
from protocols.link.envelope import State
from runtime.transactions import read

if TYPE_CHECKING:
    from rich.progress import Progress

LOOK_EVERY_S: Final = 0.05
LOOK_SLOWER_S: Final = 0.5
_SLOWER_AFTER_S: Final = 5.0


def watch(engine: Engine, identifier: bytes, wanted: frozenset[State], timeout_s: float) -> tracking.Sent:
    """Return the message once its state is one of ``wanted``, or as it is after ``timeout_s``."""
    began_s = time.monotonic()
    with ExitStack() as stack:
        bar = stack.enter_context(bytes_bar()) if sys.stderr.isatty() else None
        task = bar.add_task("queued", total=None) if bar is not None else None
        while True:
            sent = read(engine, lambda connection: tracking.find(connection, identifier))
            waited_s = time.monotonic() - began_s
            if sent.state in wanted or waited_s >= timeout_s:
                return sent
            if bar is not None and task is not None:
                done, total = read(engine, lambda connection: _uploaded(connection, identifier))
                bar.update(task, description=sent.state.word, completed=done, total=total or None)
            time.sleep(LOOK_EVERY_S if waited_s < _SLOWER_AFTER_S else LOOK_SLOWER_S)


def bytes_bar() -> Progress:
    """Return a progress bar on stderr: how much, how fast, how much longer."""
    from rich.console import Console  # noqa: PLC0415 - rich takes 50 ms, and is only for terminals
    from rich.progress import (  # noqa: PLC0415 - likewise
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )


def _uploaded(connection: Connection, identifier: bytes) -> tuple[int, int]:
    rows = connection.execute(
        select(outbox_files.c.size, outbox_files.c.chunks_sent)
        .join(outbox_table, outbox_table.c.seq == outbox_files.c.outbox_seq)
        .where(outbox_table.c.id == identifier)
    ).all()
    done = sum(min(row.size, row.chunks_sent * CHUNK_BYTES) for row in rows)
    return done, sum(row.size for row in rows)
