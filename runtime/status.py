"""A daemon's word about itself over HTTP: ``/healthz``, ``/readyz`` and ``/metrics``.

- ``/healthz`` answers 200 as long as the reactor turns.
- ``/readyz`` answers 200 if every check passes and 503 if not; ``?verbose`` lists the checks by name, each
  failed one with what to do. With ``Accept: application/json`` it is a JSON object with all of them.
- ``/metrics`` is the registry in Prometheus' text format.

GET and HEAD only, no bodies, few connections and short deadlines (:mod:`runtime.web.serving`): whoever can
reach this port can learn how busy the daemon is, and nothing else, and cannot hold it up. Checks say what is
missing, never what is inside.
"""

# twisted.web is mostly unannotated, and its names are camelCase:
# mypy: allow-untyped-calls
# ruff: noqa: N815

import inspect
import json
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
from runtime.executors import Executor
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
    """What one check found: whether it passed, and short texts for people: what is, and what to do."""

    ok: bool
    text: str = ""
    advice: str = ""
    """What to do about it, for a person."""
    needed: bool = True
    """False: a failure is shown as a warning, and the daemon is ready all the same."""


Check = Callable[[], Readiness | Awaitable[Readiness]]
"""A question about readiness, asked in the reactor's thread; an awaitable may take its time."""


@dataclass(frozen=True, slots=True)
class _Answer:
    code: int
    content: bytes
    media_type: str = _TEXT


def status_site(
    *,
    reactor: Any,
    clock: Clock,
    registry: CollectorRegistry,
    checks: Mapping[str, Check],
    scraper: Executor | None = None,
) -> BoundedSite:
    """Return the factory to listen with; ``checks`` is looked at anew for each request.

    ``scraper`` writes the metrics down: the series of a thousand facilities take 100 ms, for which the
    reactor would stand still. What is collected must bear to be read from there.
    """
    root = _Status(clock, registry, checks, scraper)
    return BoundedSite(root, reactor=reactor, clock=clock, limits=STATUS_LIMITS)


class _Status(Resource):
    """All three pages."""

    isLeaf = True

    def __init__(
        self,
        clock: Clock,
        registry: CollectorRegistry,
        checks: Mapping[str, Check],
        scraper: Executor | None,
    ) -> None:
        super().__init__()
        self._clock, self._registry, self._checks, self._scraper = clock, registry, checks, scraper

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
                found = {name: await self._ask(name, check) for name, check in self._checks.items()}
                if _wants_json(request):
                    return _as_json(found)
                return _as_text(found, verbose=b"verbose" in request.uri.partition(b"?")[2].split(b"&"))
            case b"/metrics":
                return _Answer(200, await self._scrape(), CONTENT_TYPE_LATEST)
        return _Answer(404, b"There are /healthz, /readyz and /metrics here\n")

    async def _scrape(self) -> bytes:
        if self._scraper is None:
            return generate_latest(self._registry)
        return await self._scraper.run(lambda: generate_latest(self._registry))

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


def _wants_json(request: Request) -> bool:
    return b"application/json" in (request.getHeader(b"accept") or b"")


def _as_text(found: Mapping[str, Readiness], *, verbose: bool) -> _Answer:
    failed = [name for name, readiness in found.items() if readiness.needed and not readiness.ok]
    lines = [f"not ready: {', '.join(failed)}" if failed else "ready"]
    if verbose:
        lines += [_line(name, readiness) for name, readiness in found.items()]
    return _Answer(503 if failed else 200, ("\n".join(lines) + "\n").encode("utf-8"))


def _line(name: str, readiness: Readiness) -> str:
    line = f"[{'ok' if readiness.ok else 'failed' if readiness.needed else 'warning'}] {name}"
    if readiness.text:
        line += f": {readiness.text}"
    if readiness.advice and not readiness.ok:
        line += f" ({readiness.advice})"
    return line


def _as_json(found: Mapping[str, Readiness]) -> _Answer:
    ready = all(one.ok or not one.needed for one in found.values())
    checks = [
        {
            "name": name,
            "ok": one.ok,
            "needed": one.needed,
            "text": one.text,
            "advice": "" if one.ok else one.advice,
        }
        for name, one in found.items()
    ]
    content = json.dumps({"ready": ready, "checks": checks}).encode("utf-8")
    return _Answer(200 if ready else 503, content, "application/json")


def _ignore_cancelling(failure: Failure) -> None:
    failure.trap(CancelledError)


async def _awaited(asked: Awaitable[Readiness]) -> Readiness:
    return await asked
