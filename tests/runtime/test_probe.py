"""The write probe: what it says is remembered, and a database that takes nothing is told so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import Connection, Engine
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock as TaskClock

from runtime import migrations
from runtime.clock import SimulatedClock
from runtime.database import ClockExecutor, Database, open_engine
from runtime.probe import LATE_S, PROBE_S, WriteProbe
from runtime.storage_errors import StorageFull


@dataclass
class Scene:
    time: TaskClock
    engine: Engine
    probe: WriteProbe
    registry: CollectorRegistry
    writes: int = 0
    full: bool = False

    def write(self, connection: Connection) -> None:
        if self.full:
            raise StorageFull("no room")
        self.writes += 1
        connection.exec_driver_sql("SELECT 1")

    def settle(self, seconds: float = 0.0) -> None:
        for _ in range(20):
            self.time.advance(0)
        self.time.advance(seconds)
        for _ in range(20):
            self.time.advance(0)

    @property
    def gauge(self) -> float | None:
        return self.registry.get_sample_value("wasl_database_writable")


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    time, registry = TaskClock(), CollectorRegistry()
    engine = open_engine(f"sqlite:///{tmp_path / 'hub.db'}")
    migrations.upgrade(engine, "hub")
    fatal: list[Any] = []
    database = Database(engine, writer=ClockExecutor(time), reader=ClockExecutor(time), on_fatal=fatal.append)
    clock = SimulatedClock(time, 0)
    made = Scene(time, engine, None, registry)  # type: ignore[arg-type]  # made in the next line
    made.probe = WriteProbe(database, clock, registry, package="hub", write=made.write)
    yield made
    made.probe.stop()
    made.settle(PROBE_S)
    closed = Deferred.fromCoroutine(database.close())
    made.settle()
    assert closed.called
    engine.dispose()


def test_nothing_is_ready_before_the_first_write(scene: Scene) -> None:
    assert not scene.probe.writable().ok
    assert not scene.probe.schema().ok
    assert scene.gauge == 0


def test_it_writes_at_once_and_regularly_and_not_when_asked(scene: Scene) -> None:
    scene.probe.start()
    scene.settle()
    assert (scene.writes, scene.gauge) == (1, 1)
    for _ in range(100):
        assert scene.probe.writable().ok
    assert scene.writes == 1
    scene.settle(PROBE_S)
    assert scene.writes == 2
    assert scene.probe.schema().ok


def test_a_database_that_takes_nothing_is_told_and_so_is_its_recovery(scene: Scene) -> None:
    scene.probe.start()
    scene.full = True
    scene.settle(PROBE_S)
    found = scene.probe.writable()
    assert (found.ok, found.text, scene.gauge) == (False, "no room", 0)
    assert found.advice
    scene.full = False
    scene.settle(PROBE_S)
    assert (scene.probe.writable().ok, scene.gauge) == (True, 1)


def test_a_write_that_never_ends_has_failed(scene: Scene) -> None:
    scene.probe.start()
    scene.settle()
    scene.probe.stop()
    scene.settle(LATE_S + PROBE_S)
    assert "ago" in scene.probe.writable().text
    assert scene.gauge == 0


def test_a_schema_that_moved_on_is_noticed(scene: Scene) -> None:
    scene.probe.start()
    with scene.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    scene.settle()
    assert not scene.probe.schema().ok
    assert "9999" in scene.probe.schema().text
