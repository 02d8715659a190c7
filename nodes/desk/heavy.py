"""Turns for what reads, hashes or seals a large file: it holds a thread of the desk for minutes.

The desk has few threads (:data:`runtime.web.process.THREADS`), and the watchdog's question is answered in one
of them too: were all of them hashing, the desk would be ended as one that hangs, and everybody's uploads cut.
So ``AT_ONCE`` have a turn and ``WAITING`` wait for one, ``WAIT_S`` at most; whoever comes then is refused at
once. The threads that are left are everybody else's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore
from typing import Final

from flask_babel import lazy_gettext as _

from nodes.desk.errors import DeskRefused

AT_ONCE: Final = 3
WAITING: Final = 3
"""With the others as many as one browser asks at once, and two threads are left."""
WAIT_S: Final = 5
RETRY_AFTER_S: Final = 10
BYTES: Final = 16 * 1_024 * 1_024
"""What is smaller needs no turn: it is read in less than a second."""
CODE: Final = "busy"
SAID: Final = _("Too many large files are being read just now: try again in a moment.")
HEAVY: Final = BoundedSemaphore(AT_ONCE)
_WAITING: Final = BoundedSemaphore(WAITING)


class Busy(DeskRefused):
    """No turn for a large file just now."""


@contextmanager
def turn(size_bytes: int) -> Iterator[None]:
    """Hold a turn while so many bytes are read; raises Busy if there is none. No turn is taken within one."""
    if size_bytes < BYTES:
        yield
        return
    if not HEAVY.acquire(blocking=False):
        _wait()
    try:
        yield
    finally:
        HEAVY.release()


def _wait() -> None:
    busy = Busy(CODE, f"{AT_ONCE} large files are being read: try again in a moment")
    if not _WAITING.acquire(blocking=False):
        raise busy
    try:
        if not HEAVY.acquire(timeout=WAIT_S):
            raise busy
    finally:
        _WAITING.release()
