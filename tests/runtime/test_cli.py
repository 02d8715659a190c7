"""What both command lines share: codes, facts on stdout, words on stderr."""

from __future__ import annotations

import json
import sys
from pathlib import Path

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
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_790_000_000_123, "2026-09-21T14:13:20.123Z"),
        (1 << 53, "9999-12-30T23:59:59.000Z"),
        (1 << 63, "9999-12-30T23:59:59.000Z"),
        (-(1 << 53), "0001-01-02T00:00:00.000Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
    ],
)
def test_moments_are_utc_with_milliseconds_and_cut_where_no_date_is(at_ms: int, text: str) -> None:
    assert cli.moment(at_ms) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, عنوان, \u200d", "plain, عنوان, \u200d"),
        ("\x1b[2J\x9b1m\x00\x7f", r"\x1b[2J\x9b1m\x00\x7f"),
        ("a\nb\tc\rd", r"a\nb\tc\rd"),
        ("\u202egpj.exe\u2066\u2028", r"\u202egpj.exe\u2066\u2028"),
        ("\udcff", r"\udcff"),
    ],
)
def test_what_a_terminal_would_obey_is_written_out(text: str, shown: str) -> None:
    assert cli.plain(text) == shown
    assert shown in cli.table([(text, 1)], ("text", "n"))


def test_words_keep_their_lines_and_lose_their_power(capsys: pytest.CaptureFixture[str]) -> None:
    cli.say("one\n\ttwo \x1b[31m")
    assert capsys.readouterr().err == "one\n\ttwo \\x1b[31m\n"


def test_json_is_the_same_value_and_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"subject": "\x9b31m \x7f \u202e \udcff \n"}
    cli.facts(value, as_json=True, text=str)
    out = capsys.readouterr().out.strip()
    assert json.loads(out) == value
    assert out.isprintable()
    assert out.isascii()


def test_a_refusal_begins_with_its_code(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.refuse("unknown-mailbox", "there is none")
    assert (ended.value.code, capsys.readouterr().err) == (1, "Error [unknown-mailbox]: there is none\n")


@click.command()
@click.option("--for", "time_s", type=cli.Duration(), default="24h")
@click.option("--timeout", "timeout_s", type=cli.Duration(or_none=True), default="0s")
def durations(time_s: float, timeout_s: float) -> None:
    click.echo(f"{time_s} {timeout_s}")


def test_durations_are_read() -> None:
    assert CliRunner().invoke(durations, []).stdout == "86400.0 0.0\n"
    assert CliRunner().invoke(durations, ["--for", "1h30m"]).stdout == "5400.0 0.0\n"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(("--for", "banana"), "--for"), (("--for", "0s"), "--for"), (("--timeout", "1 h"), "--timeout")],
)
def test_a_wrong_duration_names_its_option(arguments: tuple[str, ...], named: str) -> None:
    result = CliRunner().invoke(durations, arguments)
    assert (result.exit_code, named in result.stderr) == (2, True)


def test_the_home_may_be_said_by_the_environment(tmp_path: Path) -> None:
    @click.command()
    @cli.home_option("hub")
    def command(home: Path) -> None:
        click.echo(str(home))

    assert CliRunner().invoke(command, env={"WASL_HOME": str(tmp_path)}).stdout == f"{tmp_path}\n"
    assert CliRunner().invoke(command, env={"WASL_HOME": None}).exit_code == 2
    assert "WASL_HOME" in CliRunner().invoke(command, ["--help"]).stdout


def test_a_lazy_group_lists_its_commands_without_importing_them() -> None:
    @click.group(cls=cli.LazyGroup, lazy={"late": ("tests.runtime.no_such_module", "late", "Comes late.")})
    def group() -> None:
        """Do nothing."""

    result = CliRunner().invoke(group, ["--help"])
    assert (result.exit_code, "Comes late." in result.stdout) == (0, True)
    assert "tests.runtime.no_such_module" not in sys.modules
    wrong = CliRunner().invoke(group, ["unknown"])
    assert (wrong.exit_code, "No such command" in wrong.stderr) == (2, True)
    assert "Did you mean 'late'?" in CliRunner().invoke(group, ["lat"]).stderr
    assert CliRunner().invoke(group, ["-h"]).exit_code == 0
