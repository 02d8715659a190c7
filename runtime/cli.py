"""What both command lines share: exit codes, facts on stdout, words on stderr.

Codes (``docs/commands.md``): 0 done; 1 refused or failed; 2 wrong usage or settings; 3
``--wait`` was asked and the daemon is not running; 4 timed out waiting; 130 interrupted while
waiting. Imports are kept light: a command loads what it needs when it runs, so that ``--help``
is quick.

Names, subjects and texts come from elsewhere, and a terminal obeys what it is shown. So what
people read goes through :func:`plain`: tables and words do it by themselves, a command does it
for the lines that it makes.
"""

from __future__ import annotations

import getpass
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from functools import update_wrapper
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

import click

from runtime.moments import utc

if TYPE_CHECKING:
    from config.fields import HostPort

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_NO_DAEMON: Final = 3
EXIT_TIMED_OUT: Final = 4
EXIT_INTERRUPTED: Final = 130
"""As a shell says it of SIGINT."""

_Command = TypeVar("_Command", bound=Callable[..., Any])

_OBEYED: Final = "\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029\\u202a-\\u202e\\u2066-\\u2069\\ud800-\\udfff"
_LINE_SIGNS: Final = re.compile(f"[{_OBEYED}]")
_LAYOUT_SIGNS: Final = re.compile(f"(?![\\n\\t])[{_OBEYED}]")


def plain(text: str, *, layout: bool = False) -> str:
    r"""Return ``text`` with what a terminal would obey written out, as in ``\x1b`` and ``\u202e``.

    That is: control signs (C0, DEL, C1), line and paragraph separators, overrides and isolates of the
    writing direction, and lone surrogates. ``layout`` lets newlines and tabs stand, for whole texts.
    """
    signs = _LAYOUT_SIGNS if layout else _LINE_SIGNS
    return signs.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def fail(text: str, code: int = EXIT_FAILED) -> NoReturn:
    """Say ``text`` on stderr and end with ``code``."""
    say(text)
    sys.exit(code)


def refuse(reason: str, text: str, code: int = EXIT_FAILED) -> NoReturn:
    """Say on stderr why nothing was done, with the stable code ``reason`` for scripts, and end."""
    fail(f"Error [{reason}]: {text}", code)


def say(text: str) -> None:
    """Say something to the person, on stderr: stdout is for data."""
    click.echo(plain(text, layout=True), err=True)


def facts(value: object, *, as_json: bool, text: Callable[[], str]) -> None:
    """Print facts: one JSON value, or the text for people."""
    click.echo(_json(value) if as_json else text())


def done(value: object, text: str, *, as_json: bool) -> None:
    """Tell that something was done: to the person, on stderr, or as one JSON value on stdout."""
    if as_json:
        facts(value, as_json=True, text=str)
    else:
        say(text)


def _json(value: object) -> str:
    """Return JSON for programs that is harmless on a terminal as well: the same value either way."""
    return _LINE_SIGNS.sub(
        lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False, indent=None)
    )


def table(rows: Sequence[Sequence[object]], header: Sequence[str]) -> str:
    """Return rows as aligned columns; plain text, so that it can be cut and grepped."""
    cells = [tuple(header), *(tuple(plain(str(cell)) for cell in row) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )


def moment(at_ms: int) -> str:
    """Return a time as ISO 8601 in UTC with milliseconds; what is no date is cut to the nearest."""
    return utc(at_ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def check_config(
    load: Callable[[], object], refusals: tuple[type[Exception], ...], place: Path, *, as_json: bool
) -> None:
    """Say whether the settings that ``load`` reads at ``place`` are right: every fault, at once."""
    from config.errors import SettingsError  # noqa: PLC0415 - only where settings are

    try:
        load()
    except SettingsError as error:
        faults = [{"file": x.file, "key": x.key, "value": x.value, "right": x.right} for x in error.faults]
        if as_json:
            facts({"ok": False, "faults": faults}, as_json=True, text=str)
        else:
            say(str(error))
        sys.exit(EXIT_USAGE)
    except refusals as error:
        fail(str(error))
    except OSError as error:
        fail(f"{error.filename or place}: {error.strerror or error}")
    facts({"ok": True, "faults": []}, as_json=as_json, text=lambda: "The settings are right.")


def listen_at(text: str | None) -> HostPort | None:
    """Return the address that ``--listen`` gives; what is none is wrong usage."""
    from config.fields import UnfitError, parse_listen  # noqa: PLC0415 - only where addresses are

    if text is None:
        return None
    try:
        return parse_listen(text)
    except UnfitError as fault:
        fail(f"--listen {text!r} {fault}", EXIT_USAGE)


def new_password(most_chars: int) -> str:
    """Return a password that the person types twice, or the first line of standard input."""
    if not sys.stdin.isatty():
        return sys.stdin.readline(most_chars + 2).rstrip("\n")
    first = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != first:
        fail("the two passwords differ")
    return first


class LazyGroup(click.Group):
    """A group whose commands are imported when used: ``{"name": ("module", "function", "help")}``."""

    def __init__(
        self, *args: Any, lazy: Mapping[str, tuple[str, str, str]] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, context_settings={"help_option_names": ["-h", "--help"]}, **kwargs)
        self._lazy = dict(lazy or {})

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return all names, in the order in which they were declared."""
        return [*self._lazy, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command."""
        if cmd_name not in self._lazy:
            return super().get_command(ctx, cmd_name)
        module, name, _ = self._lazy[cmd_name]
        command = getattr(import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is asked for; one that does not exist names the nearest that does."""
        name = args[0]
        if not name.startswith("-") and name not in self.list_commands(ctx):
            near = get_close_matches(name, self.list_commands(ctx), n=1)
            hint = f" Did you mean {near[0]!r}?" if near else f" See `{ctx.command_path} --help`."
            ctx.fail(f"No such command {plain(name)!r}.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in self._lazy.items()])


class Work:
    """What a command does, known by its place until it is called: then it is imported."""

    def __init__(self, described: Callable[[], None], module: str, name: str) -> None:
        update_wrapper(self, described)
        self._module, self._name = module, name

    def load(self) -> Callable[..., None]:
        """Import it."""
        work: Callable[..., None] = getattr(import_module(self._module), self._name)
        return work

    def __call__(self, **options: Any) -> None:
        """Do it, with what options and arguments say, by name."""
        self.load()(**options)


def done_by(module: str, name: str) -> Callable[[Callable[[], None]], Work]:
    """Return a decorator for a command that is only described: ``name`` of ``module`` does its work."""
    return lambda described: Work(described, module, name)


class Duration(click.ParamType):  # type: ignore[type-arg]  # generic only since click 8.5; 8.1 will do
    """An option's duration such as ``24h`` or ``5d``: float seconds; what is none is wrong usage."""

    name = "DURATION"

    def __init__(self, *, or_none: bool = False) -> None:
        """``or_none``: no time at all is a duration too."""
        self._or_none = or_none

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:  # click calls it once more with what it returned
        """Return seconds."""
        from config.fields import UnfitError, parse_duration  # noqa: PLC0415 - only where durations are

        if isinstance(value, float):
            return value
        try:
            found = parse_duration(value)
        except UnfitError as fault:
            self.fail(f"{plain(value)!r} {fault}", param, ctx)
        if found <= 0 and not self._or_none:
            self.fail(f"{value!r} is no time at all; it needs to be longer, as in 24h", param, ctx)
        return found


def home_option(whose: str) -> Callable[[_Command], _Command]:
    """Return the option ``--home`` that every command has; WASL_HOME in the environment does as well."""
    return click.option(
        "--home",
        required=True,
        envvar="WASL_HOME",
        show_envvar=True,
        type=click.Path(path_type=Path, file_okay=False),
        help=f"The {whose}'s home directory.",
    )
