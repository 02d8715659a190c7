"""Good things with one thing wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

pack = msgspec.msgpack.encode


def swapped(fields: list[Any], wrong: Mapping[str, tuple[int, Any]]) -> dict[str, bytes]:
    """Return the array once for each name, with the value of that index replaced."""
    made = {}
    for name, (at, value) in wrong.items():
        copy = list(fields)
        copy[at] = value
        made[name] = pack(copy)
    return made


def broken(good: bytes) -> dict[str, bytes]:
    """Return what can be wrong with any MessagePack array."""
    return {
        "nothing at all": b"",
        "a zero byte": b"\0",
        "a reserved MessagePack type": b"\xc1",
        "cut in the middle": good[: len(good) // 2],
        "cut before its last byte": good[:-1],
        "a byte too many behind it": good + b"\0",
        "twice in a row": good * 2,
        "a map instead of an array": pack({"a": 1}),
        "a number instead of an array": pack(7),
        "an empty array": pack([]),
        "an array that claims 2^32 - 1 elements": b"\xdd\xff\xff\xff\xff",
        "an array that claims 65,535 elements": b"\xdc\xff\xff" + good[1:20],
        "bytes that claim 4 GiB": b"\x91\xc6\xff\xff\xff\xff",
        "a text that claims 4 GiB": b"\x91\xdb\xff\xff\xff\xff",
        "a map that claims 2^32 - 1 pairs": b"\x91\xdf\xff\xff\xff\xff",
        "a thousand arrays in each other": b"\x91" * 1_000 + b"\0",
        "100,000 arrays in each other": b"\x91" * 100_000 + b"\0",
        "an extension type": b"\x91\xd4\x01\x00",
        "text that is not UTF-8": b"\x91\xa2\xff\xfe",
    }


def each(table: Mapping[str, bytes], change: Callable[[bytes], bytes]) -> dict[str, bytes]:
    """Return a table with each input changed."""
    return {name: change(data) for name, data in table.items()}
