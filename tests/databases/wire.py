"""The way to a PostgreSQL server, cut where a test wants it cut.

A :class:`Wire` passes bytes between a client and the server, in threads of its own. Armed by
:meth:`Wire.cut_after_commit` it lets the next COMMIT through to the server, waits until the server has
answered, keeps the answer to itself and drops the connection: what the client then knows is nothing.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType
from typing import Final, Self

PIECE_BYTES: Final = 65_536


class Wire:
    """A listener on loopback that passes on to ``port``; it refuses callers while ``down``."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.down = False
        self.cuts = 0
        self._armed = False
        self._closed = False
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        """Drop every connection."""
        for end in self._open:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._open.clear()

    def cut_after_commit(self) -> None:
        """Lose the answer to the next COMMIT, and the connection with it."""
        self._armed = True

    def _accept(self) -> None:
        while not self._closed:
            try:
                caller, _ = self._listener.accept()
            except OSError:
                return
            if self.down:
                caller.close()
                continue
            server = socket.create_connection(("127.0.0.1", self._target))
            self._open += [caller, server]
            losing = threading.Event()
            threading.Thread(target=self._up, args=(caller, server, losing), daemon=True).start()
            threading.Thread(target=self._back, args=(server, caller, losing), daemon=True).start()

    def _up(self, caller: socket.socket, server: socket.socket, losing: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while piece := caller.recv(PIECE_BYTES):
                if self._armed and b"COMMIT\0" in piece:
                    self._armed = False
                    losing.set()
                server.sendall(piece)
        _end(caller, server)

    def _back(self, server: socket.socket, caller: socket.socket, losing: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while piece := server.recv(PIECE_BYTES):
                if losing.is_set() and b"COMMIT\0" in piece:
                    self.cuts += 1
                    break
                caller.sendall(piece)
        _end(caller, server)


def _end(*ends: socket.socket) -> None:
    for end in ends:
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()
