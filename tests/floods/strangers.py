"""Strangers at a hub's door, by the thousand: ``python -m tests.floods.strangers KIND PORT KEY [NUMBER]``.

A process of its own, so that it takes no time from the one that measures. It comes from the addresses of
127.0.0.0/8 in turn, so that the bound on one address does not help the hub; what it sends is made beforehand.

``handshakes``  NUMBER connections a second, each with a first packet that is wrong: random bytes, a wrong
                mac1, or (a tenth of them) the right mac1, as from somebody who knows the hub's key, around a
                Noise message that opens with no key;
``loris``       NUMBER connections held open, each sending a byte of a good first packet every second; one
                that is closed is opened again.

A line on stdout every second: how many connections were made, and how many stand.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys
import time
from collections.abc import Iterator
from typing import Final

from crypto.keys import LinkPublicKey
from crypto.noise import Pattern
from protocols.link.opening import first_packet

_NOISE_BYTES: Final = 160
_PACKETS: Final = 200
_CLOSED: Final = frozenset({errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN, errno.ECONNREFUSED})


def _addresses() -> Iterator[str]:
    while True:
        for third in range(1, 250):
            for fourth in range(1, 250):
                yield f"127.7.{third}.{fourth}"


def _connect(port: int, address: str) -> socket.socket:
    made = socket.socket()
    made.settimeout(0)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    made.bind((address, 0))
    with contextlib.suppress(BlockingIOError):
        made.connect(("127.0.0.1", port))
    return made


def handshakes(port: int, key: bytes, per_second: int) -> None:
    """Knock so often a second; what is not sent in time is not made up for."""
    wrong = [os.urandom(_NOISE_BYTES) for _ in range(_PACKETS // 2)]
    right = [first_packet(Pattern.IK, LinkPublicKey(key), os.urandom(_NOISE_BYTES)) for _ in range(_PACKETS)]
    wrong += [packet[:-1] + bytes((packet[-1] ^ 1,)) for packet in right[: _PACKETS // 2]]
    packets = [right[n] if n % 10 == 0 else wrong[n % len(wrong)] for n in range(_PACKETS)]
    addresses, open_ones, made = _addresses(), [], 0
    began_s = told_s = time.monotonic()
    while True:
        due = int((time.monotonic() - began_s) * per_second)
        if due - made > per_second:
            began_s += (due - made) / per_second - 0.1
        for number in range(made, min(due, made + 100)):
            try:
                knocking = _connect(port, next(addresses))
                knocking.send(packets[number % _PACKETS])
            except OSError:
                pass
            open_ones.append(knocking)
        made = min(due, made + 100)
        for old in open_ones[:-300]:
            old.close()
        del open_ones[:-300]
        time.sleep(0.002)
        if time.monotonic() - told_s > 1:
            told_s += 1
            print(made, len(open_ones), flush=True)


def loris(port: int, key: bytes, count: int) -> None:
    """Hold so many connections open."""
    packet = first_packet(Pattern.IK, LinkPublicKey(key), os.urandom(_NOISE_BYTES))
    addresses, made = _addresses(), 0
    sent: dict[socket.socket, int] = {}
    while True:
        began_s = time.monotonic()
        while len(sent) < count:
            sent[_connect(port, next(addresses))] = 0
            made += 1
        for one, at in list(sent.items()):
            try:
                if at < len(packet) - 1:
                    one.send(packet[at : at + 1])
                    sent[one] = at + 1
                if one.recv(1) == b"":
                    raise ConnectionResetError(errno.ECONNRESET, "closed")
            except BlockingIOError:
                continue
            except OSError as error:
                if error.errno in _CLOSED:
                    one.close()
                    del sent[one]
        print(made, len(sent), flush=True)
        time.sleep(max(0.0, 1 - (time.monotonic() - began_s)))


if __name__ == "__main__":
    _kind, _port, _key, _number = sys.argv[1:]
    {"handshakes": handshakes, "loris": loris}[_kind](int(_port), bytes.fromhex(_key), int(_number))
