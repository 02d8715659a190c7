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

from config.common import Log
from config.hub import HubSettings
from crypto.errors import CryptoError
from hub import home as hub_home
from hub.compose import compose
from hub.core import HubCore
from hub.files.errors import AttachmentError
from hub.listener import HubListener
from hub.sweeper import ROUND_S, Sweeper
from protocols.link import frames as f
from runtime import migrations
from runtime.clock import ReactorClock, sleep
from runtime.executors import ThreadExecutor
from runtime.home import HomeError, PokeListener, RunLock
from runtime.listening import listen
from runtime.logs import bridge_twisted, event, set_up
from runtime.metrics import new_registry
from runtime.service import Life, StartError, Stop, run_daemon
from runtime.status import Check, Readiness, status_site
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
    except (hub_home.HubHomeError, HomeError, StorageError, AttachmentError, CryptoError) as error:
        raise StartError(str(error)) from error
    ports = _open_door(reactor, core)
    checks: dict[str, Check] = {"database": lambda: _database_check(core), "disk": lambda: _disk_check(core)}
    site = status_site(reactor=reactor, clock=clock, registry=registry, checks=checks)
    ports.append(listen(reactor, settings.http.listen, site, "http.listen in hub.toml"))
    poke = PokeListener(home / hub_home.POKE, reactor, lambda: _poked(core))
    rounds = _Rounds(core)
    rounds.start()
    for port in ports:
        where = port.getHost()
        event(_LOG, logging.INFO, "listening", host=where.host, port=where.port)

    async def stop() -> None:
        rounds.stop()
        poke.stop()
        for port in ports:
            await port.stopListening()
        core.sessions.end_all(f.Goodbye.RESTARTING, "this hub is going down")
        await sleep(clock, _GOODBYE_S)
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


class _Rounds:
    """The hub's own regular work; a round that fails is told and tried again."""

    def __init__(self, core: HubCore) -> None:
        self._core = core
        self._sweeper = Sweeper(core)
        self._running = True

    def start(self) -> None:
        spawn(self._run(), lambda error: event(_LOG, logging.ERROR, "rounds-ended", cause=error))

    def stop(self) -> None:
        self._running = False

    async def _run(self) -> None:
        while self._running:
            try:
                await self._core.reload_directory()
                await self._sweeper.round()
            except Exception as error:  # noqa: BLE001 - a fault in one round is not the end of all rounds
                event(_LOG, logging.ERROR, "round-failed", cause=error)
            await sleep(self._core.clock, ROUND_S)


def _poked(core: HubCore) -> None:
    """Act on a poke: somebody changed the tables from outside."""
    spawn(core.reload_directory(), lambda error: event(_LOG, logging.WARNING, "reload-failed", cause=error))
    everyone = [session.facility for session in core.sessions.everyone()]
    core.sessions.mail_for(everyone)
    core.sessions.news_for(everyone)


async def _database_check(core: HubCore) -> Readiness:
    try:
        await core.database.write(lambda connection: connection.exec_driver_sql("SELECT 1").scalar())
    except StorageError as error:
        return Readiness(ok=False, text=str(error))
    return Readiness(ok=True, text="writable")


def _disk_check(core: HubCore) -> Readiness:
    floor = core.settings.disk.floor_bytes
    free = core.free(core.home)
    return Readiness(ok=free >= floor, text=f"{free} bytes free, floor {floor}")
