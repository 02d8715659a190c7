"""A small TCP proxy: counts, cuts, delays, and hands bytes on one at a time."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import Self

_LOOK_S = 0.2
_PIECE_BYTES = 262_144


class Proxy:
    """Listens on ``port`` and passes everything to 127.0.0.1:``target``. Attributes may change at any time.

    ``segment_bytes``: hand on at most this many at once (None: as they come); ``delay_s``: wait before each;
    ``silent``: hand on nothing and say nothing, as if the other end were gone (new callers wait likewise);
    ``up_bytes`` and ``down_bytes`` count what came from the caller and from the target.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.segment_bytes: int | None = None
        self.delay_s = 0.0
        self.silent = False
        self.resets = 0
        self._reset_at: dict[str, int] = {}
        self.up_bytes = 0
        self.down_bytes = 0
        self.connections = 0
        self._open = True
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._listener.settimeout(_LOOK_S)
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def __enter__(self) -> Self:
        """Return this proxy, to be closed at the end."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def reset_next(self, **at: int) -> None:
        """Reset the next connection (RST both ways) when so many ``up_bytes`` or ``down_bytes`` have passed.

        Those bytes are handed on, nothing behind them is. 0 resets before anything passed; {} resets nothing.
        """
        self._reset_at = at

    def cut(self) -> None:
        """Cut every connection that stands, as a lost line does."""
        with self._lock:
            pairs = list(self._pairs)
        for pair in pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
                    end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Cut everything and listen no more."""
        self._open = False
        self.cut()
        for thread in self._threads:
            thread.join(5)
        self._listener.close()

    def _accept(self) -> None:
        while self._open:
            try:
                caller, _ = self._listener.accept()
            except TimeoutError:
                continue
            while self.silent and self._open:
                time.sleep(_LOOK_S)
            try:
                target = socket.create_connection(("127.0.0.1", self.target), timeout=5)
            except OSError:
                caller.close()
                continue
            self.connections += 1
            self._begin(caller, target)

    def _begin(self, caller: socket.socket, target: socket.socket) -> None:
        pair = caller, target
        for end in pair:
            end.settimeout(None)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._pairs.add(pair)
        reset_at, self._reset_at = self._reset_at, {}
        both = [
            threading.Thread(
                target=self._pump, args=(source, sink, counter, reset_at.get(counter)), daemon=True
            )
            for source, sink, counter in ((caller, target, "up_bytes"), (target, caller, "down_bytes"))
        ]
        ending = threading.Thread(target=self._end, args=(pair, both), daemon=True)
        self._threads += [*both, ending]
        for thread in (*both, ending):
            thread.start()

    def _end(self, pair: tuple[socket.socket, socket.socket], both: list[threading.Thread]) -> None:
        for thread in both:
            thread.join()
        with self._lock:
            self._pairs.discard(pair)
        for end in pair:
            end.close()

    def _pump(self, source: socket.socket, sink: socket.socket, counter: str, reset_at: int | None) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while reset_at is None or passed < reset_at:
                data = source.recv(_PIECE_BYTES)[: None if reset_at is None else reset_at - passed]
                while self.silent and self._open:
                    time.sleep(_LOOK_S)
                if not data:
                    break
                passed += len(data)
                setattr(self, counter, getattr(self, counter) + len(data))
                step = self.segment_bytes or len(data)
                for at in range(0, len(data), step):
                    if self.delay_s:
                        time.sleep(self.delay_s)
                    sink.sendall(data[at : at + step])
            if passed == reset_at:
                self.resets += 1
                _reset(source, sink)
                return
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def _reset(*ends: socket.socket) -> None:
    """Let the end of these be an RST, and wake whoever reads them."""
    for end in ends:
        with contextlib.suppress(OSError):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            end.shutdown(socket.SHUT_RD)
