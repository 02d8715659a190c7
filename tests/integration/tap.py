"""A tap on a TCP connection: it passes every byte on, and keeps a copy of each direction."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Self

from tests.integration.localsystems import END, START

_PIECE = 65_536


class Tap:
    """Listens on ``port`` and connects each caller to ``target`` (a port of this machine)."""

    def __init__(self, target: int) -> None:
        self.target = target
        self._said: dict[str, bytearray] = {"caller": bytearray(), "called": bytearray()}
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        """Return this tap, to be closed at the end."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """End every connection; listen no more."""
        for one in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def payloads(self, who: str) -> list[bytes]:
        """Return what ``caller`` or ``called`` put into whole MLLP frames."""
        *frames, _ = bytes(self._said[who]).split(END)
        return [frame[frame.find(START) + 1 :] for frame in frames]

    def raw(self, who: str) -> bytes:
        """Return all bytes of ``caller`` or ``called``."""
        return bytes(self._said[who])

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                caller, _ = self._listener.accept()
                self._sockets.append(caller)
                try:
                    called = socket.create_connection(("127.0.0.1", self.target))
                except OSError:
                    caller.close()
                    continue
                self._sockets.append(called)
                self._pass_on(caller, called, "caller")
                self._pass_on(called, caller, "called")

    def _pass_on(self, source: socket.socket, sink: socket.socket, who: str) -> None:
        def run() -> None:
            with contextlib.suppress(OSError):
                while data := source.recv(_PIECE):
                    self._said[who] += data
                    sink.sendall(data)
            for one in (source, sink):
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

        threading.Thread(target=run, daemon=True).start()
