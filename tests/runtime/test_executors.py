"""A failed disk stops the executor: nothing behind it runs, and the process is told to end, once."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from runtime.executors import ClockExecutor, FailStop
from runtime.storage_errors import StorageFailed, StorageFull


def raising(error: Exception) -> Any:
    def work() -> None:
        raise error

    return work


def failure_of(done: Deferred[Any]) -> type[BaseException] | None:
    found: list[Any] = []
    done.addErrback(lambda failure: found.append(failure.type))
    return found[0] if found else None


def test_nothing_runs_behind_a_failed_disk_not_even_what_waited() -> None:
    clock, fatal, ran = Clock(), list[BaseException](), list[int]()
    executor = FailStop(ClockExecutor(clock), fatal.append)
    given = [executor.run(work) for work in (lambda: ran.append(1), raising(StorageFailed("EIO")))]
    given += [executor.run(lambda: ran.append(2)) for _ in range(2)]
    clock.pump([0] * 20)
    given.append(executor.run(lambda: ran.append(3)))
    clock.pump([0] * 20)
    assert [failure_of(done) for done in given] == [None] + [StorageFailed] * 4
    assert ran == [1]
    assert [str(error) for error in fatal] == ["EIO"]


def test_what_is_only_refused_stops_nothing() -> None:
    clock, fatal = Clock(), list[BaseException]()
    executor = FailStop(ClockExecutor(clock), fatal.append)
    refused = [executor.run(raising(error)) for error in (StorageFull("full"), OSError(5, "EIO"))]
    done = executor.run(lambda: 7)
    clock.pump([0] * 20)
    assert [failure_of(one) for one in refused] == [StorageFull, OSError]
    assert done.result == 7
    assert fatal == []
