"""What ``wasl-hub queue`` is asked; only click is imported, see ``hub.cli.commands``."""

from __future__ import annotations

from pathlib import Path

import click

from runtime import cli

_home = cli.home_option("hub")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--home", envvar="WASL_HOME", show_envvar=True, type=click.Path(path_type=Path, file_okay=False),
    help="The hub's home directory.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def queue(context: click.Context, home: Path | None, as_json: bool) -> None:
    """Show what waits for which facility; pause a facility's queue, and let it go."""
    if context.invoked_subcommand is None:
        if home is None:
            raise click.UsageError("Missing option '--home'.", context)
        from hub.cli import traffic  # noqa: PLC0415 - so that --help is quick

        traffic.queue(home, as_json)


@queue.command()
@click.argument("facility")
@_home
@click.option("--reason", required=True, help="Kept in the journal, and shown in the console.")
@_json
@cli.done_by("hub.cli.traffic", "pause")
def pause() -> None:
    """Deliver nothing to FACILITY until its queue is resumed.

    It may send, and messages to it wait; their time limits go on, and their senders are warned as usual.
    """


@queue.command()
@click.argument("facility")
@_home
@click.option("--reason", default="", help="Kept in the journal.")
@_json
@cli.done_by("hub.cli.traffic", "resume")
def resume() -> None:
    """Deliver again what waits for FACILITY."""
