"""``wasl-hub authority …``: what is asked; only click is imported, see ``hub.cli.commands``."""

from __future__ import annotations

from pathlib import Path

import click

from runtime import cli

_home = cli.home_option("hub")
_new = click.Path(path_type=Path, dir_okay=False)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_there = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def authority() -> None:
    """Keep the authority's key on another machine, and carry what waits for it there and back."""


@authority.command()
@click.option("--into", required=True, type=_new, help="The file for the key; must not exist.")
@_home
@_json
@cli.done_by("hub.cli.authority", "detach")
def detach() -> None:
    """Move the authority's private key out of the home. Restart the hub afterwards."""


@authority.command("export-requests")
@click.argument("file", type=_new)
@_home
@click.option("--everything", is_flag=True, help="And all that has a signature: for `succeed`.")
@_json
@cli.done_by("hub.cli.authority", "export_requests")
def export_requests() -> None:
    """Write what waits for the authority into FILE."""


@authority.command()
@click.argument("file", type=_there)
@click.option("--key", required=True, type=_there, help="The file that `detach` wrote.")
@click.option("--into", required=True, type=_new, help="The file for the signed statements.")
@click.option("--yes", is_flag=True, help="Sign without asking.")
@_json
@cli.done_by("hub.cli.authority", "sign")
def sign() -> None:
    """Sign the requests in FILE, after showing them: on the machine that has the key; no hub is needed."""


@authority.command()
@click.argument("file", type=_there)
@click.option("--key", required=True, type=_there, help="The file with the present key.")
@click.option("--new-key", required=True, type=_new, help="The file for the new key; must not exist.")
@click.option("--into", required=True, type=_new, help="The file for what was signed.")
@click.option("--yes", is_flag=True, help="Sign without asking.")
@_json
@cli.done_by("hub.cli.authority", "succeed")
def succeed() -> None:
    """Let a new key take the authority's place; FILE is from `export-requests --everything`.

    On the machine that has the key. The present key signs the name of the new one, the new one everything.
    """


@authority.command("import")
@click.argument("file", type=_there)
@_home
@_json
@cli.done_by("hub.cli.authority", "take")
def take() -> None:
    """Take the signed statements in FILE; nodes hear of them at once."""
