"""Running a daemon: ready, orderly end, exit codes, one line when it cannot start; systemd told."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock as TaskClock

from runtime.clock import SimulatedClock
from runtime.service import Supervisor

ROOT = Path(__file__).parents[2]

PROGRAM = """
import sys, time
from pathlib import Path
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from config.node import load_node
from runtime.clock import ReactorClock, sleep
from runtime.logs import bridge_twisted, set_up
from runtime.service import StartError, run_daemon

set_up(sys.stderr)
bridge_twisted()
way = sys.argv[1]

async def stop():
    if way == "stuck":
        await Deferred()
    if way == "breaks":
        raise ValueError("while stopping")
    await sleep(ReactorClock(reactor), 0.05)
    print("rested", flush=True)

async def start(life):
    if way == "settings":
        load_node(Path("/nowhere/node.toml"))
    if way == "refused":
        raise StartError("the database is newer than this program")
    if way == "taken":
        raise OSError(98, "Address already in use")
    if way == "bug":
        raise KeyError("x")
    if way == "slow":
        print("slow", flush=True)
        await Deferred()
    if way == "clock":
        print("monotonic" if abs(reactor.seconds() - time.monotonic()) < 60 else "wall clock", flush=True)
    if way == "fails":
        reactor.callLater(0.05, life.fail, "fsync failed", OSError(5, "Input/output error"))
    reactor.callLater(0, print, "up", flush=True)
    return stop

code = run_daemon("wasl-test", start, reactor=reactor, stop_timeout_s=0.5 if way == "stuck" else 10)
sys.exit(code)
"""


def run(way: str, *signals: int, notify: str = "") -> tuple[int, str, str]:
    """Run the daemon, send it ``signals`` when it is up, and return exit code, stdout, stderr."""
    environment = {**os.environ, "NOTIFY_SOCKET": notify, "WATCHDOG_USEC": "60000000", "WATCHDOG_PID": ""}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, way],
        cwd=ROOT,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as daemon:
        said = ""
        if signals:
            assert daemon.stdout is not None
            said = daemon.stdout.readline()
        for number in signals:
            daemon.send_signal(number)
        out, err = daemon.communicate(timeout=30)
    return daemon.returncode, said + out, err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_an_orderly_end(number: signal.Signals) -> None:
    code, out, err = run("well", number)
    assert (code, out) == (0, "up\nrested\n")
    events = [line.split('"event": "')[1].split('"')[0] for line in err.splitlines()]
    assert events == ["ready", "stopping", "stopped"]
    assert f'"reason": "{number.name}"' in err


@pytest.mark.parametrize(
    ("way", "code", "line"),
    [
        ("settings", 2, "wasl-test: /nowhere/node.toml: does not exist; init or join make it"),
        ("refused", 1, "wasl-test: the database is newer than this program\n"),
        ("taken", 1, "wasl-test: [Errno 98] Address already in use\n"),
        ("bug", 1, "wasl-test: KeyError: 'x'\n"),
    ],
)
def test_a_daemon_that_cannot_start_says_why_in_a_line(way: str, code: int, line: str) -> None:
    ended, out, err = run(way)
    assert (ended, out) == (code, "")
    assert line in err
    assert ("Traceback" in err) is (way == "bug")
    assert '"ready"' not in err


def test_told_to_stop_while_starting() -> None:
    code, out, err = run("slow", signal.SIGTERM)
    assert (code, out) == (0, "slow\n")
    assert "told to stop before it was ready" in err


def test_a_daemon_that_fails_stops_in_order_and_exits_1() -> None:
    code, out, err = run("fails")
    assert (code, out) == (1, "up\nrested\n")
    assert '"reason": "fsync failed"' in err
    assert "Input/output error" in err


def test_a_stop_that_hangs_is_cut_short() -> None:
    code, out, err = run("stuck", signal.SIGTERM)
    assert (code, out) == (1, "up\n")
    assert "stop cut short" in err


def test_a_stop_that_breaks_ends_the_process_all_the_same() -> None:
    code, _, err = run("breaks", signal.SIGTERM)
    assert code == 1
    assert "ValueError: while stopping" in err


def test_systemd_hears_of_the_whole_life(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        run("well", signal.SIGTERM, notify=str(tmp_path / "notify"))
        systemd.settimeout(0)
        assert [systemd.recv(100) for _ in range(3)] == [b"READY=1", b"WATCHDOG=1", b"STOPPING=1"]


def test_the_watchdog_is_fed_four_times_an_interval_until_the_end() -> None:
    name = f"wasl-test-{os.getpid()}"
    task_clock = TaskClock()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind("\0" + name)
        systemd.settimeout(0)
        supervisor = Supervisor({"NOTIFY_SOCKET": "@" + name, "WATCHDOG_USEC": "4000000"})
        supervisor.ready(SimulatedClock(task_clock, 0))
        for _ in range(3):
            task_clock.advance(1)
        supervisor.close()
        assert [systemd.recv(100) for _ in range(5)] == [b"READY=1"] + [b"WATCHDOG=1"] * 4
        with pytest.raises(BlockingIOError):
            systemd.recv(100)
    assert task_clock.getDelayedCalls() == []


def test_the_watchdog_is_fed_by_proofs_only() -> None:
    """Promise: a daemon whose store does not answer, or refuses, is given up by systemd."""
    name, task_clock = f"wasl-proof-{os.getpid()}", TaskClock()
    asked: list[Deferred[None]] = []

    def prove() -> Deferred[None]:
        asked.append(Deferred())
        return asked[-1]

    def fed() -> int:
        count = 0
        with contextlib.suppress(BlockingIOError):
            while systemd.recv(100) == b"WATCHDOG=1":
                count += 1
        return count

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind("\0" + name)
        systemd.settimeout(0)
        supervisor = Supervisor({"NOTIFY_SOCKET": "@" + name, "WATCHDOG_USEC": "4000000"})
        supervisor.ready(SimulatedClock(task_clock, 0), prove)
        assert systemd.recv(100) == b"READY=1"
        task_clock.pump([1] * 10)
        assert (len(asked), fed()) == (1, 0), (
            "a proof that hangs is neither taken for one nor asked for again"
        )
        asked[0].callback(None)
        assert fed() == 1
        task_clock.advance(1)
        asked[1].errback(OSError(28, "No space left on device"))
        assert fed() == 0
        task_clock.advance(1)
        asked[2].callback(None)
        assert (len(asked), fed()) == (3, 1)
        supervisor.close()
    assert task_clock.getDelayedCalls() == []


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"NOTIFY_SOCKET": ""},
        {"WATCHDOG_USEC": "1000000"},
        {"NOTIFY_SOCKET": "/nowhere/notify", "WATCHDOG_USEC": "x"},
        {"NOTIFY_SOCKET": "/nowhere/notify", "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"},
    ],
)
def test_no_watchdog_and_no_failure_without_systemd(environment: dict[str, str]) -> None:
    task_clock = TaskClock()
    supervisor = Supervisor(environment)
    supervisor.ready(SimulatedClock(task_clock, 0))
    supervisor.stopping()
    assert task_clock.getDelayedCalls() == []
    supervisor.close()


def test_timers_do_not_follow_the_wall_clock() -> None:
    """A wall clock that is set back must not hold up the timers: they run on monotonic time."""
    code, out, _ = run("clock", signal.SIGTERM)
    assert (code, "monotonic\n" in out) == (0, True), out
