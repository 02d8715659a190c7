"""The status endpoint: alive, ready or not and why, metrics; nothing else, for nobody too long."""

import json

import pytest
from prometheus_client import Counter
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock as TaskClock

from runtime.clock import SimulatedClock
from runtime.metrics import new_registry
from runtime.status import Check, Readiness, status_site
from tests.runtime.http import Client


class Status:
    def __init__(self) -> None:
        self.time = TaskClock()
        self.checks: dict[str, Check] = {}
        self.registry = new_registry("hub", "0.1.0")
        self.site = status_site(
            reactor=self.time,
            clock=SimulatedClock(self.time, 0),
            registry=self.registry,
            checks=self.checks,
        )

    def request(self, path: str, method: str = "GET", more: str = "") -> tuple[int, str, str]:
        """Return the answer's code, head and body."""
        client = Client(self.site)
        answer = client.say(f"{method} {path} HTTP/1.1\r\nHost: x\r\n{more}\r\n".encode())
        client.hang_up()
        head, _, body = answer.decode().partition("\r\n\r\n")
        return int(head.split(" ")[1]), head.lower(), body


@pytest.fixture
def status() -> Status:
    return Status()


def test_alive(status: Status) -> None:
    status.checks["database"] = lambda: Readiness(ok=False)
    code, head, body = status.request("/healthz")
    assert (code, body) == (200, "ok\n")
    assert "cache-control: no-store" in head
    assert "server:" not in head


def test_ready_when_every_check_passes(status: Status) -> None:
    assert status.request("/readyz")[::2] == (200, "ready\n")
    status.checks["database"] = lambda: Readiness(ok=True, text="3 ms")
    status.checks["link"] = lambda: Readiness(ok=False, text="hub not reached for 32 s")
    assert status.request("/readyz")[::2] == (503, "not ready: link\n")
    assert status.request("/readyz?verbose")[::2] == (
        503,
        "not ready: link\n[ok] database: 3 ms\n[failed] link: hub not reached for 32 s\n",
    )


def test_a_failed_check_says_what_to_do(status: Status) -> None:
    status.checks["disk"] = lambda: Readiness(ok=False, text="1 MiB free", advice="make room")
    status.checks["clock"] = lambda: Readiness(ok=True, text="sane", advice="set it")
    expected = "not ready: disk\n[failed] disk: 1 MiB free (make room)\n[ok] clock: sane\n"
    assert status.request("/readyz?verbose")[::2] == (503, expected)


def test_a_warning_leaves_the_daemon_ready(status: Status) -> None:
    status.checks["clock"] = lambda: Readiness(ok=False, text="1 h off", advice="set it", needed=False)
    assert status.request("/readyz?verbose")[::2] == (200, "ready\n[warning] clock: 1 h off (set it)\n")
    assert status.request("/readyz", more="Accept: application/json\r\n")[0] == 200


def test_programs_get_json(status: Status) -> None:
    status.checks["disk"] = lambda: Readiness(ok=False, text="1 MiB free", advice="make room")
    status.checks["clock"] = lambda: Readiness(ok=True, text="sane", advice="set it")
    code, head, body = status.request("/readyz", more="Accept: application/json\r\n")
    assert code == 503
    assert "content-type: application/json" in head
    assert json.loads(body) == {
        "ready": False,
        "checks": [
            {"name": "disk", "ok": False, "needed": True, "text": "1 MiB free", "advice": "make room"},
            {"name": "clock", "ok": True, "needed": True, "text": "sane", "advice": ""},
        ],
    }
    del status.checks["disk"]
    assert status.request("/readyz", more="Accept: application/json\r\n")[0] == 200


def test_a_check_may_take_its_time_but_not_for_ever(status: Status) -> None:
    async def good() -> Readiness:
        return Readiness(ok=True, text="asked")

    never: Deferred[Readiness] = Deferred()
    status.checks["good"] = good
    assert status.request("/readyz?verbose")[::2] == (200, "ready\n[ok] good: asked\n")
    status.checks["slow"] = lambda: never
    client = Client(status.site)
    assert client.say(b"GET /readyz?verbose HTTP/1.1\r\nHost: x\r\n\r\n") == b""
    status.time.advance(5)
    answer = client.say(b"")
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"[failed] slow: no answer within 5 s\n" in answer
    client.hang_up()
    assert status.time.getDelayedCalls() == []


def test_a_check_that_breaks_is_not_ready_and_tells_only_the_log(
    status: Status, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> Readiness:
        raise RuntimeError("secret detail")

    status.checks["broken"] = broken
    code, _, body = status.request("/readyz?verbose")
    assert code == 503
    assert "secret" not in body
    assert "secret detail" in caplog.text


def test_a_client_that_leaves_takes_its_question_along(status: Status) -> None:
    cancelled: list[object] = []
    status.checks["slow"] = lambda: Deferred(cancelled.append)
    client = Client(status.site)
    client.say(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
    client.hang_up()
    assert len(cancelled) == 1
    assert status.time.getDelayedCalls() == []


def test_metrics_are_the_registrys(status: Status) -> None:
    Counter("wasl_things", "Things.", registry=status.registry).inc(7)
    code, head, body = status.request("/metrics")
    assert code == 200
    assert "content-type: text/plain; version=" in head
    assert "wasl_things_total 7.0" in body
    assert 'component="hub"' in body


@pytest.mark.parametrize(
    "path", ["/", "/healthz/", "/readyz/x", "/../etc/passwd", "/%2fhealthz", "*", "/health"]
)
def test_there_is_nothing_else(status: Status, path: str) -> None:
    assert status.request(path)[0] in {404, 405}


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_head_is_get_without_the_body(status: Status, path: str) -> None:
    code, head, body = status.request(path, "HEAD")
    assert (code, body) == (200, "")
    assert "content-length: 0" not in head


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"])
def test_other_methods_are_refused(status: Status, method: str) -> None:
    assert status.request("/healthz", method)[0] == 405


@pytest.mark.parametrize("more", ["Content-Length: 1\r\n", "Transfer-Encoding: chunked\r\n"])
def test_bodies_are_refused(status: Status, more: str) -> None:
    assert status.request("/healthz", "GET", more)[0] == 413


def test_16_connections_from_one_address_64_in_all(status: Status) -> None:
    one = [Client(status.site, "10.0.0.1") for _ in range(17)]
    assert [client.closed for client in one] == [False] * 16 + [True]
    rest = [Client(status.site, f"10.0.1.{number}") for number in range(49)]
    assert [client.closed for client in rest] == [False] * 48 + [True]
    status.time.advance(10)
    assert all(client.wire.aborted for client in one[:16] + rest[:48])
