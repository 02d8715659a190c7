"""``wasl-hub policy …``: what is asked; only click is imported, see ``hub.cli.commands``."""

from __future__ import annotations

from pathlib import Path

import click

from runtime import cli

_home = cli.home_option("hub")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_file = click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True))
_number = click.argument("number", type=click.IntRange(1))


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def policy() -> None:
    """Say who may send what to whom: the text of [policy] and [[policy.rule]], kept with its history."""


@policy.command()
@click.argument("number", required=False, type=click.IntRange(1))
@_home
@_json
@cli.done_by("hub.cli.policy", "show")
def show() -> None:
    """Show the policy that holds, or version NUMBER."""


@policy.command()
@_home
@_json
@cli.done_by("hub.cli.policy", "history")
def history() -> None:
    """List every policy that was applied, newest first."""


@policy.command()
@_file
@_json
@cli.done_by("hub.cli.policy", "check")
def check() -> None:
    """Say everything that is wrong with the policy in FILE."""


@policy.command()
@_file
@_home
@click.option("--note", default="", help="Why; kept with it.")
@_json
@cli.done_by("hub.cli.policy", "apply")
def apply() -> None:
    """Let the policy in FILE hold from now on, without a restart."""


@policy.command()
@_file
@_home
@_json
@cli.done_by("hub.cli.policy", "diff")
def diff() -> None:
    """Show what FILE would change."""


@policy.command()
@_number
@_home
@_json
@cli.done_by("hub.cli.policy", "revert")
def revert() -> None:
    """Let version NUMBER hold again, as a new version."""


@policy.command("try")
@_file
@_home
@click.option("--since", type=cli.Duration(), default="7d", show_default=True, help="How far to look back.")
@_json
@cli.done_by("hub.cli.policy", "attempt")
def attempt() -> None:
    """Say which accepted messages the policy in FILE would have refused. Changes nothing."""
