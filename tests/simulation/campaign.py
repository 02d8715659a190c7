"""Many schedules, one after the other, on the same machines."""

from __future__ import annotations

import gc
import logging
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from unittest import mock

from hub.directory import service
from tests.simulation.machines import Machines, make_machines
from tests.simulation.world import Played, World

MEMORY: Final = Path("/dev/shm")
"""A file system in memory: syncing costs nothing there."""


@contextmanager
def machines_in(
    directory: Path | None = None, more: Sequence[str] = (), valid_ms: int = service.CREDENTIAL_VALID_MS
) -> Iterator[Machines]:
    """Make machines, in memory where there is a file system in memory, and remove them in the end.

    There are ``more`` facilities than the usual four, and the credentials of all are good for ``valid_ms``.
    """
    if directory is None and MEMORY.is_dir():
        directory = MEMORY
    place = Path(tempfile.mkdtemp(prefix="wasl-simulation-", dir=directory))
    try:
        with mock.patch.object(service, "CREDENTIAL_VALID_MS", valid_ms):
            machines = make_machines(place, more)
        gc.collect()
        gc.freeze()
        yield machines
        for machine in machines.all:
            machine.engine.dispose()
    finally:
        gc.unfreeze()
        shutil.rmtree(place, ignore_errors=True)


def play(machines: Machines, seed: int) -> Played:
    """Play one schedule; raises ``trace.Broken``."""
    try:
        return World(machines, seed).play()
    finally:
        # The coroutines of processes that died are closed here, and not in the middle of the next world.
        logging.disable(logging.CRITICAL)
        gc.collect()
        logging.disable(logging.NOTSET)
