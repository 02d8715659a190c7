"""Coroutines that nobody awaits: no failure is lost, no cancellation is one."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred

from runtime.tasks import spawn


async def _after(waited: Deferred[None], done: list[str]) -> None:
    await waited
    done.append("done")


def test_work_runs_at_once_and_goes_on_when_it_can() -> None:
    waited: Deferred[None] = Deferred()
    done: list[str] = []
    failures: list[BaseException] = []
    spawn(_after(waited, done), failures.append)
    assert done == []
    waited.callback(None)
    assert (done, failures) == (["done"], [])


def test_a_failure_goes_to_its_handler_once() -> None:
    waited: Deferred[None] = Deferred()
    failures: list[BaseException] = []
    spawn(_after(waited, []), failures.append)
    problem = ValueError("no")
    waited.errback(problem)
    assert failures == [problem]


def test_a_failure_before_the_first_wait_is_told_too() -> None:
    async def broken() -> None:
        raise KeyError("early")

    failures: list[BaseException] = []
    spawn(broken(), failures.append)
    assert [type(one) for one in failures] == [KeyError]


def test_a_cancellation_is_no_failure() -> None:
    waited: Deferred[None] = Deferred()
    failures: list[BaseException] = []
    spawn(_after(waited, []), failures.append)
    waited.cancel()
    assert failures == []


def test_a_handler_that_fails_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def broken() -> None:
        raise ValueError("first")

    def handler(_error: BaseException) -> None:
        raise RuntimeError("the handler too")

    spawn(broken(), handler)
    assert "task-failure-handler-failed" in caplog.text
    assert "the handler too" in caplog.text
