"""Files on a port: as fast as they are read, in bounded memory, and cut only when nothing is read.

Real sockets in real time; the deadlines are on a simulated clock, so that no test depends on speed.
"""

# twisted.web is mostly unannotated, and its names are camelCase:
# mypy: allow-untyped-calls

from __future__ import annotations

import http.client
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.task import Clock as TaskClock
from twisted.internet.threads import blockingCallFromThread
from twisted.python.threadpool import ThreadPool

from runtime.clock import SimulatedClock
from runtime.web.downloads import DOWNLOADS, SEND_BYTES, WsgiChannel, WsgiSite
from runtime.web.serving import HttpLimits

LIMITS: Final = HttpLimits(
    max_connections=64, max_per_address=64, max_body_bytes=10, head_s=1e9, body_s=1e9, answer_s=1e9,
    idle_s=60,
)  # fmt: skip
CONTENT: Final = os.urandom(1_000_003) * 8
"""More than the kernel holds of a connection, for who reads with little room."""
ROOM_BYTES: Final = 200 * 1_024
"""A window of several of loopback's segments: a smaller one is filled only every fifth of a second."""
STEP_BYTES: Final = 700_000
THREADS: Final = 2


class Watched(WsgiChannel):
    """Remembers the most that any connection's buffer held of an answer."""

    most_bytes = 0

    def write(self, data: bytes) -> None:
        super().write(data)
        transport = self.transport
        held = len(transport.dataBuffer) - transport.offset + transport._tempDataLen
        Watched.most_bytes = max(Watched.most_bytes, held)


class WatchedSite(WsgiSite):
    protocol = Watched


class Server:
    """An application with a page, a file, one that is shorter than it was, and one that fails late."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.reactor: Any = EPollReactor()
        self.time = TaskClock()
        self.pool = ThreadPool(1, THREADS)
        self.site = WatchedSite(
            self.application, self.pool, reactor=self.reactor, clock=SimulatedClock(self.time, 0),
            limits=LIMITS,
        )  # fmt: skip
        self.files: list[Any] = []
        self.port = 0

    def application(self, environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        if environ["PATH_INFO"] == "/page":
            start("200 OK", [("Content-Length", "4")])
            return [b"page"]
        size = len(CONTENT) + (1 if environ["PATH_INFO"] == "/short" else 0)
        file = self.path.open("rb")
        self.files.append(file)
        environ[DOWNLOADS](file, 0, size)
        if environ["PATH_INFO"] == "/late":
            start("500 Internal Server Error", [("Content-Length", "5")])
            return [b"sorry"]
        start("200 OK", [("Content-Length", str(size))])
        return []

    def wait(self, seconds: float) -> None:
        """Let time pass for the deadlines."""
        blockingCallFromThread(self.reactor, self.time.advance, seconds)

    def ask(self, path: str) -> socket.socket:
        """Ask for something, with little room for the answer, and read no more than that it begins."""
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM_BYTES)
        client.settimeout(20)
        client.connect(("127.0.0.1", self.port))
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += client.recv(1)
        assert head.startswith(b"HTTP/1.1 200"), head
        return client

    def page(self) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request("GET", "/page")
        try:
            return connection.getresponse().read()
        finally:
            connection.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    path = tmp_path / "scan"
    path.write_bytes(CONTENT)
    Watched.most_bytes = 0
    server = Server(path)
    reactor = server.reactor
    thread = threading.Thread(target=reactor.run, kwargs={"installSignalHandlers": False}, daemon=True)
    thread.start()
    server.pool.start()
    port = blockingCallFromThread(reactor, lambda: reactor.listenTCP(0, server.site, interface="127.0.0.1"))
    server.port = port.getHost().port
    try:
        yield server
    finally:
        blockingCallFromThread(reactor, port.stopListening)
        server.pool.stop()
        reactor.callFromThread(reactor.stop)
        thread.join(20)
        assert not thread.is_alive()
        reactor.removeAll()


def until(true: Callable[[], object]) -> None:
    end_s = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end_s
        time.sleep(0.005)


def read(client: socket.socket, count: int) -> bytes:
    came = bytearray()
    while len(came) < count and (piece := client.recv(min(65_536, count - len(came)))):
        came += piece
    return bytes(came)


def test_readers_that_wait_cost_a_piece_each_and_hold_up_nobody(server: Server) -> None:
    clients = [server.ask("/scan") for _ in range(THREADS * 4)]
    assert server.page() == b"page"
    came = [read(client, len(CONTENT)) for client in clients]
    assert all(one == CONTENT for one in came)
    assert 0 < Watched.most_bytes <= SEND_BYTES + 1_024, "a piece, and a head"
    for client in clients:
        client.close()
    until(lambda: all(file.closed for file in server.files))


def test_a_slow_download_that_goes_on_is_never_cut(server: Server) -> None:
    """However long it takes: also when the server has written all of it, and the kernel holds the end."""
    with server.ask("/scan") as client:
        came = b""
        while len(came) < len(CONTENT):
            came += read(client, min(STEP_BYTES, len(CONTENT) - len(came)))
            if len(came) < len(CONTENT):
                server.wait(LIMITS.idle_s - 1)
        whole = came == CONTENT  # what differs in megabytes nobody wants to see
        assert whole
        client.sendall(b"GET /page HTTP/1.1\r\nHost: x\r\n\r\n")
        assert read(client, 15).startswith(b"HTTP/1.1 200")


def test_a_download_that_nobody_reads_is_cut(server: Server) -> None:
    with server.ask("/scan"):

        def gone() -> bool:
            server.wait(LIMITS.idle_s)
            return server.site.connections == 0

        until(gone)
        until(lambda: all(file.closed for file in server.files))


def test_a_file_that_is_shorter_than_it_was_is_no_whole_answer(server: Server) -> None:
    with server.ask("/short") as client, pytest.raises(ConnectionResetError):
        read(client, len(CONTENT) + 1)


def test_a_page_that_fails_after_all_sends_no_file(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        client.sendall(b"GET /late HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: client.recv(65_536), b""))
    assert answer.startswith(b"HTTP/1.1 500")
    assert answer.endswith(b"sorry")
    assert all(file.closed for file in server.files)
