"""A disk that fills up and empties again, under each process: refused politely, resumed without a restart.

Homes are 48 MiB file systems in memory, mounted for the test (root only). Something else on the disk, a file
of no daemon's, takes all the room, once with the floors at work and once, as when it happens in a moment,
past them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.scene import VICTIMS, Scene
from tests.integration.template import make_template
from tests.integration.waiting import wait_until

SIZE = "48m"
FLOOR_MIB = 10
ROUNDS = 6
"""Offers made while the disk is full: the log of a database takes some before it needs new room."""

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    template = make_template(tmp_path_factory.mktemp("template"))
    root = tmp_path_factory.mktemp("network")
    mounted: list[Path] = []
    try:
        for name in VICTIMS:
            (root / name).mkdir()
            command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=0700", "tmpfs", str(root / name)]
            if subprocess.run(command, capture_output=True, check=False).returncode:
                pytest.skip("needs root, to mount a small file system")
            mounted.append(root / name)
        made = Scene(root, template, None)
        made.start()
        yield made
        made.close()
    finally:
        for place in mounted:
            subprocess.run(["umount", str(place)], check=True)


def fill(home: Path, leave_bytes: int) -> Path:
    """Let something else take the room on the disk, down to so many bytes; returns its file."""
    ballast = home / "ballast"
    with ballast.open("wb") as file:
        room = shutil.disk_usage(home).free - leave_bytes
        os.posix_fallocate(file.fileno(), 0, room)
    return ballast


@pytest.mark.parametrize("leave_bytes", [FLOOR_MIB << 19, 0], ids=["under the floor", "not a byte"])
@pytest.mark.parametrize("victim", VICTIMS)
def test_a_disk_that_fills_up_and_empties_again(scene: Scene, victim: str, leave_bytes: int) -> None:
    """Full, the process takes nothing that it could not keep, and lives; emptied, it goes on by itself."""
    before = scene.letter()
    scene.finish(before)
    daemon = scene.daemons[victim]
    started = daemon.log.read_bytes().count(b'"event": "ready"')
    ballast = fill(daemon.home, leave_bytes)
    letters = [scene.letter((40_000, 300_000)) for _ in range(ROUNDS)]
    for letter in letters:
        scene.offer(letter)
    wait_until("the daemon says so", lambda: daemon.get("/readyz")[0] == 503, 10)
    if victim == "chu-alger":
        assert not any(letter.file_taken for letter in letters), "taken without room"
    else:
        assert not all(scene.arrived(letter) for letter in letters)
    ballast.unlink()
    for letter in letters:
        scene.finish(letter)
    assert daemon.running
    assert daemon.log.read_bytes().count(b'"event": "ready"') == started, "it was started again"
    wait_until("it is ready again", lambda: daemon.get("/readyz")[0] == 200, 10)
    assert scene.judge().faults == []
