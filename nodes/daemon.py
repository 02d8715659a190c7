"""The node's process: the link to the hub and the doors that the settings open."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import SystemRandom
from typing import Any, Final

from prometheus_client import CollectorRegistry

from config.common import Log
from config.fields import HostPort
from config.node import NodeSettings
from nodes import home as node_home
from nodes.compose import compose
from nodes.gateways.api import LocalApi
from nodes.gateways.folder import FolderGateway
from nodes.gateways.mllp_in import MllpInbound
from nodes.gateways.mllp_out import MllpOutbound
from nodes.housekeeping import Housekeeping
from nodes.link.core import LinkCore
from nodes.link.errors import NodeError
from nodes.link.identity import load_identity
from nodes.link.inbox import Received
from nodes.link.uplink import Uplink
from protocols.link.envelope import FILE_KIND, mailbox_of
from runtime import migrations
from runtime.clock import ReactorClock, sleep
from runtime.connect import TcpConnector
from runtime.executors import ThreadExecutor
from runtime.home import HomeError, PokeListener, RunLock, free_bytes
from runtime.logs import bridge_twisted, event, set_up
from runtime.metrics import new_registry
from runtime.mllp_client import MllpClient
from runtime.service import Life, StartError, Stop, run_daemon
from runtime.status import Check, Readiness, status_site
from runtime.storage_errors import StorageError
from runtime.tasks import spawn

VERSION: Final = "0.1.0"
ANY: Final = "*"
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


@dataclass
class _Running:
    """What was started, to be stopped in the opposite order."""

    stops: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    async def stop(self) -> None:
        for stop in reversed(self.stops):
            await stop()


async def _start(home: Path, reactor: Any, life: Life) -> Stop:
    try:
        settings = node_home.load_settings(home)
        set_up_logs(settings.log)
        identity = load_identity(home)
        lock = RunLock(home)
        engine = node_home.open_database(home)
        migrations.upgrade(engine, "nodes")
    except (NodeError, HomeError, StorageError) as error:
        raise StartError(str(error)) from error
    registry = new_registry("node", VERSION)
    clock = ReactorClock(reactor)
    core = compose(
        home=home,
        identity=identity,
        engine=engine,
        clock=clock,
        writer=ThreadExecutor(reactor, "writer"),
        reader=ThreadExecutor(reactor, "reader"),
        file_worker=ThreadExecutor(reactor, "files"),
        on_fatal=lambda error: life.fail("storage failed", error),
        registry=registry,
        random=SystemRandom(),
        floor_bytes=settings.disk.floor_bytes,
    )
    running = _Running()

    async def close() -> None:
        core.file_worker.stop()
        await core.database.close()
        engine.dispose()
        lock.release()

    running.stops.append(close)
    address = node_home.hub_address(settings, identity.hub)
    uplink = Uplink(core, TcpConnector(reactor, address.host, address.port))
    try:
        await uplink.start()
    except StorageError as error:
        raise StartError(str(error)) from error

    async def stop_uplink() -> None:
        uplink.stop()
        await sleep(clock, _GOODBYE_S)

    running.stops.append(stop_uplink)
    _open_doors(core, settings, reactor, registry, life, uplink, running)
    _listen(core, settings, uplink, reactor, registry, running)
    housekeeping = Housekeeping(core, settings.retention)
    housekeeping.start()
    running.stops.append(housekeeping.stop)
    poke = PokeListener(home / node_home.POKE, reactor, lambda: _poked(core, uplink))

    async def stop_poke() -> None:
        poke.stop()

    running.stops.append(stop_poke)
    return running.stop


def _poked(core: LinkCore, uplink: Uplink) -> None:
    core.post.poked()
    uplink.reconnect_soon()


def _open_doors(
    core: LinkCore,
    settings: NodeSettings,
    reactor: Any,
    registry: CollectorRegistry,
    life: Life,
    uplink: Uplink,
    running: _Running,
) -> None:
    post, facility, clock = core.post, core.identity.facility, core.clock

    def valid_for(kind: str) -> int:
        return node_home.valid_for_ms(settings.messages, kind)

    def alarm(code: str, text: str) -> None:
        spawn(post.alarm(code, text), lambda error: event(_LOG, logging.ERROR, "alarm-not-kept", cause=error))

    if settings.mllp is not None:
        inbound = MllpInbound(post, settings.mllp, facility, valid_for, alarm, clock, registry)
        outbound = MllpOutbound(
            post,
            settings.mllp,
            alarm,
            clock,
            registry,
            lambda target: MllpClient.to(reactor, target.host, target.port, clock=clock),
            core.random,
        )
        inbound.start(reactor)
        outbound.start()
        running.stops += [outbound.stop, inbound.stop]
    if settings.folder is not None:
        folder = FolderGateway(
            post=post,
            settings=settings.folder,
            mllp=settings.mllp or _default_mllp(),
            facility=facility,
            valid_for=valid_for,
            covers=lambda received: not _over_mllp(settings, received),
            floor_bytes=settings.disk.floor_bytes,
            executor=core.file_worker,
            clock=clock,
            registry=registry,
            alarm=alarm,
        )
        folder.start()
        running.stops.append(folder.stop)
    if settings.api is not None:
        stop = _open_api(core, settings, settings.api.listen, reactor, life, uplink, valid_for, alarm)
        running.stops.append(stop)


def _open_api(
    core: LinkCore,
    settings: NodeSettings,
    listen: HostPort,
    reactor: Any,
    life: Life,
    uplink: Uplink,
    valid_for: Callable[[str], int],
    alarm: Callable[[str, str], None],
) -> Callable[[], Awaitable[None]]:
    """Start the local API on an engine of its own: its threads must not wait for the daemon's."""
    engine = node_home.open_database(core.home)
    local = LocalApi(
        reactor=reactor,
        engine=engine,
        identity=core.identity,
        home=core.home,
        listen=listen,
        valid_for=valid_for,
        floor_bytes=settings.disk.floor_bytes,
        clock=core.clock,
        wake=core.post.poked,
        connected=lambda: uplink.connected,
        on_fatal=lambda error: life.fail("storage failed", error),
        alarm=alarm,
    )
    local.start()

    async def stop() -> None:
        await local.stop()
        engine.dispose()

    return stop


def _default_mllp() -> Any:
    from config.node import Mllp  # noqa: PLC0415 - only for a folder without MLLP

    return Mllp()


def _over_mllp(settings: NodeSettings, received: Received) -> bool:
    """Return whether the MLLP gateway delivers this message."""
    if settings.mllp is None or received.kind == FILE_KIND:
        return False
    deliver = settings.mllp.deliver
    return mailbox_of(received.recipient) in deliver or ANY in deliver


def _listen(
    core: LinkCore, settings: NodeSettings, uplink: Uplink, reactor: Any, registry: Any, running: _Running
) -> None:
    checks: dict[str, Check] = {
        "database": lambda: _database_check(core),
        "disk": lambda: _disk_check(core, settings.disk.floor_bytes),
        "hub": lambda: Readiness(uplink.connected, "connected" if uplink.connected else uplink.last_failure),
    }
    site = status_site(reactor=reactor, clock=core.clock, registry=registry, checks=checks)
    listen = settings.http.listen
    port = reactor.listenTCP(listen.port, site, interface=listen.host)
    where = port.getHost()
    event(_LOG, logging.INFO, "listening", host=where.host, port=where.port)

    async def stop() -> None:
        await port.stopListening()

    running.stops.append(stop)


async def _database_check(core: LinkCore) -> Readiness:
    try:
        await core.database.write(lambda connection: connection.exec_driver_sql("SELECT 1").scalar())
    except StorageError as error:
        return Readiness(ok=False, text=str(error))
    return Readiness(ok=True, text="writable")


def _disk_check(core: LinkCore, floor_bytes: int) -> Readiness:
    free = free_bytes(core.home)
    return Readiness(ok=free >= floor_bytes, text=f"{free} bytes free, floor {floor_bytes}")
