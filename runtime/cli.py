"""What both command lines share: exit codes, facts on stdout, words on stderr.

Codes (``docs/commands.md``): 0 done; 1 refused or failed; 2 wrong usage or settings; 3
``--wait`` was asked and the daemon is not running; 4 timed out waiting. Imports are kept
light: a command loads what it needs when it runs, so that ``--help`` is quick.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NoReturn

import click

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_NO_DAEMON: Final = 3
EXIT_TIMED_OUT: Final = 4


def fail(text: str, code: int = EXIT_FAILED) -> NoReturn:
    """Say ``text`` on stderr and end with ``code``."""
    click.echo(text, err=True)
    sys.exit(code)


def say(text: str) -> None:
    """Say something to the person, on stderr: stdout is for data."""
    click.echo(text, err=True)


def facts(value: object, *, as_json: bool, text: Callable[[], str]) -> None:
    """Print facts: one JSON value, or the text for people."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=None) if as_json else text())


def table(rows: Sequence[Sequence[object]], header: Sequence[str]) -> str:
    """Return rows as aligned columns; plain text, so that it can be cut and grepped."""
    cells = [tuple(header), *(tuple(str(cell) for cell in row) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )


def moment(at_ms: int) -> str:
    """Return a time as ISO 8601 in UTC with milliseconds."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class LazyGroup(click.Group):
    """A group whose commands are imported when used: ``{"name": ("module", "function", "help")}``."""

    def __init__(
        self, *args: Any, lazy: Mapping[str, tuple[str, str, str]] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._lazy = dict(lazy or {})

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return all names, in the order in which they were declared."""
        return [*self._lazy, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command."""
        if cmd_name not in self._lazy:
            return super().get_command(ctx, cmd_name)
        from importlib import import_module  # noqa: PLC0415 - that is the point

        module, name, _ = self._lazy[cmd_name]
        command = getattr(import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in self._lazy.items()])


def seconds(text: str) -> float:
    """Read a duration such as ``24h`` or ``5d``; usage error otherwise."""
    from config.fields import UnfitError, parse_duration  # noqa: PLC0415 - only commands that have durations

    try:
        return parse_duration(text)
    except UnfitError as fault:
        raise click.BadParameter(str(fault)) from None
