"""What ``wasl-hub`` is asked: each command with its options and its help, and where its work is done.

Only click is imported here, so that ``--help`` is quick; the work is imported when it is called.
"""

from __future__ import annotations

from pathlib import Path

import click

from runtime import cli

_home = cli.home_option("hub")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_facility = click.argument("facility")
_identifier = click.argument("identifier", metavar="ID")


@click.command()
@_home
@click.option("--name", help="The hub's name; nodes check it. Default: hub.")
@click.option("--listen", metavar="HOST:PORT", help="Where nodes connect. Default: 127.0.0.1:7600.")
@click.option("--http", metavar="HOST:PORT", help="Health and metrics. Default: 127.0.0.1:7601.")
@click.option("--database", metavar="URL", help="Default: SQLite in the home.")
@cli.done_by("hub.cli.daemon", "init")
def init() -> None:
    """Make a hub's home: settings, keys, database."""


@click.command()
@_home
@cli.done_by("hub.cli.daemon", "run")
def run() -> None:
    """Run the hub in the foreground; SIGTERM stops it cleanly."""


@click.command("check-config")
@_home
@_json
@cli.done_by("hub.cli.daemon", "check_config")
def check_config() -> None:
    """Check the settings and say everything that is wrong with them."""


@click.command()
@_facility
@_home
@click.option("--title", help="What people call it.")
@click.option("--mailbox", "mailboxes", multiple=True, help="An address inside it; may repeat.")
@click.option(
    "--valid-for", type=cli.Duration(), default="24h", show_default=True,
    help="How long the code works: 30m, 24h, 7d.",
)  # fmt: skip
@_json
@cli.done_by("hub.cli.facilities", "invite")
def invite() -> None:
    """Let FACILITY in: print a one-time join code for its node.

    The code carries a secret: hand it over as you would a password.
    """


@click.command()
@_home
@_json
@cli.done_by("hub.cli.facilities", "facilities")
def facilities() -> None:
    """List facilities, their mailboxes, and who is connected."""


@click.command()
@_facility
@_home
@cli.done_by("hub.cli.facilities", "suspend")
def suspend() -> None:
    """Take FACILITY out of traffic; its session ends at once, what waits for it stays."""


@click.command()
@_facility
@_home
@cli.done_by("hub.cli.facilities", "resume")
def resume() -> None:
    """Let a suspended FACILITY back."""


@click.command()
@_facility
@_home
@click.option("--reason", default="", help="Kept, and told to every node.")
@cli.done_by("hub.cli.facilities", "revoke")
def revoke() -> None:
    """Revoke FACILITY's keys for good; a new invitation makes it a member again."""


@click.command()
@click.argument("name")
@click.argument("members", nargs=-1, required=True)
@_home
@click.option("--title", default="", help="What people call it.")
@cli.done_by("hub.cli.facilities", "group")
def group() -> None:
    """Make group NAME of MEMBERS (mailbox@facility …); it is addressed as NAME@group."""


@click.command()
@_home
@_json
@cli.done_by("hub.cli.traffic", "queue")
def queue() -> None:
    """Show what waits for which facility."""


@click.command()
@_identifier
@_home
@_json
@cli.done_by("hub.cli.traffic", "track")
def track() -> None:
    """Show what became of message ID, as far as the hub can know."""


@click.command("give-up")
@_identifier
@_home
@click.option("--recipient", metavar="MAILBOX@FACILITY", help="Only this copy. Default: all that wait.")
@cli.done_by("hub.cli.traffic", "give_up")
def give_up() -> None:
    """Return message ID to its sender (given-up), though its recipient may have it already.

    For a recipient that never comes back. One that is connected settles the message itself: suspend its
    facility first if it does not.
    """


@click.command()
@_home
@click.option(
    "--into", required=True, type=click.Path(path_type=Path), help="The file to write; must not exist."
)
@cli.done_by("hub.cli.traffic", "backup")
def backup() -> None:
    """Copy the database, consistently, while the hub runs. Keys and attachments are files: copy them too."""
