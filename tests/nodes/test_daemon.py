"""The end of the daemon: what files were begun are finished, and the reactor turns meanwhile."""

from __future__ import annotations

from random import Random

import pytest
from prometheus_client import CollectorRegistry
from twisted.internet.defer import CancelledError, Deferred

from config.node import NodeSettings
from nodes import daemon
from nodes.compose import compose
from nodes.link.core import LinkCore
from runtime.executors import ClockExecutor
from runtime.home import RunLock
from runtime.storage_errors import StorageFailed
from tests.nodes.fixtures import Station

SLOW_S = 30.0


def core_of(station: Station) -> LinkCore:
    return compose(
        home=station.home, identity=station.identity, engine=station.engine, clock=station.clock,
        writer=ClockExecutor(station.time), reader=ClockExecutor(station.time),
        file_worker=ClockExecutor(station.time, SLOW_S), on_fatal=lambda _error: None,
        registry=CollectorRegistry(), random=Random(1), floor_bytes=0,
    )  # fmt: skip


def closing(station: Station, core: LinkCore) -> Deferred[None]:
    station.home.chmod(0o700)
    opened = daemon._Opened(NodeSettings(), station.identity, RunLock(station.home), station.engine)
    return Deferred.fromCoroutine(daemon._close(core, opened))


def test_file_work_is_finished_before_the_home_is_let_go(station: Station) -> None:
    core, ran = core_of(station), list[int]()
    core.file_worker.run(lambda: ran.append(1))
    done = closing(station, core)
    station.advance(SLOW_S / 2)
    assert not done.called
    station.advance(2 * SLOW_S)
    assert (ran, done.called) == ([1], True)
    RunLock(station.home).release()


def test_a_second_signal_does_not_wait_for_file_work(station: Station) -> None:
    done = closing(station, core_of(station))
    done.cancel()
    with pytest.raises(CancelledError):
        station.run(done)


def test_a_disk_that_failed_does_not_keep_the_rest_from_closing(station: Station) -> None:
    core = core_of(station)

    def failing() -> None:
        raise StorageFailed("EIO")

    core.file_worker.run(failing).addErrback(lambda _failure: None)
    station.run(closing(station, core))
    RunLock(station.home).release()
