"""The clocks of hub and nodes jump by a year, forth and back, while messages are on their way.

Debian's libfaketime moves the wall clock of one process while it runs and leaves the monotonic one alone, as
a clock that an administrator or NTP sets. A message may then be refused, or come back as expired, with a
reason; it may not vanish, come twice or come after it was returned. With the clock right again everything
works without a restart.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.scene import VICTIMS, Scene
from tests.integration.template import make_template
from tests.integration.waiting import wait_until

LIBRARIES = ("/usr/lib/x86_64-linux-gnu/faketime", "/usr/lib/aarch64-linux-gnu/faketime")
LIBRARY = next((path for path in LIBRARIES if Path(path).is_dir()), None)
JUMPS = ("+1y", "-1y")
SETTLE_S = 30.0

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(LIBRARY is None, reason="no libfaketime (Debian: apt install libfaketime)"),
]


@pytest.fixture(scope="module")
def clocks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the file that moves the clock of each process."""
    root = tmp_path_factory.mktemp("clocks")
    return {name: root / name for name in VICTIMS}


@pytest.fixture(scope="module")
def scene(clocks: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    root = tmp_path_factory.mktemp("network")
    template = make_template(tmp_path_factory.mktemp("template"))
    preload = {}
    for name, clock in clocks.items():
        clock.write_text("+0", "ascii")
        preload[name] = {
            "LD_PRELOAD": f"{LIBRARY}/libfaketimeMT.so.1",
            "FAKETIME_TIMESTAMP_FILE": str(clock),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }
    made = Scene(root, template, None, preload=preload)
    made.start()
    yield made
    made.close()


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("victim", VICTIMS)
@pytest.mark.parametrize("jump", JUMPS)
def test_a_clock_that_jumps_by_a_year_loses_nothing(
    scene: Scene, clocks: dict[str, Path], victim: str, jump: str
) -> None:
    """Delivered once, or refused, or returned with a reason; all goes on when the clock is right again."""
    before, during, after = scene.letter(), scene.letter(), scene.letter()
    scene.finish(before)
    clocks[victim].write_text(jump, "ascii")
    for _ in range(3):
        scene.offer(during)
    clocks[victim].write_text("+0", "ascii")
    wait_until("all is settled", scene.settled, SETTLE_S)
    scene.finish(after)
    for daemon in scene.daemons.values():
        assert daemon.running
        assert b"Unhandled" not in daemon.said()
    assert scene.judge().faults == []
