"""Named places where a test may kill the process, as a power cut would.

Code that promises something across a crash marks the instants that matter with ``reached("name")``. When the
environment variable ``WASL_CRASH_AT`` holds that name, the process gets SIGKILL there and then: no handler,
no ``finally``, no flush. ``WASL_CRASH_AT=name:3`` does it the third time the place is reached, counted over
all threads. Without the variable ``reached`` is a function that does nothing, chosen once at import.

Names are written where they are used and listed nowhere; a name that no code reaches kills nothing.
"""

import itertools
import os
import signal
from collections.abc import Callable

VARIABLE = "WASL_CRASH_AT"
"""The environment variable that arms one crash point: ``name`` or ``name:N``."""


def _disarmed(_name: str) -> None:
    pass


def _armed(wanted: str) -> Callable[[str], None]:
    """Return a ``reached`` that kills the process as ``wanted`` says; raises ValueError if malformed."""
    name, colon, times = wanted.partition(":")
    if not name or (colon and not (times.isascii() and times.isdigit() and int(times) > 0)):
        raise ValueError(f'{VARIABLE}="{wanted}" should be "name" or "name:N" with N from 1 up')
    fatal = int(times or 1)
    visits = itertools.count(1)  # next() on it is atomic, so pool threads need no lock

    def reached(place: str) -> None:
        if place == name and next(visits) == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    return reached


def _chosen(wanted: str | None) -> Callable[[str], None]:
    return _armed(wanted) if wanted else _disarmed


reached = _chosen(os.environ.get(VARIABLE))
"""Mark the place called ``name``; see the module's text."""
