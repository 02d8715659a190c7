"""What stands between a node and its local system: MLLP passed on as it is, and faults.

- A *refusal* is the local system's: the message is not passed on, and answered AE here.
- A *duplicate* is what a lost acknowledgement makes: the message is passed on, its answer kept back and the
  connection cut; the node, which cannot know, delivers the same bytes again.

Where no local system listens, the sandbox is one itself: it answers AA to everything.
"""

from __future__ import annotations

import socket
import socketserver
import threading
import uuid
from datetime import UTC, datetime
from typing import Final

from hub.sandbox.faults import Fault, Faults
from protocols.hl7.acks import build_ack
from protocols.hl7.errors import MalformedMessage
from protocols.hl7.header import Header, read_header
from protocols.mllp import FrameReader, MessageReceived, frame

MAX_FRAME_BYTES: Final = 64 * 1_024 * 1_024
ANSWER_S: Final = 30.0
CONNECT_S: Final = 1.0
READ_BYTES: Final = 65_536
LOOK_S: Final = 0.2
REFUSED: Final = "refused by wasl-hub sandbox inject refusal"


class Between:
    """Listens at ``port`` for a node, and speaks to the local system at ``system_port``."""

    def __init__(self, host: str, port: int, system_port: int, faults: Faults) -> None:
        self._system = host, system_port
        self._faults = faults
        between = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                between.serve(self.request)

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True
            block_on_close = False

        self._server = Server((host, port), Handler)
        threading.Thread(target=self._server.serve_forever, args=(LOOK_S,), daemon=True).start()

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()

    def serve(self, node: socket.socket) -> None:
        """Answer one connection of the node until it ends, or a fault ends it."""
        reader = FrameReader(MAX_FRAME_BYTES)
        try:
            while data := node.recv(READ_BYTES):
                for event in reader.feed(data):
                    if isinstance(event, MessageReceived) and not self._message(node, event.payload):
                        return
        except OSError:
            return

    def _message(self, node: socket.socket, payload: bytes) -> bool:
        """Pass one message on and its answer back; False if the connection is to end."""
        try:
            header = read_header(payload)
        except MalformedMessage:
            return False
        recipient = (
            f"{header.receiving_application.namespace_id}@{header.receiving_facility.namespace_id}".lower()
        )
        if self._faults.take(Fault.REFUSAL, recipient):
            node.sendall(frame(_ack(header, "AE", REFUSED)))
            return True
        answer = self._ask_system(payload) or _ack(header, "AA", "")
        if self._faults.take(Fault.DUPLICATE, recipient):
            return False
        node.sendall(frame(answer))
        return True

    def _ask_system(self, payload: bytes) -> bytes | None:
        """Return the local system's answer; None if there is no such system."""
        try:
            system = socket.create_connection(self._system, CONNECT_S)
        except OSError:
            return None
        with system:
            system.settimeout(ANSWER_S)
            system.sendall(frame(payload))
            reader = FrameReader(MAX_FRAME_BYTES)
            while data := system.recv(READ_BYTES):
                for event in reader.feed(data):
                    if isinstance(event, MessageReceived):
                        return event.payload
        raise OSError("the local system hung up without an answer")


def _ack(header: Header, code: str, text: str) -> bytes:
    return build_ack(header, code, control_id=uuid.uuid4().hex[:20], now=datetime.now(UTC), text=text)
