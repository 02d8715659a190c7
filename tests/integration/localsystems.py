"""Hospital systems as they are: an MLLP receiver and an MLLP sender, plain threads and sockets.

Nothing of the project is used here, so that both ends of an exchange are judged from outside. The sender
repeats the same bytes on silence, on a lost connection and on AR, as real systems do; the receiver records
what it gets and answers as told.
"""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from collections.abc import Callable
from typing import Any, Self

START, END = b"\x0b", b"\x1c\r"
REPEATED = ("AR", "CR", "")
_LOOK_S = 0.2


def message(sender: str, recipient: str, control_id: str, text: str = "", kind: str = "ADT^A01") -> bytes:
    """Return an HL7 message from and to ``mailbox@facility``."""
    application, _, facility = sender.partition("@")
    to_application, _, to_facility = recipient.partition("@")
    return (
        f"MSH|^~\\&|{application}|{facility}|{to_application}|{to_facility}|20260101120000||{kind}|"
        f"{control_id}|P|2.5||||||UNICODE UTF-8\rEVN||20260101120000\r"
        f"PID|1||{control_id}^^^{facility}||بن علي^سامي\rNTE|1||{text}\r"
    ).encode()


def field(payload: bytes, segment: bytes, number: int) -> str:
    """Return a field of the first such segment (``|`` assumed), empty if there is none."""
    for line in payload.replace(b"\n", b"\r").split(b"\r"):
        parts = line.split(b"|")
        if parts[0] == segment:
            at = number - (segment == b"MSH")
            return parts[at].decode(errors="replace") if at < len(parts) else ""
    return ""


def control_id(payload: bytes) -> str:
    """Return MSH-10."""
    return field(payload, b"MSH", 10)


def acknowledge(code: str, text: str = "") -> Callable[[bytes], bytes | None]:
    """Return an answerer: MSA-1 is ``code``, MSA-2 the message's MSH-10."""

    def answer(payload: bytes) -> bytes:
        identifier = control_id(payload)
        return (
            f"MSH|^~\\&|HIS|LOCAL|WASL|LOCAL|20260101120000||ACK|R{identifier}|P|2.5\r"
            f"MSA|{code}|{identifier}|{text}\r"
        ).encode()

    return answer


def silence(_payload: bytes) -> bytes | None:
    """Answer nothing."""
    return None


class Receiver:
    """A local system that listens; ``received`` are the payloads in order, repeats included."""

    def __init__(self, answer: Callable[[bytes], bytes | None] | None = None, port: int = 0) -> None:
        self.received: list[bytes] = []
        self.answer: Callable[[bytes], bytes | None] = answer or acknowledge("AA")
        self._lock = threading.Lock()
        receiver = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                receiver._serve(self.request)

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True
            block_on_close = False

        self._server = Server(("127.0.0.1", port), Handler)
        self.port: int = self._server.server_address[1]
        self._open = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(_LOOK_S,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Listen no more; connections end within ``_LOOK_S``."""
        self._open = False
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def distinct(self) -> list[bytes]:
        """Return the payloads without repeats of the same MSH-10, in order of first arrival."""
        with self._lock:
            return list({control_id(payload): payload for payload in reversed(self.received)}.values())[::-1]

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(_LOOK_S)
        pending = b""
        while self._open:
            try:
                data = connection.recv(65_536)
            except TimeoutError:
                continue
            except OSError:
                return
            if not data:
                return
            pending += data
            while END in pending:
                frame, _, pending = pending.partition(END)
                payload = frame[frame.find(START) + 1 :]
                with self._lock:
                    self.received.append(payload)
                said = self.answer(payload)
                try:
                    if said is not None:
                        connection.sendall(START + said + END)
                except OSError:
                    return


class Sender:
    """A local system that sends; one message at a time, over one connection that it keeps."""

    def __init__(self, port: int, *, patience_s: float = 5.0) -> None:
        self.port = port
        self.patience_s = patience_s
        self.repeats = 0
        self._socket: socket.socket | None = None

    def __enter__(self) -> Self:
        """Return this sender, to be closed at the end."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """Give up the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def once(self, payload: bytes) -> bytes:
        """Send once; returns the answer. OSError if there is none (no connection, silence)."""
        try:
            if self._socket is None:
                self._socket = socket.create_connection(("127.0.0.1", self.port), timeout=self.patience_s)
            self._socket.settimeout(self.patience_s)
            self._socket.sendall(START + payload + END)
            return self._answer(self._socket)
        except OSError:
            self.close()
            raise

    def send(self, payload: bytes, timeout_s: float = 60.0) -> bytes:
        """Send, and send the same bytes again on silence or AR, until A or E; returns that answer."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            try:
                answer = self.once(payload)
            except OSError:
                answer = b""
            if field(answer, b"MSA", 1) not in REPEATED:
                assert field(answer, b"MSA", 2) == control_id(payload), (answer, payload)
                return answer
            if time.monotonic() > deadline_s:
                raise AssertionError(f"no answer to {control_id(payload)} in {timeout_s:g} s: {answer!r}")
            self.repeats += 1
            time.sleep(_LOOK_S)

    def code(self, payload: bytes, **options: Any) -> str:
        """Send as :meth:`send` does; returns MSA-1."""
        return field(self.send(payload, **options), b"MSA", 1)

    def _answer(self, connection: socket.socket) -> bytes:
        pending = b""
        while END not in pending:
            data = connection.recv(65_536)
            if not data:
                raise ConnectionResetError("closed without an answer")
            pending += data
        return pending.partition(END)[0].lstrip(START)
