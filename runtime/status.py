"""A daemon's word about itself over HTTP: ``/healthz``, ``/readyz`` and ``/metrics``.

- ``/healthz`` answers 200 as long as the reactor turns.
- ``/readyz`` answers 200 if every check passes and 503 if not; ``?verbose`` lists the checks by name.
- ``/metrics`` is the registry in Prometheus' text format.

GET and HEAD only, no bodies, few connections and short deadlines (:mod:`runtime.web.serving`): whoever can
reach this port can learn how busy the daemon is, and nothing else, and cannot hold it up. Checks say what is
missing, never what is inside.
"""

# twisted.web is mostly unannotated, and its names are camelCase:
# mypy: allow-untyped-calls
# ruff: noqa: N815

import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from runtime.clock import Clock
from runtime.logs import event
from runtime.web.serving import BoundedSite, HttpLimits

STATUS_LIMITS = HttpLimits(
    max_connections=64, max_per_address=16, max_body_bytes=0, head_s=10, body_s=10, answer_s=30, idle_s=10
)
CHECK_TIMEOUT_S = 5.0
"""A check that takes longer has failed."""

_TEXT = "text/plain; charset=utf-8"
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Readiness:
    """What one check found: whether it passed, and a short text for people."""

    ok: bool
    text: str = ""


Check = Callable[[], Readiness | Awaitable[Readiness]]
"""A question about readiness, asked in the reactor's thread; an awaitable may take its time."""


@dataclass(frozen=True, slots=True)
class _Answer:
    code: int
    content: bytes
    media_type: str = _TEXT


def status_site(
    *, reactor: Any, clock: Clock, registry: CollectorRegistry, checks: Mapping[str, Check]
) -> BoundedSite:
    """Return the factory to listen with; ``checks`` is looked at anew for each request."""
    root = _Status(clock, registry, checks)
    return BoundedSite(root, reactor=reactor, clock=clock, limits=STATUS_LIMITS)


class _Status(Resource):
    """All three pages."""

    isLeaf = True

    def __init__(self, clock: Clock, registry: CollectorRegistry, checks: Mapping[str, Check]) -> None:
        super().__init__()
        self._clock, self._registry, self._checks = clock, registry, checks

    def render(self, request: Request) -> int:
        """Answer any method; not twisted.web's own way, which lists an odd method's refusal as a failure."""
        answering = Deferred.fromCoroutine(self._respond(request))
        request.notifyFinish().addErrback(lambda _: answering.cancel())
        answering.addErrback(_ignore_cancelling)
        return NOT_DONE_YET

    async def _respond(self, request: Request) -> None:
        if request.method in {b"GET", b"HEAD"}:
            answer = await self._answer(request)
        else:
            request.setHeader(b"allow", b"GET, HEAD")
            answer = _Answer(405, b"GET or HEAD\n")
        request.setResponseCode(answer.code)
        request.setHeader(b"content-type", answer.media_type.encode("ascii"))
        request.setHeader(b"content-length", str(len(answer.content)).encode("ascii"))
        request.setHeader(b"cache-control", b"no-store")
        request.setHeader(b"x-content-type-options", b"nosniff")
        request.write(answer.content)
        request.finish()

    async def _answer(self, request: Request) -> _Answer:
        match request.path:
            case b"/healthz":
                return _Answer(200, b"ok\n")
            case b"/readyz":
                return await self._readiness(verbose=b"verbose" in request.uri.partition(b"?")[2].split(b"&"))
            case b"/metrics":
                return _Answer(200, generate_latest(self._registry), CONTENT_TYPE_LATEST)
        return _Answer(404, b"There are /healthz, /readyz and /metrics here\n")

    async def _readiness(self, *, verbose: bool) -> _Answer:
        found = {name: await self._ask(name, check) for name, check in self._checks.items()}
        failed = [name for name, readiness in found.items() if not readiness.ok]
        lines = [f"not ready: {', '.join(failed)}" if failed else "ready"]
        if verbose:
            lines += [
                f"[{'ok' if readiness.ok else 'failed'}] {name}"
                + (f": {readiness.text}" if readiness.text else "")
                for name, readiness in found.items()
            ]
        return _Answer(503 if failed else 200, ("\n".join(lines) + "\n").encode("utf-8"))

    async def _ask(self, name: str, check: Check) -> Readiness:
        try:
            asked = check()
            return await self._in_time(asked) if inspect.isawaitable(asked) else asked
        except CancelledError:
            raise
        except Exception as error:  # noqa: BLE001  # whatever it stumbles over, the answer is "not ready"
            event(_LOG, logging.ERROR, "readiness check failed", check=name, cause=error)
            return Readiness(ok=False, text="the check itself failed, see the log")

    async def _in_time(self, asked: Awaitable[Readiness]) -> Readiness:
        overdue = False

        def give_up() -> None:
            nonlocal overdue
            overdue = True
            answering.cancel()

        answering = Deferred.fromCoroutine(_awaited(asked))
        timer = self._clock.call_later(CHECK_TIMEOUT_S, give_up)
        try:
            return await answering
        except CancelledError:
            if overdue:
                return Readiness(ok=False, text=f"no answer within {CHECK_TIMEOUT_S:g} s")
            raise
        finally:
            timer.cancel()


def _ignore_cancelling(failure: Failure) -> None:
    failure.trap(CancelledError)


async def _awaited(asked: Awaitable[Readiness]) -> Readiness:
    return await asked
