"""Logs: one line an event, machine or person; nothing forged, nothing sealed, no floods."""

import io
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock as TaskClock

from runtime.clock import SimulatedClock
from runtime.logs import JsonFormatter, RepeatLimit, TextFormatter, event, set_up

ROOT = Path(__file__).parents[2]
LOGGER = logging.getLogger("tests.runtime.logs")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root, twisted = logging.getLogger(), logging.getLogger("twisted")
    handlers, levels = root.handlers[:], (root.level, twisted.level)
    yield
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    twisted.setLevel(levels[1])


def test_json_lines_when_not_on_a_terminal() -> None:
    stream = io.StringIO()
    set_up(stream)
    event(LOGGER, logging.WARNING, "link lost", facility="chu-alger", attempts=3, reason=None, up=False)
    line = json.loads(stream.getvalue())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert line == {
        "level": "warning",
        "event": "link lost",
        "logger": "tests.runtime.logs",
        "facility": "chu-alger",
        "attempts": 3,
        "up": False,
    }


def test_text_on_a_terminal_coloured_unless_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    for no_color, level in (("", "\x1b[32mINFO   \x1b[0m"), ("1", "INFO   ")):
        monkeypatch.setenv("NO_COLOR", no_color)
        stream = Terminal()
        set_up(stream)
        event(LOGGER, logging.INFO, "ready", address="[::1]:80", note="two words", path="/x/y")
        time, rest = stream.getvalue().split(" ", 1)
        assert time.endswith("Z")
        assert rest == f'{level} ready address="[::1]:80" note="two words" path=/x/y\n'


@pytest.mark.parametrize(("style", "json_lines"), [("json", True), ("text", False)])
def test_the_style_can_be_forced(style: str, json_lines: bool) -> None:
    stream = Terminal() if json_lines else io.StringIO()
    set_up(stream, style=style)
    event(LOGGER, logging.INFO, "ready")
    assert stream.getvalue().startswith("{") is json_lines
    assert "\x1b" not in stream.getvalue()


def test_levels_hold_back_what_is_below() -> None:
    stream = io.StringIO()
    set_up(stream, level="warning")
    event(LOGGER, logging.INFO, "small")
    event(LOGGER, logging.ERROR, "big")
    logging.getLogger("twisted").info("Starting factory")
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["big"]


def test_fields_cannot_replace_what_the_record_says() -> None:
    stream = io.StringIO()
    set_up(stream)
    event(LOGGER, logging.INFO, "real", event="forged", time="never", level="none", logger="x")
    line = json.loads(stream.getvalue())
    assert (line["event"], line["level"], line["logger"]) == ("real", "info", LOGGER.name)
    assert line["time"] != "never"


def record(name: str, **fields: object) -> logging.LogRecord:
    return LOGGER.makeRecord("l", logging.INFO, "f", 1, "%s", (name,), None, extra={"wasl_fields": fields})


@given(st.text(), st.text())
def test_no_foreign_text_forges_a_line_or_moves_the_cursor(name: str, value: str) -> None:
    text = TextFormatter(colour=False).format(record(name, peer=value))
    assert text.isprintable()
    line = JsonFormatter().format(record(name, peer=value))
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["event"] == name


def test_bytes_are_never_shown_and_long_values_are_cut() -> None:
    for formatter in (TextFormatter(colour=False), JsonFormatter()):
        line = formatter.format(record("x", body=b"secret", long="a" * 10_000))
        assert "secret" not in line
        assert "<6 bytes>" in line
        assert len(line) < 500


def test_a_cause_brings_its_traceback() -> None:
    stream = io.StringIO()
    set_up(stream)
    try:
        raise OSError("disk gone")  # the traceback is what is tested
    except OSError as error:
        event(LOGGER, logging.ERROR, "commit failed", cause=error)
    assert "OSError: disk gone" in json.loads(stream.getvalue())["traceback"]


def test_repeats_are_counted_not_logged() -> None:
    stream, task_clock = io.StringIO(), TaskClock()
    set_up(stream)
    limit = RepeatLimit(SimulatedClock(task_clock, 0), interval_s=60)

    def refuse(peer: str) -> None:
        limit.event(peer, LOGGER, logging.WARNING, "refused", peer=peer)

    for _ in range(100):
        refuse("10.0.0.1")
    refuse("10.0.0.2")
    task_clock.advance(60)
    refuse("10.0.0.1")
    refuse("10.0.0.1")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["peer"], line.get("repeats")) for line in lines] == [
        ("10.0.0.1", None),
        ("10.0.0.2", None),
        ("10.0.0.1", 99),
    ]


def test_only_so_many_keys_are_remembered() -> None:
    set_up(io.StringIO())
    limit = RepeatLimit(SimulatedClock(TaskClock(), 0), max_keys=10)
    for key in range(1000):
        limit.event(key, LOGGER, logging.WARNING, "refused")
    assert list(limit._seen) == list(range(990, 1000))


def test_twisted_speaks_through_the_same_stream() -> None:
    code = """
import sys
from runtime.logs import bridge_twisted, set_up
set_up(sys.stderr)
assert not any(name.startswith("twisted") for name in sys.modules)
bridge_twisted()
from twisted.logger import Logger
log = Logger("somewhere")
log.info("chatter")
log.error("trouble with {peer}", peer="10.0.0.1")
try:
    raise RuntimeError("boom")
except RuntimeError:
    log.failure("unhandled")
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={**os.environ}, capture_output=True, text=True, check=True
    )
    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    assert [(line["level"], line["event"]) for line in lines] == [
        ("error", "trouble with 10.0.0.1"),
        ("critical", "unhandled"),
    ]
    assert "RuntimeError: boom" in lines[1]["traceback"]
