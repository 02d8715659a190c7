"""Starting console and desk: without users they say how to add one, and a wrong address names its setting."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.integration.daemons import PROJECT, environment
from tests.integration.network import Network
from tests.integration.waiting import wait_until

START_S = 60.0
PASSWORD = "correct horse battery"


@pytest.fixture(params=["console", "desk"])
def web(request: pytest.FixtureRequest, network: Network) -> tuple[list[str], str, Path]:
    """Return the command to run it, the command that adds its users, and its home."""
    if request.param == "console":
        home = network.hub.home
        return ["hub", "console"], "wasl-hub adduser", home
    return ["nodes.desk", "run"], "wasl-desk adduser", network.nodes["chu-alger"].home


def started(web: tuple[list[str], str, Path], listen: str, log: Path) -> subprocess.Popen[bytes]:
    (module, command), _, home = web
    with log.open("wb") as said:
        return subprocess.Popen(
            [sys.executable, "-m", module, command, "--home", str(home), "--listen", listen],
            env=environment(), stdin=subprocess.DEVNULL, stdout=said, stderr=said, cwd=PROJECT,
        )  # fmt: skip


def events(web: tuple[list[str], str, Path], log: Path) -> Sequence[dict[str, str]]:
    """Start it, and end it once it is ready; returns what it said."""
    process = started(web, "127.0.0.1:0", log)
    try:
        wait_until("it is ready", lambda: b'"ready"' in log.read_bytes(), START_S)
        process.terminate()
        assert process.wait(START_S) == 0
    finally:
        process.kill()
        process.wait()
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]


def test_while_there_are_no_users_it_says_how_to_add_one(
    web: tuple[list[str], str, Path], tmp_path: Path
) -> None:
    (told,) = [one for one in events(web, tmp_path / "log") if one["event"] == "no-users"]
    module, add, home = web[0][0], web[1], web[2]
    assert told["add"] == f"{add} NAME --home {home} --role administrator"
    subprocess.run(
        [sys.executable, "-m", module, *told["add"].replace("NAME", "amina").split()[1:]],
        cwd=PROJECT, env=environment(), input=PASSWORD.encode(), check=True, timeout=START_S,
    )  # fmt: skip
    assert not [one for one in events(web, tmp_path / "log") if one["event"] == "no-users"]


def test_an_address_that_is_taken_is_the_options_if_that_was_given(
    web: tuple[list[str], str, Path], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        log = tmp_path / "log"
        assert started(web, address, log).wait(START_S) == 1
    assert f"--listen is {address}: " in log.read_text(encoding="utf-8")
