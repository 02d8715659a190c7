"""A sample of the sweep (all of it: ``python -m tests.torture faults``), and that it is able to fail."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.scene import VICTIMS, Scene
from tests.faults.shim import AT_START, KINDS, Kind, Orders, build, compiler
from tests.integration.template import make_template

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(compiler() is None, reason="no gcc, which compiles the library of faults"),
]

SAMPLE = (
    ("write-eio", 2), ("write-enospc", 5), ("write-enospc-stuck", 4), ("write-short", 3), ("sync-eio", 2),
    ("sync-enospc", 4), ("open-emfile", 1), ("names-eio", 1),
)  # fmt: skip
"""Kind and N: few enough for the suite, and each kind of answer that the code has."""
SAMPLE_AT_START = (("read-eio", 3), ("write-enospc-stuck", 1))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("library"))


@pytest.fixture(scope="module")
def scene(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    root = tmp_path_factory.mktemp("faults")
    (root / "template").mkdir()
    (root / "network").mkdir()
    made = Scene(root / "network", make_template(root / "template"), library)
    made.start()
    yield made
    made.close()


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("victim", VICTIMS)
def test_a_call_that_fails_loses_doubles_and_damages_nothing(scene: Scene, victim: str) -> None:
    """Whatever call fails, the process refuses and goes on, or says why and ends; all arrives once."""
    rounds = [scene.play(victim, KINDS[kind], at) for kind, at in SAMPLE]
    rounds += [scene.play_start(victim, KINDS[kind], at) for kind, at in SAMPLE_AT_START]
    assert [str(one) for one in rounds if one.wrong] == []
    assert sum(bool(one.fired) for one in rounds) > len(rounds) // 2, "hardly any fault came to pass"
    assert any(one.ended for one in rounds)
    assert any(one.fired and not one.ended for one in rounds)
    verdict = scene.judge()
    assert verdict.faults == []
    assert verdict.acknowledged >= len(rounds)


@pytest.mark.slow
def test_a_commit_whose_failure_is_ignored_is_noticed(library: Path, tmp_path: Path) -> None:
    """With code that answers though its COMMIT failed, the sweep finds what was lost by that."""
    (tmp_path / "template").mkdir()
    (tmp_path / "network").mkdir()
    template = make_template(tmp_path / "template")
    broken = Scene(
        tmp_path / "network", template, library, broken="commits_that_failed_count_as_done", recovery_s=4
    )
    try:
        broken.start()
        rounds = broken.sweep("chu-alger", KINDS["write-enospc"], iter(range(1, 20)))
        assert any("does not go on by itself" in one.wrong for one in rounds)
        assert any(fault.startswith("lost: ") for fault in broken.judge().faults)
    finally:
        broken.close()


def test_the_library_fails_the_very_call_it_was_told(library: Path, tmp_path: Path) -> None:
    """The second of three writes fails with the number that was asked for, the others do not."""
    (tmp_path / "home").mkdir()
    orders = Orders(library, tmp_path / "home")
    orders.arm(Kind("second write", KINDS["write-eio"].calls, errno.ENOSPC), 2)
    script = (
        "import os, sys\n"
        "fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)\n"
        "for data in (b'a', b'b', b'c'):\n"
        "    try: os.write(fd, data)\n"
        "    except OSError as error: print(error.errno)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "home" / "file")]
    done = subprocess.run(
        command, env=os.environ | orders.environment, capture_output=True, check=True, timeout=60
    )
    assert done.stdout.split() == [b"%d" % errno.ENOSPC]
    assert (tmp_path / "home" / "file").read_bytes() == b"ac"
    assert (orders.seen, orders.fired) == (3, 1)
    orders.close()


def test_the_kinds_that_fail_while_starting_are_kinds() -> None:
    assert set(AT_START) < set(KINDS)
