"""Clocks: one interface, real and simulated; timers that can be called off; sleep."""

import time

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock as TaskClock

from runtime.clock import Clock, ReactorClock, SimulatedClock, sleep

EPOCH_MS = 1_700_000_000_000


def clocks(task_clock: TaskClock) -> list[Clock]:
    return [ReactorClock(task_clock), SimulatedClock(task_clock, EPOCH_MS)]


@pytest.mark.parametrize("which", [0, 1])
def test_calls_once_when_time_has_come_and_not_before(which: int) -> None:
    task_clock = TaskClock()
    called: list[str] = []
    clocks(task_clock)[which].call_later(2.0, called.append, "now")
    task_clock.advance(1.999)
    assert called == []
    task_clock.advance(0.001)
    task_clock.advance(10)
    assert called == ["now"]


@pytest.mark.parametrize("which", [0, 1])
def test_cancel_may_come_twice_and_too_late(which: int) -> None:
    task_clock = TaskClock()
    clock = clocks(task_clock)[which]
    called: list[str] = []
    never = clock.call_later(1, called.append, "never")
    never.cancel()
    never.cancel()
    happened = clock.call_later(1, called.append, "happened")
    task_clock.advance(1)
    happened.cancel()
    assert called == ["happened"]
    assert task_clock.getDelayedCalls() == []


def test_wall_time_is_the_systems() -> None:
    clock = ReactorClock(TaskClock())
    before = time.time()
    now_ms = clock.now_ms()
    assert before - 0.001 <= now_ms / 1000 <= time.time()
    assert clock.monotonic_s() <= clock.monotonic_s()


def test_skew_moves_the_wall_clock_and_nothing_else() -> None:
    task_clock = TaskClock()
    right, wrong = SimulatedClock(task_clock, EPOCH_MS), SimulatedClock(task_clock, EPOCH_MS)
    called: list[int] = []
    wrong.call_later(5, called.append, 1)
    wrong.skew_ms = -86_400_000
    task_clock.advance(1.5)
    assert right.now_ms() == EPOCH_MS + 1500
    assert wrong.now_ms() == EPOCH_MS + 1500 - 86_400_000
    assert right.monotonic_s() == wrong.monotonic_s() == 1.5
    assert called == []
    task_clock.advance(3.5)
    assert called == [1]


def test_sleep_returns_after_its_time() -> None:
    task_clock = TaskClock()
    sleeping = Deferred.fromCoroutine(sleep(SimulatedClock(task_clock, EPOCH_MS), 3))
    task_clock.advance(2.9)
    assert not sleeping.called
    task_clock.advance(0.1)
    assert sleeping.called


def test_a_cancelled_sleep_leaves_no_timer() -> None:
    task_clock = TaskClock()
    sleeping = Deferred.fromCoroutine(sleep(SimulatedClock(task_clock, EPOCH_MS), 3))
    sleeping.cancel()
    with pytest.raises(CancelledError):
        sleeping.result.raiseException()  # type: ignore[attr-defined]  # set once called
    sleeping.addErrback(lambda _: None)
    assert task_clock.getDelayedCalls() == []
