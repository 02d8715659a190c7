"""How another terminal asks a running sandbox for a fault: one JSON line each way over a unix socket.

The socket lies in a directory that only this user can enter, named after the sandbox's port.
"""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from tempfile import gettempdir
from typing import Final

from hub.sandbox.network import SandboxError
from runtime.home import check_home, create_home

LINE_BYTES: Final = 4_096
ANSWER_S: Final = 10.0


def socket_path(base: int) -> Path:
    """Return where the sandbox of this port listens; raises HomeError if the directory is another's."""
    directory = Path(os.environ.get("XDG_RUNTIME_DIR") or gettempdir()) / f"wasl-sandbox-{os.geteuid()}"
    create_home(directory)
    check_home(directory)
    return directory / f"{base}.sock"


class Control:
    """Listens and calls ``ask(request)`` in a thread of its own; its answer goes back."""

    def __init__(self, path: Path, ask: Callable[[dict[str, object]], dict[str, object]]) -> None:
        path.unlink(missing_ok=True)
        self._path, self._ask = path, ask
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(path))
        self._socket.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Listen no more."""
        self._socket.close()
        self._path.unlink(missing_ok=True)

    def _serve(self) -> None:
        while True:
            try:
                caller, _ = self._socket.accept()
            except OSError:
                return
            with caller:
                caller.settimeout(ANSWER_S)
                try:
                    request = json.loads(caller.recv(LINE_BYTES))
                    caller.sendall(json.dumps(self._ask(request)).encode("utf-8"))
                except (OSError, ValueError):
                    continue


def ask(base: int, request: dict[str, object]) -> dict[str, object]:
    """Ask the sandbox of this port; raises SandboxError if there is none, or it refuses."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        caller.settimeout(ANSWER_S)
        try:
            caller.connect(str(socket_path(base)))
            caller.sendall(json.dumps(request).encode("utf-8"))
            answer = json.loads(caller.recv(LINE_BYTES))
        except (OSError, ValueError):
            raise SandboxError(
                f"no sandbox answers for port {base}: start one (wasl-hub sandbox), or give its --port"
            ) from None
    if "error" in answer:
        raise SandboxError(str(answer["error"]))
    assert isinstance(answer, dict)
    return answer
