"""Lines that break at any byte or fall silent, and processes that stop for a while, lose nothing.

One-byte segments and cuts under load are in ``tests/integration/test_bad_lines.py``; every offset of a
session in ``python -m tests.torture lines``.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from protocols.link import limits
from tests.integration.template import make_template
from tests.integration.waiting import wait_until
from tests.lines.scene import DOWN, UP, LineScene

pytestmark = pytest.mark.integration

EVERY = 97
"""Only every so many-th offset here: a prime, so that it falls on different bytes of records and frames."""
GIVEN_UP_S = limits.SILENCE_S + 20.0
"""A silent line is given up within this."""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_template(tmp_path_factory.mktemp("template"))


@pytest.fixture(scope="module")
def scene(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LineScene]:
    made = LineScene(tmp_path_factory.mktemp("lines"), template)
    made.start()
    yield made
    made.close()


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("direction", [UP, DOWN])
def test_a_reset_at_any_byte_of_a_session_loses_nothing(scene: LineScene, direction: str) -> None:
    """Whatever had passed when the line broke, both messages arrive once, in order, and are told of."""
    played = list(scene.sweep_resets(direction, range(0, 1 << 20, EVERY)))
    assert [str(one) for one in played if one.wrong] == []
    assert sum(one.fired == len(scene.lines) for one in played) > 800 // EVERY, "sessions of no length"
    verdict = scene.judge()
    assert verdict.faults == []
    assert verdict.acknowledged >= 3 * len(played)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_half_open_lines_and_stopped_processes_are_noticed_and_outlived(scene: LineScene) -> None:
    """A line that says nothing and a node that stands still are given up; then all goes on by itself.

    Before that the hub stands still for some seconds: nobody gives anybody up, and what was offered goes on.
    """
    hub, oran = scene.daemons["hub"], scene.daemons["chu-oran"]
    first, second = scene.letter(), scene.letter()
    connections = scene.lines["chu-alger"].connections
    hub.send_signal(signal.SIGSTOP)
    scene.offer(first)
    time.sleep(3)
    hub.send_signal(signal.SIGCONT)
    scene.finish(first)
    assert scene.lines["chu-alger"].connections == connections
    scene.lines["chu-alger"].silent = True
    oran.send_signal(signal.SIGSTOP)
    scene.offer(second)
    assert second.message_taken, "a node takes messages, whatever its line does"
    alger = scene.daemons["chu-alger"]
    gone = [f'"event": "node-left", "facility": "{name}"'.encode() for name in scene.lines]
    wait_until("the hub gave both up", lambda: all(one in hub.said() for one in gone), GIVEN_UP_S, 1.0)
    wait_until("alger gave its line up", lambda: b'"event": "hub-lost"' in alger.said(), GIVEN_UP_S, 1.0)
    assert not scene.arrived(second)
    scene.lines["chu-alger"].silent = False
    oran.send_signal(signal.SIGCONT)
    scene.connect()
    scene.finish(second)
    assert scene.judge().faults == []


def test_a_delay_on_every_segment_only_delays(scene: LineScene) -> None:
    """With 50 ms before each segment, both ways, everything still goes through."""
    for line in scene.lines.values():
        line.delay_s = 0.05
    for letter in (scene.letter(), scene.letter(), scene.letter()):
        scene.finish(letter)
    for line in scene.lines.values():
        line.delay_s = 0.0
    assert scene.judge().faults == []


def test_a_message_that_is_gone_is_noticed(template: Path, tmp_path: Path) -> None:
    """The judge of this scene is able to fail: a row taken out of the inbox behind its back is a loss."""
    scene = LineScene(tmp_path, template)
    try:
        scene.start()
        _lose_two_files(scene)
    finally:
        scene.close()


def _lose_two_files(scene: LineScene) -> None:
    letters = [scene.letter(), scene.letter()]
    for letter in letters:
        scene.finish(letter)
    node = scene.network.nodes["chu-oran"]
    wait_until("all is at rest", partial(scene.arrived, letters[1]))
    scene.daemons["chu-oran"].kill()
    node.change("DELETE FROM inbox WHERE recipient = 'labo@chu-oran'")
    assert [fault.partition(":")[0] for fault in scene.judge().faults] == ["lost", "lost"]
