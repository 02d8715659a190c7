"""The API as the daemon sees it: something to start and to stop."""

# twisted.web is mostly unannotated:
# mypy: allow-untyped-calls

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any, Final

from sqlalchemy import Engine
from twisted.internet.defer import Deferred
from twisted.python.threadpool import ThreadPool

from config.fields import HostPort
from nodes.gateways.api import bounds
from nodes.gateways.api.access import Gate, load_token
from nodes.gateways.api.app import make_app
from nodes.gateways.api.routes import Node
from nodes.gateways.api.serving import ApiSite
from nodes.gateways.api.uploads import Uploads
from nodes.gateways.drafting import ValidFor
from nodes.link.identity import Identity
from runtime.clock import Clock, Handle
from runtime.listening import listen
from runtime.logs import event

_LOG: Final = logging.getLogger(__name__)


class LocalApi:
    """The API of one node: started and stopped by the daemon, in the reactor's thread.

    ``wake``, ``connected``, ``on_fatal`` and ``alarm`` are the daemon's; ``connected`` is called in any
    thread, the others in the reactor's. ``engine`` is the API's own, and the caller's to close.
    """

    def __init__(
        self,
        *,
        reactor: Any,
        engine: Engine,
        identity: Identity,
        home: Path,
        listen: HostPort,
        valid_for: ValidFor,
        floor_bytes: int,
        clock: Clock,
        wake: Callable[[], object],
        connected: Callable[[], bool],
        on_fatal: Callable[[BaseException], object],
        alarm: Callable[[str, str], object],
    ) -> None:
        """Read the token, made at first; NodeError if its file cannot be used."""
        self._reactor, self._clock, self._listen = reactor, clock, listen
        self._uploads = Uploads(home, floor_bytes)
        self._uploads.make()
        gate = Gate(load_token(home), listen)
        node = Node(
            engine, identity, home, clock, self._uploads, valid_for, floor_bytes,
            lambda: reactor.callFromThread(wake), connected,
            lambda error: reactor.callFromThread(on_fatal, error),
            lambda code, text: reactor.callFromThread(alarm, code, text),
        )  # fmt: skip
        self._pool = ThreadPool(0, bounds.THREADS, "api")
        # A process that is told to end at once does not wait for them.
        self._pool.threadFactory = partial(Thread, daemon=True)  # type: ignore[assignment]  # called, no more
        self.site = ApiSite(
            make_app(node, gate), self._pool, reactor=reactor, clock=clock, gate=gate, uploads=self._uploads
        )
        self._port: Any = None
        self._timer: Handle | None = None

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._port.getHost().port)

    def start(self) -> None:
        """Listen. Raises StartError."""
        self._port = listen(self._reactor, self._listen, self.site, "api.listen in node.toml")
        self._pool.start()
        event(_LOG, logging.INFO, "api-listening", host=self._listen.host, port=self.port)
        self._sweep()

    async def stop(self) -> None:
        """Take no more connections, let the threads finish what they do; may be called twice."""
        port, self._port = self._port, None
        if port is not None:
            if self._timer is not None:
                self._timer.cancel()
            await port.stopListening()
            await self._joined()

    def _joined(self) -> Deferred[None]:
        """End the threads once they have finished what they do; beside the reactor, since that blocks."""
        joined: Deferred[None] = Deferred()

        def join() -> None:
            self._pool.stop()
            self._reactor.callFromThread(joined.callback, None)

        Thread(target=join, name="api-stop", daemon=True).start()
        return joined

    def _sweep(self) -> None:
        self._timer = self._clock.call_later(bounds.SWEEP_S, self._sweep)
        swept = self.site.in_thread(self._uploads.sweep, self._clock.now_ms())
        swept.addErrback(lambda failure: event(_LOG, logging.WARNING, "api-sweep", cause=failure.value))
