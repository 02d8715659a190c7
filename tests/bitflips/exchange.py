"""A hub and its nodes on their homes, started as their daemons start, without processes and sockets.

What ``hub.daemon`` and ``nodes.daemon`` do at the start is done here with the same functions in the same
order, on a simulated clock and connections in memory; what they turn into "cannot start" is kept as the text
that the operator would read. Everything that is logged is kept too: a traceback in the log of something that
is no storage error is a fault of ours.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, Final, cast

from prometheus_client import CollectorRegistry
from sqlalchemy import Engine
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock as TaskClock
from twisted.logger import globalLogPublisher

from config.errors import SettingsError
from crypto.errors import CryptoError
from hub import compose as hub_compose
from hub import home as hub_home
from hub.files.errors import AttachmentError
from hub.listener import HubListener
from hub.metadata import metadata as hub_tables
from hub.sweeper import ROUND_S, Sweeper
from nodes import compose as node_compose
from nodes import home as node_home
from nodes.housekeeping import Housekeeping
from nodes.link.core import LinkCore
from nodes.link.errors import NodeError
from nodes.link.identity import load_identity
from nodes.link.tables import metadata as node_tables
from nodes.link.uplink import Uplink
from runtime import migrations
from runtime.clock import SimulatedClock, sleep
from runtime.database import Database
from runtime.executors import ClockExecutor
from runtime.home import HomeError
from runtime.link import TwistedLink
from runtime.storage_errors import StorageError
from runtime.tasks import spawn
from tests.simulation.lives import Life
from tests.simulation.pipes import Address, Network, Weather

STEP_S: Final = 0.1
_LOG = logging.getLogger("tests.bitflips")


class Running:
    """One process: ``refused`` is why it did not start, ``failed`` why it gave up, both as text."""

    def __init__(self, exchange: Exchange, home: Path) -> None:
        self.exchange = exchange
        self.home = home
        self.refused = ""
        self.failed = ""
        self.life = Life(exchange.clock, home.name)
        self.clock = SimulatedClock(cast("Any", self.life), exchange.epoch_ms)
        self.engine: Engine | None = None
        self.database: Database | None = None
        self.life.enter(self._start)

    def _start(self) -> None:
        try:
            self.begin()
        except (
            hub_home.HubHomeError, NodeError, HomeError, StorageError, AttachmentError, CryptoError,
            SettingsError, OSError,
        ) as error:  # fmt: skip
            self.refused = str(error)
            self.end()
        except Exception as error:  # noqa: BLE001  # the daemon logs its traceback and ends
            self.refused = f"{type(error).__name__}: {error}"
            self.fault(error)
            self.end()

    def begin(self) -> None:
        """Do what the daemon does."""
        raise NotImplementedError

    def fatal(self, error: BaseException) -> None:
        """End as ``life.fail`` does; the daemon's exit code would be 1."""
        self.failed = self.failed or str(error)
        self.life.end()

    def fault(self, error: BaseException) -> None:
        """Note what nobody foresaw."""
        _LOG.error("ended", exc_info=error)

    def executors(self) -> dict[str, ClockExecutor]:
        """Return writer, reader and file worker."""
        return {name: ClockExecutor(cast("Any", self.life)) for name in ("writer", "reader", "file_worker")}

    def end(self) -> None:
        """Stop, at once."""
        self.life.end()
        if self.database is not None:
            self.database._kept.close()
        if self.engine is not None:
            self.engine.dispose()


class RunningHub(Running):
    """The hub."""

    def begin(self) -> None:
        settings = hub_home.load_settings(self.home)
        keys = hub_home.load_keys(self.home)
        self.engine = hub_home.open_database(self.home, settings)
        migrations.upgrade(self.engine, "hub")
        migrations.require_tables(self.engine, hub_tables)
        core = hub_compose.compose(
            home=self.home, settings=settings, keys=keys, engine=self.engine, clock=self.clock,
            on_fatal=self.fatal, registry=CollectorRegistry(), **self.executors(),
        )  # fmt: skip
        listener = HubListener(core)

        def answer(caller: Address) -> tuple[Life, Protocol] | None:
            made: list[Protocol | None] = []
            self.life.enter(lambda: made.append(listener.buildProtocol(caller)))
            return (self.life, made[0]) if made and made[0] is not None else None

        self.exchange.network.answer = answer
        self.life.kept += [core, listener]
        self._core = core
        self.database = core.database

        async def rounds() -> None:
            sweeper = Sweeper(core)
            while True:
                try:
                    await core.reload_directory()
                    await sweeper.round()
                except StorageError as error:
                    _LOG.warning("round-failed: %s", error)
                await sleep(core.clock, ROUND_S)

        spawn(rounds(), self.fault)

    def end(self) -> None:
        super().end()
        self.exchange.network.answer = lambda _caller: None
        if hasattr(self, "_core"):
            for file in self._core.files._files._open.values():
                file.close()


class RunningNode(Running):
    """One facility's node; ``core`` is there once it has started."""

    core: LinkCore

    def begin(self) -> None:
        settings = node_home.load_settings(self.home)
        identity = load_identity(self.home)
        self.engine = node_home.open_database(self.home)
        migrations.upgrade(self.engine, "nodes")
        migrations.require_tables(self.engine, node_tables)
        core = node_compose.compose(
            home=self.home, identity=identity, engine=self.engine, clock=self.clock, on_fatal=self.fatal,
            registry=CollectorRegistry(), random=Random(1), floor_bytes=0, **self.executors(),
        )  # fmt: skip
        node_home.hub_address(settings, identity.hub)

        def connect(link: TwistedLink, failed: Callable[[str], object]) -> None:
            self.exchange.network.connect(self.life, self.home.name, link, failed)

        uplink = Uplink(core, connect)
        self.life.kept += [core, uplink]
        self.core = core
        self.database = core.database

        def not_started(error: BaseException) -> None:
            if isinstance(error, StorageError):
                self.refused = str(error)
                self.end()
            else:
                self.fault(error)

        spawn(uplink.start(), not_started)
        Housekeeping(core, settings.retention).start()


class Exchange:
    """All of them on one clock and network. ``records`` is the log."""

    def __init__(self) -> None:
        self.clock = TaskClock()
        self.epoch_ms = time.time_ns() // 1_000_000
        weather = Weather(Random(0))
        weather.calm()
        weather.typical_s = 0.0
        self.network = Network(self.clock, weather, Random(0))
        self.records: list[logging.LogRecord] = []
        self.running: list[Running] = []

    def hub(self, home: Path) -> RunningHub:
        """Start a hub."""
        hub = RunningHub(self, home)
        self.running.append(hub)
        return hub

    def node(self, home: Path) -> RunningNode:
        """Start a node."""
        node = RunningNode(self, home)
        self.running.append(node)
        return node

    def run(self, seconds: float, done: Callable[[], bool] = lambda: False) -> None:
        """Let time pass, until ``done`` at most."""
        for step in range(round(seconds / STEP_S)):
            self.clock.advance(STEP_S)
            if step % 5 == 0 and done():
                return

    def told(self) -> list[str]:
        """Return what was logged as warning or error, with its fields: what an operator can see."""
        return [
            f"{record.getMessage()} {getattr(record, 'wasl_fields', '')}"
            for record in self.records
            if record.levelno >= logging.WARNING
        ]

    def tracebacks(self) -> list[str]:
        """Return what was logged with a traceback and is no word about stored things."""
        return [
            f"{record.name}: {record.getMessage()}: {record.exc_info[1]!r}"
            for record in self.records
            if record.exc_info and not isinstance(record.exc_info[1], StorageError)
        ]


@contextmanager
def exchange() -> Iterator[Exchange]:
    """Yield an exchange without anybody; ends whatever was started on it."""
    made = Exchange()

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            made.records.append(record)

    def twisted_failed(event: Any) -> None:
        failure = event.get("log_failure")
        if failure is not None:
            _LOG.error("twisted", exc_info=failure.value)

    keeper, root = Keeper(), logging.getLogger()
    before, handlers = root.level, root.handlers[:]
    root.handlers[:] = [keeper]
    root.setLevel(logging.INFO)
    observer: Any = twisted_failed  # a plain function is an observer, though it cannot declare itself one
    globalLogPublisher.addObserver(observer)
    try:
        yield made
    finally:
        for running in made.running:
            running.end()
        globalLogPublisher.removeObserver(observer)
        root.handlers[:] = handlers
        root.setLevel(before)
