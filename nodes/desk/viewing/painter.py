"""The small process that decodes one image of a stranger: ``python -m nodes.desk.viewing.painter ORDER``.

The file is its standard input, what it made its standard output: a line of JSON and the image. ORDER is JSON
too, ``{"side": 2400}`` for an image or ``{"look": …}`` for a frame (:class:`pixels.Look`). Before a byte is
read it takes from itself what decoding does not need: memory, processor time, the size of what it may write.
Whoever called (:mod:`drawing`) believes nothing of it but that.

It imports Pillow and little else: it starts anew for each image.
"""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import sys
from typing import Final

from nodes.desk.viewing import pictures, pixels
from nodes.desk.viewing.pictures import CannotShow, Picture

MEMORY_BYTES: Final = 640 * 1024 * 1024
"""Of addresses: 60 million pixels of four bytes twice, and the interpreter."""
CPU_S: Final = 15
OUT_BYTES: Final = 32 * 1024 * 1024
"""A picture of ``pictures.SIDE`` by as much in three bytes a pixel that does not shrink takes 17 MiB."""
_FILES: Final = 32


def confine() -> None:
    """Take from this process what decoding does not need; nothing gives it back."""
    for what, most in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_CPU, CPU_S),
        (resource.RLIMIT_FSIZE, OUT_BYTES),
        (resource.RLIMIT_NOFILE, _FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(what)[1]
        least = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (least, least))


def _picture(order: dict[str, object]) -> Picture:
    source = sys.stdin.buffer
    match order:
        case {"look": dict(look)}:
            return pixels.draw(pixels.Look(**look), source)
        case {"side": int(side)}:
            return pictures.redraw(source, os.fstat(source.fileno()).st_size, side)
    raise CannotShow("unknown")


def main() -> None:
    """Draw what the order says."""
    confine()
    data = b""
    try:
        made = _picture(json.loads(sys.argv[1]))
        head = {key: value for key, value in dataclasses.asdict(made).items() if key != "data"}
        data = made.data
    except CannotShow as fault:
        head = {"code": fault.code}
    sys.stdout.buffer.write(json.dumps(head).encode() + b"\n" + data)


if __name__ == "__main__":
    main()
