"""``wasl-hub token …``: what is asked; only click is imported, see ``hub.cli.commands``."""

from __future__ import annotations

import click

from runtime import cli

_home = cli.home_option("hub")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def token() -> None:
    """Make, list and revoke the tokens by which programs ask the console's API."""


@token.command()
@click.argument("name")
@_home
@click.option("--role", required=True, metavar="ROLE", help="viewer, operator, administrator or auditor.")
@click.option(
    "--valid-for",
    type=cli.Duration(),
    default="90d",
    show_default=True,
    help="How long it counts: 30d, 366d.",
)
@_json
@cli.done_by("hub.cli.tokens", "create")
def create() -> None:
    """Make token NAME, and print it: it is shown this once and kept nowhere."""


@token.command("list")
@_home
@_json
@cli.done_by("hub.cli.tokens", "list_tokens")
def list_() -> None:
    """List tokens, without their secrets, and when each was last used."""


@token.command()
@click.argument("name")
@_home
@_json
@cli.done_by("hub.cli.tokens", "revoke")
def revoke() -> None:
    """Let token NAME count no more, at once."""
