"""The local API on a port of loopback: bounds that only a server has, files of any size, and a fuzzer."""

from __future__ import annotations

import http.client
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.threads import blockingCallFromThread

from config.fields import HostPort
from crypto.primitives import blake2b
from nodes.gateways.api import LocalApi, bounds
from nodes.gateways.api.access import load_token
from nodes.link.ids import id_text
from runtime.clock import ReactorClock
from runtime.transactions import open_engine
from tests.nodes.fixtures import Station
from tests.nodes.gateways.api_ends import DAY_MS, attach
from tests.nodes.gateways.folders import hl7

pytestmark = pytest.mark.integration


@dataclass
class Served:
    station: Station
    api: LocalApi
    reactor: Any
    port: int
    token: str
    woken: threading.Event

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            token = {"Authorization": f"Bearer {self.token}"}
            connection.request(method, path, body=body, headers=token | (headers or {}))
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers
        finally:
            connection.close()

    def send(self, **more: Any) -> tuple[int, Any]:
        body = json.dumps({"to": ["labo@chu-oran"], "from": "labo", **more})
        status, answer, _ = self.ask("POST", "/v1/messages", body, {"Content-Type": "application/json"})
        return status, json.loads(answer)

    def raw(self, data: bytes, *, wait_s: float = 10) -> bytes:
        """Send bytes as they are; return what came until the server closed."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=wait_s) as client:
            client.sendall(data)
            came = b""
            while piece := client.recv(65_536):
                came += piece
            return came

    def in_uploads(self) -> list[str]:
        return sorted(path.name for path in (self.station.home / "uploads").iterdir())


@contextmanager
def running(reactor: Any) -> Iterator[None]:
    thread = threading.Thread(target=reactor.run, kwargs={"installSignalHandlers": False}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        reactor.callFromThread(reactor.stop)
        thread.join(20)
        assert not thread.is_alive()


@pytest.fixture
def served(station: Station) -> Iterator[Served]:
    reactor: Any = EPollReactor()  # type: ignore[no-untyped-call]  # Twisted annotates it not
    engine = open_engine(station.url)
    woken = threading.Event()
    api = LocalApi(
        reactor=reactor, engine=engine, identity=station.identity, home=station.home,
        listen=HostPort("127.0.0.1", 0), valid_for=lambda _: DAY_MS, floor_bytes=0,
        clock=ReactorClock(reactor), wake=woken.set, connected=lambda: False, on_fatal=lambda _: None,
        alarm=lambda *_: None,
    )  # fmt: skip
    with running(reactor):
        blockingCallFromThread(reactor, api.start)
        try:
            yield Served(station, api, reactor, api.port, load_token(station.home), woken)
        finally:
            blockingCallFromThread(reactor, _stopping(api))
            engine.dispose()
            reactor.removeAll()


def _stopping(api: LocalApi) -> Any:
    return lambda: Deferred.fromCoroutine(api.stop())


def until(true: Callable[[], bool], seconds: float = 5) -> None:
    end_s = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end_s
        time.sleep(0.01)


def test_a_message_with_an_upload_goes_in_and_an_attachment_comes_out(served: Served) -> None:
    content = os.urandom(5_000_000)
    status, answer, _ = served.ask("POST", "/v1/uploads?name=scan.dcm", content)
    assert status == 201
    upload = json.loads(answer)
    assert (upload["size"], upload["digest"]) == (len(content), blake2b(content).hex())
    assert served.send(body=hl7().decode(), attachments=[upload["upload"]])[0] == 201
    assert served.woken.wait(5)
    seq = served.station.receive(hl7())
    attach(served.station, seq, "scan.dcm", content)
    path = f"/v1/inbox/{id_text(served.station.inbox_row(seq).id)}"
    status, came, headers = served.ask("GET", f"{path}/attachments/1")
    assert (status, came == content, headers["Content-Length"]) == (200, True, str(len(content)))
    status, came, headers = served.ask("GET", f"{path}/attachments/1", headers={"Range": "bytes=100-2000099"})
    assert (status, came == content[100:2_000_100]) == (206, True)
    assert served.ask("GET", f"{path}/body")[1] == hl7()
    status, came, headers = served.ask("HEAD", f"{path}/attachments/1")
    assert (status, came, headers["Content-Length"]) == (200, b"", str(len(content)))


def test_the_end_waits_for_what_is_being_done_and_the_reactor_turns_meanwhile(served: Served) -> None:
    """A second signal, and the time that the end may take, are heard in the reactor's thread."""
    begun, finish, ended = threading.Event(), threading.Event(), threading.Event()

    def slow() -> None:
        begun.set()
        assert finish.wait(20)

    served.reactor.callFromThread(served.api.site.in_thread, slow)
    assert begun.wait(5)
    stopping = _stopping(served.api)
    served.reactor.callFromThread(lambda: stopping().addCallback(lambda _: ended.set()))
    try:
        for _ in range(3):
            turned = threading.Event()
            served.reactor.callFromThread(turned.set)
            assert turned.wait(2)
        assert not ended.is_set()
    finally:
        finish.set()
    assert ended.wait(5)


def test_an_upload_in_chunks_of_unknown_length(served: Served) -> None:
    pieces = [os.urandom(100_000) for _ in range(20)]
    status, answer, _ = served.ask("POST", "/v1/uploads", iter(pieces))
    assert status == 201
    assert json.loads(answer)["digest"] == blake2b(b"".join(pieces)).hex()


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"POST /v1/uploads HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n", b"401"),
        (b"POST /v1/uploads HTTP/1.1\r\nHost: evil\r\n{token}Content-Length: 99999999999\r\n\r\n", b"421"),
        (b"POST /v1/uploads HTTP/1.1\r\n{token}Content-Length: 99999999999\r\n\r\n", b"4"),
        (
            b"POST /v1/uploads HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n{token}Content-Length: 9\r\n\r\n",
            b"421",
        ),
        (
            b"POST /v1/uploads HTTP/1.1\r\nHost: [::1]\r\n{token}Content-Length: 9999999999999999\r\n\r\n",
            b"413",
        ),
        (
            b"POST /v1/uploads HTTP/1.1\r\nHost: localhost\r\n{token}Content-Length: 69999999999999\r\n\r\n",
            b"507",
        ),
        (b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\n{token}Content-Length: 99999999\r\n\r\n", b"413"),
        (b"PUT /v1/uploads HTTP/1.1\r\nHost: localhost\r\n{token}Content-Length: 99999999\r\n\r\n", b"413"),
    ],
)
def test_what_will_not_be_taken_is_refused_by_its_head(served: Served, head: bytes, status: bytes) -> None:
    """Before a byte of the body is read, and without a file made for it."""
    token = b"Authorization: Bearer " + served.token.encode() + b"\r\n"
    came = served.raw(head.replace(b"{token}", token))
    assert came.startswith(b"HTTP/1.1 " + status), came[:200]
    until(lambda: served.in_uploads() == [])


def test_an_upload_that_breaks_off_leaves_nothing(served: Served) -> None:
    head = f"POST /v1/uploads HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {served.token}\r\n"
    with socket.create_connection(("127.0.0.1", served.port)) as client:
        client.sendall(head.encode() + b"Content-Length: 1000000\r\n\r\n" + b"x" * 500_000)
        until(lambda: len(served.in_uploads()) == 1)
    until(lambda: served.in_uploads() == [])


def test_a_client_that_goes_away_or_does_not_read_holds_up_nobody(served: Served) -> None:
    """More slow readers than there are threads, of a file larger than any buffer; others are served."""
    seq = served.station.receive(b"x")
    attach(served.station, seq, "scan.dcm", bytes(40_000_000))
    path = f"/v1/inbox/{id_text(served.station.inbox_row(seq).id)}/attachments/1"
    clients = []
    for _ in range(bounds.THREADS * 2):
        client = socket.create_connection(("127.0.0.1", served.port))
        head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {served.token}\r\n\r\n"
        client.sendall(head.encode())
        assert client.recv(12) == b"HTTP/1.1 200"
        clients.append(client)
    assert served.ask("GET", "/v1/status")[0] == 200
    for client in clients:
        client.close()
    held = Path("/proc/self/fd")
    name = f"received-{seq}-0"
    until(lambda: not any(name in str(fd.readlink()) for fd in held.iterdir() if fd.is_symlink()), 10)
    assert served.ask("GET", path)[0] == 200


def test_requests_on_one_connection_are_answered_in_turn(served: Served) -> None:
    head = f"GET /v1/status HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {served.token}\r\n"
    came = served.raw(f"{head}\r\n{head}Connection: close\r\n\r\n".encode())
    assert came.count(b"HTTP/1.1 200") == 2
