"""What every web process is made of: an application in a few threads, behind bounded connections.

The threads are daemons: a request that hangs holds up nobody's end. The watchdog's question is asked in the
same threads, so they and the database have both answered when it is fed.
"""

# twisted.web is mostly unannotated:
# mypy: allow-untyped-calls

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from threading import Thread
from typing import Any, Final

from sqlalchemy import Engine
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from config.fields import HostPort
from runtime.clock import Clock
from runtime.listening import listen
from runtime.logs import event
from runtime.service import Life, Stop
from runtime.transactions import read, transact
from runtime.web import accounts, signin
from runtime.web.accounts import AccountTables
from runtime.web.downloads import WsgiSite
from runtime.web.serving import HttpLimits

THREADS: Final = 8

_LOG: Final = logging.getLogger(__name__)


def place(asked: HostPort | None, settings: HostPort, name: str) -> tuple[HostPort, str]:
    """Return where to listen, and what an operator changes there: ``--listen`` if it was given."""
    return (settings, name) if asked is None else (asked, "--listen")


def serve(
    reactor: Any,
    life: Life,
    application: Any,
    at: tuple[HostPort, str],
    *,
    engine: Engine,
    clock: Clock,
    limits: HttpLimits,
    tidy: Callable[[], object],
    factory: type[WsgiSite] = WsgiSite,
) -> Stop:
    """Serve a WSGI ``application`` where ``at`` says (:func:`place`); returns what ends it.

    ``tidy`` runs in one of the threads whenever the watchdog asks, and has to write. The engine is closed at
    the end. Raises :class:`runtime.service.StartError` if the address cannot be had.
    """
    pool = ThreadPool(1, THREADS, "web")
    pool.threadFactory = partial(Thread, daemon=True)  # type: ignore[assignment]  # called, no more
    site = factory(application, pool, reactor=reactor, clock=clock, limits=limits)
    port = listen(reactor, at[0], site, at[1])
    pool.start()
    life.prove = lambda: deferToThreadPool(reactor, pool, tidy)
    where = port.getHost()
    event(_LOG, logging.INFO, "listening", host=where.host, port=where.port)

    async def stop() -> None:
        await port.stopListening()
        await _joined(reactor, pool)
        engine.dispose()

    return stop


def warn_without_users(engine: Engine, tables: AccountTables, command: str) -> None:
    """Say by which ``command`` somebody is added, as long as nobody can sign in."""
    if not read(engine, lambda connection: any(one.active for one in accounts.users(connection, tables))):
        event(_LOG, logging.WARNING, "no-users", add=command)


def end_old_sessions(engine: Engine, tables: AccountTables, now_ms: int) -> None:
    """Remove the sessions that are over, committed."""
    transact(
        engine,
        lambda connection: accounts.end_old_sessions(
            connection,
            tables,
            created_before_ms=now_ms - signin.ABSOLUTE_MS,
            seen_before_ms=now_ms - signin.IDLE_MS,
        ),
    )


def _joined(reactor: Any, pool: ThreadPool) -> Deferred[None]:
    """End the threads once they have finished what they do; beside the reactor, since that blocks."""
    joined: Deferred[None] = Deferred()

    def join() -> None:
        pool.stop()
        reactor.callFromThread(joined.callback, None)

    Thread(target=join, name="web-stop", daemon=True).start()
    return joined
