"""``wasl-hub rotate …``: what is asked; only click is imported, see ``hub.cli.commands``."""

from __future__ import annotations

from pathlib import Path

import click

from runtime import cli

_home = cli.home_option("hub")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_force = click.option("--force", is_flag=True, help="Though some nodes have not followed: they need a file.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def rotate() -> None:
    """Replace the network's own keys: the hub's link key, the authority's key, the key of the audit log."""


@rotate.command()
@click.argument("step", type=click.Choice(["begin", "announce", "finish"]))
@_home
@_force
@_json
@cli.done_by("hub.cli.rotation", "link")
def link() -> None:
    """Replace the key by which nodes know the hub: draw it, tell nodes, let the old one count no more.

    Between `announce` and `finish` the hub answers by both; `status` says who has not moved.
    """


@rotate.command()
@click.argument("step", type=click.Choice(["begin", "finish"]))
@_home
@_force
@_json
@cli.done_by("hub.cli.rotation", "authority")
def authority() -> None:
    """Replace the key that signs credentials: `begin` signs everything again, `finish` retires the old key.

    If the authority's key is on another machine: `wasl-hub authority succeed` there.
    """


@rotate.command()
@_home
@_json
@cli.done_by("hub.cli.rotation", "audit")
def audit() -> None:
    """Replace the key that signs the audit log; the old one signs the name of the new one."""


@rotate.command()
@_home
@_json
@cli.done_by("hub.cli.rotation", "status")
def status() -> None:
    """Say which keys hold, which change is under way, and whose nodes have not followed."""


@rotate.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@_home
@_json
@cli.done_by("hub.cli.rotation", "export")
def export() -> None:
    """Write all changes into FILE, for `wasl-node trust` at a node that was away. Nothing in it is secret."""
