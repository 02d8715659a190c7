"""The node's process: the link to the hub and the doors that the settings open."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from random import SystemRandom
from typing import Any, Final

from sqlalchemy import Engine

from config.common import Log
from config.node import NodeSettings
from nodes import health
from nodes import home as node_home
from nodes.compose import compose
from nodes.doors import Close, Doors
from nodes.gauges import NodeGauges
from nodes.housekeeping import Housekeeping
from nodes.link import facts
from nodes.link.core import LinkCore
from nodes.link.errors import NodeError
from nodes.link.identity import Identity, load_identity
from nodes.link.keyfiles import keep_renewed_apart
from nodes.link.uplink import Uplink
from nodes.metadata import metadata
from runtime import migrations
from runtime.clock import ReactorClock, sleep
from runtime.connect import TcpConnector
from runtime.executors import ThreadExecutor
from runtime.home import HomeError, PokeListener, RunLock
from runtime.listening import listen
from runtime.logs import bridge_twisted, event, set_up
from runtime.metrics import new_registry
from runtime.probe import WriteProbe
from runtime.service import Life, StartError, Stop, run_daemon
from runtime.status import status_site
from runtime.storage_errors import StorageError, StorageFailed
from runtime.version import VERSION

_GOODBYE_S: Final = 0.2

_LOG = logging.getLogger(__name__)


def run(home: Path, reactor: Any) -> int:
    """Run the node of ``home`` until it is told to stop; returns the exit code."""
    set_up_logs(NodeSettings().log)
    bridge_twisted()
    return run_daemon(
        "wasl-node", lambda life: _start(home, reactor, life), reactor=reactor, environment=os.environ
    )


def set_up_logs(log: Log) -> None:
    """Log as the settings say, to stderr."""
    set_up(sys.stderr, level=str(log.level), style=str(log.format))


@dataclass(frozen=True, slots=True)
class _Opened:
    """A home that is ours until ``lock`` is released."""

    settings: NodeSettings
    identity: Identity
    lock: RunLock
    engine: Engine


def _open_home(home: Path) -> _Opened:
    try:
        settings = node_home.load_settings(home)
        set_up_logs(settings.log)
        identity = load_identity(home)
        lock = RunLock(home)
        keep_renewed_apart(home)
        engine = node_home.open_database(home)
        migrations.upgrade(engine, "nodes")
        migrations.require_tables(engine, metadata)
    except (NodeError, HomeError, StorageError) as error:
        raise StartError(str(error)) from error
    except OSError as error:
        raise StartError(f"{error.filename or home}: {error.strerror or error}") from error
    return _Opened(settings, identity, lock, engine)


@dataclass
class _Running:
    """What was started, to be stopped in the opposite order."""

    stops: list[Close] = field(default_factory=list)

    async def stop(self) -> None:
        for stop in reversed(self.stops):
            await stop()


async def _start(home: Path, reactor: Any, life: Life) -> Stop:
    opened = _open_home(home)
    settings, registry = opened.settings, new_registry("node", VERSION)
    core = compose(
        home=home,
        identity=opened.identity,
        engine=opened.engine,
        clock=ReactorClock(reactor),
        writer=ThreadExecutor(reactor, "writer"),
        reader=ThreadExecutor(reactor, "reader"),
        file_worker=ThreadExecutor(reactor, "files"),
        on_fatal=lambda error: life.fail("storage failed", error),
        registry=registry,
        random=SystemRandom(),
        floor_bytes=settings.disk.floor_bytes,
    )
    running = _Running([lambda: _close(core, opened)])
    address = node_home.hub_address(settings, opened.identity.hub)
    uplink = Uplink(core, TcpConnector(reactor, address.host, address.port))
    try:
        await uplink.start()
    except StorageError as error:
        raise StartError(str(error)) from error
    running.stops.append(lambda: _leave(core, uplink))
    running.stops += Doors(core, settings, reactor, registry, life, uplink).open()
    _listen(core, settings, uplink, reactor, registry, running)
    housekeeping = Housekeeping(core, settings.retention)
    housekeeping.start()
    running.stops.append(housekeeping.stop)
    poke = PokeListener(home / node_home.POKE, reactor, lambda: _poked(core, uplink))

    async def stop_poke() -> None:
        poke.stop()

    running.stops.append(stop_poke)
    life.prove = lambda: core.database.write(facts.beat)
    return running.stop


async def _close(core: LinkCore, opened: _Opened) -> None:
    """Let the file work end, then the database, then go of the home."""
    # Stopping an executor blocks until its work is done: wait here first, where a signal is still heard.
    with contextlib.suppress(StorageFailed):
        await core.file_worker.run(lambda: None)
    core.file_worker.stop()
    await core.database.close()
    opened.engine.dispose()
    opened.lock.release()


async def _leave(core: LinkCore, uplink: Uplink) -> None:
    """Say goodbye to the hub, and leave it time to get there."""
    uplink.stop()
    await sleep(core.clock, _GOODBYE_S)


def _poked(core: LinkCore, uplink: Uplink) -> None:
    core.post.poked()
    uplink.reconnect_soon()
    uplink.look_at_keys()
    uplink.look_at_trust()


def _listen(
    core: LinkCore, settings: NodeSettings, uplink: Uplink, reactor: Any, registry: Any, running: _Running
) -> None:
    probe = WriteProbe(core.database, core.clock, registry, package="nodes", write=facts.beat)
    gauges = NodeGauges(core, lambda: uplink.connected)
    registry.register(gauges)
    probe.start()
    gauges.start()
    checks = health.checks(core, probe, uplink)
    site = status_site(reactor=reactor, clock=core.clock, registry=registry, checks=checks)
    port = listen(reactor, settings.http.listen, site, "http.listen in node.toml")
    where = port.getHost()
    event(_LOG, logging.INFO, "listening", host=where.host, port=where.port)

    async def stop() -> None:
        probe.stop()
        gauges.stop()
        await port.stopListening()

    running.stops.append(stop)
