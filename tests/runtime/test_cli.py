"""What both command lines share: codes, facts on stdout, words on stderr."""

from __future__ import annotations

import json
import sys

import click
import pytest
from click.testing import CliRunner

from runtime import cli


def test_fail_says_why_on_stderr_and_ends() -> None:
    @click.command()
    def command() -> None:
        cli.say("a word")
        cli.fail("no room", cli.EXIT_TIMED_OUT)

    result = CliRunner().invoke(command)
    assert (result.exit_code, result.stdout, result.stderr) == (4, "", "a word\nno room\n")


def test_facts_are_json_or_text(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"id": 1, "name": "عنوان"}
    cli.facts(value, as_json=True, text=lambda: "never")
    cli.facts(value, as_json=False, text=lambda: "one line")
    first, second = capsys.readouterr().out.splitlines()
    assert (json.loads(first), second) == (value, "one line")
    assert "عنوان" in first


def test_a_table_is_aligned_and_an_empty_one_has_its_header() -> None:
    text = cli.table([("a", 1), ("long name", 22)], ("name", "n"))
    assert text.splitlines() == ["name       n", "a          1", "long name  22"]
    assert cli.table([], ("name", "n")) == "name  n"


@pytest.mark.parametrize(
    ("at_ms", "text"),
    [(0, "1970-01-01T00:00:00.000Z"), (1_790_000_000_123, "2026-09-21T14:13:20.123Z")],
)
def test_moments_are_utc_with_milliseconds(at_ms: int, text: str) -> None:
    assert cli.moment(at_ms) == text


def test_durations_are_read_or_are_wrong_usage() -> None:
    assert cli.seconds("24h") == 86_400
    with pytest.raises(click.BadParameter):
        cli.seconds("banana")


def test_a_lazy_group_lists_its_commands_without_importing_them() -> None:
    @click.group(cls=cli.LazyGroup, lazy={"late": ("tests.runtime.no_such_module", "late", "Comes late.")})
    def group() -> None:
        """Do nothing."""

    result = CliRunner().invoke(group, ["--help"])
    assert (result.exit_code, "Comes late." in result.stdout) == (0, True)
    assert "tests.runtime.no_such_module" not in sys.modules
    wrong = CliRunner().invoke(group, ["unknown"])
    assert (wrong.exit_code, "No such command" in wrong.stderr) == (2, True)
