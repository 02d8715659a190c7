"""Has strangers' images drawn by a process that may die of them, so that the desk does not.

A decoder can be made to take gigabytes, minutes, or a wrong turn. So each image is drawn by a process of its
own (:mod:`painter`) with a bound on memory, processor time and what it writes; here is the bound on the time
that somebody waits. What it answers is looked at before it is believed. ``AT_ONCE`` of them run and
``WAITING`` wait, each in a thread of the desk, whose watchdog needs one too; whoever comes then, or waits
longer than ``ROOM_S`` for a turn, is told that the image is not shown now (``busy``) and may ask again (the
page's script does). Who asked for one that ended its process is told that it is not shown (``spent``).

It is no prison: the process has the desk's user and sees its files. What is kept out is what an image does to
memory and time; a fault in a decoder that runs a sender's program would still be one.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from threading import BoundedSemaphore
from typing import IO, Any, Final

import nodes
from nodes.desk.viewing.painter import OUT_BYTES
from nodes.desk.viewing.pictures import FILE_BYTES, SIDE, CannotShow, Picture
from nodes.desk.viewing.pixels import Look

AT_ONCE: Final = 2
WAITING: Final = 5
"""Seven with the others: one browser asks for six at once, and one of the desk's threads is left."""
ROOM_S: Final = 10
WALL_S: Final = 30
COSTLY: Final = frozenset({"busy", "spent"})
"""Why a picture is not shown, if asking for the next one would take as long."""
_HEAD_BYTES: Final = 1_024
_KINDS: Final = frozenset({"image/jpeg", "image/png"})
_ROOM: Final = BoundedSemaphore(AT_ONCE)
_WAITING: Final = BoundedSemaphore(WAITING)
_PAINTER: Final = (sys.executable, "-P", "-B", "-m", "nodes.desk.viewing.painter")
_ROOT: Final = Path(nodes.__file__).resolve().parents[1]


def image(source: IO[bytes], size_bytes: int, side: int = SIDE, most_s: float = ROOM_S + WALL_S) -> Picture:
    """Return the image in ``source``, drawn anew, in ``most_s`` at most; raises CannotShow, OSError."""
    if size_bytes > FILE_BYTES:
        raise CannotShow("too-large")
    return _drawn(source, {"side": side}, most_s)


def frame(look: Look, source: IO[bytes]) -> Picture:
    """Return the frame of the DICOM file ``source`` that its header says; raises CannotShow, OSError."""
    return _drawn(source, {"look": dataclasses.asdict(look)}, ROOM_S + WALL_S)


def _drawn(source: IO[bytes], order: dict[str, Any], most_s: float) -> Picture:
    source.seek(0)
    end_s = time.monotonic() + most_s
    if not _ROOM.acquire(blocking=False):
        _wait(min(ROOM_S, most_s))
    try:
        with os.fdopen(os.memfd_create("drawn"), "w+b") as out:
            if _has_file(source):
                _paint(source, out, order, end_s)
            else:
                with os.fdopen(os.memfd_create("foreign"), "w+b") as given:
                    given.write(source.read())
                    given.seek(0)
                    _paint(given, out, order, end_s)
            return _read(out)
    finally:
        _ROOM.release()


def _wait(most_s: float) -> None:
    """Wait for a turn; raises CannotShow if so many wait already, or it takes too long."""
    if not _WAITING.acquire(blocking=False):
        raise CannotShow("busy")
    try:
        if not _ROOM.acquire(timeout=most_s):
            raise CannotShow("busy")
    finally:
        _WAITING.release()


def _has_file(source: IO[bytes]) -> bool:
    try:
        return source.fileno() >= 0
    except io.UnsupportedOperation:
        return False


def _paint(source: IO[bytes], out: IO[bytes], order: dict[str, Any], end_s: float) -> None:
    """Run the painter; raises CannotShow if it dies or takes too long."""
    most_s = min(WALL_S, max(0.0, end_s - time.monotonic()))
    try:
        done = subprocess.run(  # noqa: S603 - our own program
            [*_PAINTER, json.dumps(order)], stdin=source, stdout=out, stderr=subprocess.DEVNULL,
            env={"PYTHONPATH": str(_ROOT), "LC_ALL": "C.UTF-8"}, cwd="/", timeout=most_s, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise CannotShow("spent") from None
    if done.returncode < 0:  # a signal: its time is over, or a decoder's fault
        raise CannotShow("spent")
    if done.returncode:
        raise CannotShow("damaged")


def _read(out: IO[bytes]) -> Picture:
    out.seek(0)
    head, data = out.readline(_HEAD_BYTES), out.read(OUT_BYTES)
    try:
        told = json.loads(head)
        if "code" in told:
            raise CannotShow(str(told["code"]))
        made = Picture(data=data, **told)
    except (ValueError, TypeError) as fault:
        raise CannotShow("damaged") from fault
    if made.media_type not in _KINDS:
        raise CannotShow("damaged")
    return made
