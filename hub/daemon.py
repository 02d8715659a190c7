"""The hub's process: everything composed, listening, and brought to rest again.

What it does on its own account: it rounds over the spool (``hub.sweeper``), reads the
directory again when somebody poked it or its version rose, and answers ``/healthz``,
``/readyz`` and ``/metrics``. A failed fsync or a damaged database ends it: a restart finds
every acknowledged message where it was.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine
from twisted.internet.defer import Deferred

from config.common import Log
from config.hub import HubSettings
from crypto.errors import CryptoError
from hub import health
from hub import home as hub_home
from hub.admin import authority
from hub.compose import compose, peer_name
from hub.core import HubCore
from hub.files.errors import AttachmentError
from hub.gauges import HubGauges
from hub.listener import HubListener
from hub.metadata import metadata
from hub.peers import store as peers
from hub.peers.membership import Membership
from hub.peers.notices import DIRECTORY
from hub.sweeper import ROUND_S, Sweeper
from protocols.link import frames as f
from runtime import migrations
from runtime.clock import ReactorClock, sleep
from runtime.executors import ThreadExecutor
from runtime.home import HomeError, PokeListener, RunLock
from runtime.listening import listen
from runtime.logs import bridge_twisted, event, set_up
from runtime.metrics import new_registry
from runtime.probe import WriteProbe
from runtime.service import Life, StartError, Stop, run_daemon
from runtime.status import status_site
from runtime.storage_errors import StorageError
from runtime.tasks import spawn
from runtime.version import VERSION

_GOODBYE_S: Final = 0.3

_LOG = logging.getLogger(__name__)


def run(home: Path, reactor: Any) -> int:
    """Run the hub of ``home`` until it is told to stop; returns the exit code."""
    set_up_logs(HubSettings().log)
    bridge_twisted()
    return run_daemon(
        "wasl-hub", lambda life: _start(home, reactor, life), reactor=reactor, environment=os.environ
    )


def set_up_logs(log: Log) -> None:
    """Log as the settings say, to stderr."""
    set_up(sys.stderr, level=str(log.level), style=str(log.format))


async def _start(home: Path, reactor: Any, life: Life) -> Stop:
    try:
        settings = hub_home.load_settings(home)
        set_up_logs(settings.log)
        keys = hub_home.load_keys(home)
        lock = RunLock(home)
        engine = hub_home.open_database(home, settings)
        migrations.upgrade(engine, "hub")
        migrations.require_tables(engine, metadata)
        registry = new_registry("hub", VERSION)
        clock = ReactorClock(reactor)
        core = compose(
            home=home,
            settings=settings,
            keys=keys,
            engine=engine,
            clock=clock,
            writer=ThreadExecutor(reactor, "writer"),
            reader=ThreadExecutor(reactor, "reader"),
            file_worker=ThreadExecutor(reactor, "files"),
            on_fatal=lambda error: life.fail("storage failed", error),
            registry=registry,
        )
        core.key_file = lambda: hub_home.load_keys(home)
        core.keys_hold = lambda holds: hub_home.publish(home, holds.keys, holds.serial)
        core.keys_hold(core.holds)
    except (hub_home.HubHomeError, HomeError, StorageError, AttachmentError, CryptoError, OSError) as error:
        raise StartError(str(error)) from error
    ports = _open_door(reactor, core)
    rounds, gauges = _Rounds(core), HubGauges(core)
    probe = WriteProbe(
        core.database, clock, registry, package="hub", write=lambda c: peers.beat(c, core.number)
    )
    registry.register(gauges)
    core.metrics.clock_leapt.set_function(lambda: rounds.clock_leapt)
    checks = health.checks(core, probe, lambda: rounds.clock_leapt)
    scraper = ThreadExecutor(reactor, "scraper")
    site = status_site(reactor=reactor, clock=clock, registry=registry, checks=checks, scraper=scraper)
    ports.append(listen(reactor, settings.http.listen, site, "http.listen in hub.toml"))
    poke = PokeListener(home / hub_home.POKE, reactor, lambda: _poked(core, gauges))
    own_work: tuple[_Rounds, HubGauges, WriteProbe] = rounds, gauges, probe
    for work in own_work:
        work.start()
    leave_peers = _join_peers(core, engine, reactor) if core.shared else None
    for port in ports:
        where = port.getHost()
        event(_LOG, logging.INFO, "listening", host=where.host, port=where.port)
    life.prove = lambda: _beat(core)

    async def stop() -> None:
        for work in own_work:
            work.stop()
        poke.stop()
        for port in ports:
            await port.stopListening()
        core.sessions.end_all(f.Goodbye.RESTARTING, "this hub is going down")
        await sleep(clock, _GOODBYE_S)
        if leave_peers is not None:
            await leave_peers()
        await core.files.close()
        await core.database.close()
        engine.dispose()
        lock.release()

    return stop


def _open_door(reactor: Any, core: HubCore) -> list[Any]:
    """Listen at every address, behind one door: its bounds hold for all of them together."""
    door = HubListener(core)
    return [
        listen(reactor, address, door, "hub.listen in hub.toml", backlog=1024)
        for address in core.settings.hub.listen
    ]


def _join_peers(core: HubCore, engine: Engine, reactor: Any) -> Stop:
    """Begin to live among other processes on the same database; returns how to leave."""
    from hub.peers.hints import Hints  # noqa: PLC0415 - loads PostgreSQL's driver, which SQLite does not need

    membership = Membership(core, peer_name(core.home))

    def hint(what: str) -> None:
        core.follower.look()
        if what in {"", DIRECTORY}:
            spawn(
                core.reload_directory(),
                lambda error: event(_LOG, logging.WARNING, "reload-failed", cause=error),
            )

    hints = Hints(engine, reactor, hint)
    membership.start()

    async def leave() -> None:
        hints.stop()
        await membership.leave()

    return leave


class _Rounds:
    """The hub's own regular work; a round that fails is told and tried again."""

    def __init__(self, core: HubCore) -> None:
        self._core = core
        self._sweeper = Sweeper(core)
        self._signed = -1
        """The directory's version after which nothing waited to be signed."""
        self._running = True

    def start(self) -> None:
        spawn(self._run(), lambda error: event(_LOG, logging.ERROR, "rounds-ended", cause=error))

    def stop(self) -> None:
        self._running = False

    @property
    def clock_leapt(self) -> bool:
        return self._sweeper.clock_leapt

    async def _run(self) -> None:
        while self._running:
            core = self._core
            watch = core.reload_directory, core.holding.reload, self._sign
            for work in (*watch, self._sweeper.round, core.auditor.round):
                try:
                    await work()
                except Exception as error:  # noqa: BLE001 - one fault is not the end of the others, nor of all rounds
                    event(_LOG, logging.ERROR, "round-failed", cause=error)
            await sleep(self._core.clock, ROUND_S)

    async def _sign(self) -> None:
        """Sign what was revoked in the console, which has no key for it."""
        core = self._core
        signer, version = core.issuer.signer, core.view.version
        if signer is None or version == self._signed:
            return
        if await core.database.read(authority.has_unsigned):
            now_ms = core.clock.now_ms()
            await core.database.write(lambda c: authority.sign_revocations(c, signer, now_ms))
        self._signed = version


def _poked(core: HubCore, gauges: HubGauges) -> None:
    """Act on a poke: somebody changed the tables from outside."""
    spawn(gauges.look(), lambda error: event(_LOG, logging.WARNING, "gauges-not-read", cause=error))
    spawn(core.reload_directory(), lambda error: event(_LOG, logging.WARNING, "reload-failed", cause=error))
    spawn(core.holding.reload(), lambda error: event(_LOG, logging.WARNING, "holds-not-read", cause=error))
    everyone = [session.facility for session in core.sessions.everyone()]
    core.sessions.mail_for(everyone)
    core.sessions.news_for(everyone)


def _beat(core: HubCore) -> Deferred[object]:
    """Write to the tables; fires after the commit."""
    return core.database.write(lambda connection: peers.beat(connection, core.number))
