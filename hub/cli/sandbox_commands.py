"""What ``wasl-hub sandbox`` is asked; only click is imported, see ``hub.cli.commands``."""

from __future__ import annotations

import click

from runtime import cli

_port = click.option(
    "--port", default=21_000, show_default=True, type=click.IntRange(1_024, 60_000),
    help="The first of its thirty ports.",
)  # fmt: skip


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def sandbox() -> None:
    """Try an interface: a hub and two facilities on this machine, with faults on demand."""


@sandbox.command("run")
@_port
@click.option(
    "--acknowledge", default="processed", show_default=True,
    type=click.Choice(["stored", "accepted", "delivered", "processed"]),
    help="When a facility's MLLP door answers AA.",
)  # fmt: skip
@cli.done_by("hub.cli.sandbox", "run")
def run() -> None:
    """Start it, print its ports, and run until Ctrl-C. Nothing of it stays."""


@sandbox.command("inject")
@click.argument("fault", type=click.Choice(["nondelivery", "delay", "refusal", "duplicate"]))
@_port
@click.option(
    "--to", "recipient", metavar="MAILBOX@FACILITY", default="labo@clinique-dune", show_default=True,
    help="Whose messages meet it.",
)  # fmt: skip
@click.option(
    "--count", default=1, show_default=True, type=click.IntRange(1, 1_000), help="How many messages."
)
@click.option(
    "--for", "lasting", default="10s", show_default=True, type=cli.Duration(),
    help="How late delayed messages are.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@cli.done_by("hub.cli.sandbox", "inject")
def inject() -> None:
    """Let the next messages meet a fault, in a sandbox that runs in another terminal."""
