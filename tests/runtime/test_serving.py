"""HTTP under limits: every phase ends by itself, few connections, no large bodies."""

# twisted.web is mostly unannotated, and its names are camelCase:
# mypy: allow-untyped-calls
# ruff: noqa: N802, N815

from collections.abc import Callable
from errno import EMFILE, ENOSPC
from io import BytesIO
from typing import Any

import pytest
from twisted.internet.task import Clock as TaskClock
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from runtime.clock import SimulatedClock
from runtime.web.serving import BoundedSite, HttpLimits
from tests.runtime.http import Client

LIMITS = HttpLimits(
    max_connections=5, max_per_address=3, max_body_bytes=10, head_s=10, body_s=20, answer_s=30, idle_s=40
)
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class Page(Resource):
    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.bodies: list[bytes] = []
        self.hanging = False

    def render_GET(self, _request: Request) -> bytes | int:
        return NOT_DONE_YET if self.hanging else b"page"

    def render_POST(self, request: Request) -> bytes:
        assert request.content is not None
        self.bodies.append(request.content.read())
        return b"taken"


class Service:
    def __init__(self) -> None:
        self.time = TaskClock()
        self.page = Page()
        self.site = BoundedSite(
            self.page, reactor=self.time, clock=SimulatedClock(self.time, 0), limits=LIMITS
        )

    def connect(self, address: str = "127.0.0.1") -> Client:
        return Client(self.site, address)


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.mark.parametrize(
    "pieces",
    [
        [b"G"] + [b"E"] * 500,
        [b"GET / HTTP/1.1\r\n"] + [b"X-%d: a\r\n" % number for number in range(400)],
        [b""] * 500,
        [b"\r\n"] * 500,
    ],
)
def test_a_slow_head_is_cut_at_its_deadline_however_often_it_speaks(
    service: Service, pieces: list[bytes]
) -> None:
    """The slow loris: Twisted's own timeout is reset by every byte, this one by none."""
    client = service.connect()
    assert client.drip(pieces, 0.5, service.time) <= 10
    assert client.closed


def test_a_slow_body_is_cut_at_its_deadline(service: Service) -> None:
    client = service.connect()
    client.say(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n")
    assert 19 <= client.drip([b"x"] * 9 + [b""] * 90, 3, service.time) <= 21
    assert client.wire.aborted
    assert service.page.bodies == []


def test_an_answer_that_never_comes_is_cut_at_its_deadline(service: Service) -> None:
    service.page.hanging = True
    client = service.connect()
    client.say(GET)
    service.time.advance(29)
    assert not client.closed
    service.time.advance(1)
    assert client.wire.aborted


def test_a_connection_lives_from_request_to_request(service: Service) -> None:
    client = service.connect()
    for _ in range(5):
        assert client.say(GET).endswith(b"page")
        service.time.advance(39)
    assert not client.closed
    service.time.advance(1)
    assert client.wire.aborted


def test_pipelined_requests_are_answered_in_turn(service: Service) -> None:
    client = service.connect()
    assert client.say(GET * 3).count(b"page") == 3
    assert not client.closed


def test_no_timer_survives_the_connection(service: Service) -> None:
    client = service.connect()
    client.say(GET)
    client.hang_up()
    assert service.time.getDelayedCalls() == []
    assert service.site.connections == 0


def test_few_connections_in_all_and_fewer_from_one_address(service: Service) -> None:
    first = [service.connect("10.0.0.1") for _ in range(4)]
    assert [client.closed for client in first] == [False, False, False, True]
    others = [service.connect(f"10.0.1.{number}") for number in range(3)]
    assert [client.closed for client in others] == [False, False, True]
    assert service.site.connections == 5
    first[0].hang_up()
    assert not service.connect("10.0.0.1").closed
    assert service.connect("10.0.0.1").closed


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999\r\n\r\n" + b"x" * 1000,
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n01234567890\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"2\r\nab\r\n" * 6
        + b"0\r\n\r\n",
    ],
)
def test_a_body_that_is_too_large_is_refused_once_and_not_kept(
    service: Service, request_bytes: bytes
) -> None:
    client = service.connect()
    answer = client.say(request_bytes)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert answer.count(b"HTTP/1.1") == 1
    assert client.closed
    assert service.page.bodies == []
    client.hang_up()
    assert service.time.getDelayedCalls() == []


@pytest.mark.parametrize("fails", ["opened", "written"])
def test_a_body_that_cannot_be_kept_is_refused_and_harms_nobody(
    service: Service, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    """What is chunked, or has 100,000 bytes, goes to a file: there may be none to be had, or no room."""

    class Full(BytesIO):
        def write(self, _data: Any) -> int:
            raise OSError(ENOSPC, "No space left on device")

    def made() -> BytesIO:
        if fails == "opened":
            raise OSError(EMFILE, "Too many open files")
        return Full()

    monkeypatch.setattr("twisted.web.http.tempfile.TemporaryFile", made)
    client = service.connect()
    answer = client.say(
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 503 ")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"Content-Length: %d\r\n" % len(body) in head + b"\r\n"
    assert client.closed
    assert service.page.bodies == []
    client.hang_up()
    assert service.time.getDelayedCalls() == []
    assert service.connect().say(GET).endswith(b"page")


def test_a_refused_client_that_does_not_go_away_is_aborted(service: Service) -> None:
    client = service.connect()
    client.say(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n")
    service.time.advance(40)
    assert client.wire.aborted


@pytest.mark.parametrize(
    "frame",
    [
        lambda body: b"Content-Length: %d\r\n\r\n%b" % (len(body), body),
        lambda body: b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body),
    ],
)
def test_a_body_within_the_bound_arrives_whole(service: Service, frame: Callable[[bytes], bytes]) -> None:
    client = service.connect()
    request = b"POST / HTTP/1.1\r\nHost: x\r\n" + frame(b"0123456789")
    answer = b"".join(client.say(request[at : at + 1]) for at in range(len(request)))
    assert answer.endswith(b"taken")
    assert service.page.bodies == [b"0123456789"]
