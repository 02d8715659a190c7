"""What ``wasl-node`` is asked: each command with its options and its help, and where its work is done.

Only click is imported here, so that ``--help`` is quick; the work is imported when it is called.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from runtime import cli

WAITS: Final = ("accepted", "delivered", "processed")
"""What ``send --wait`` can wait for; ``nodes.cli.outcome`` says what each means."""

_identifier = click.argument("identifier", metavar="ID")
_home = cli.home_option("node")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_mailbox = click.option("--mailbox", metavar="MAILBOX", help="Which one, if it came to several.")


@click.command()
@click.argument("code")
@_home
@click.option("--http", metavar="HOST:PORT", help="Health and metrics. Default: 127.0.0.1:7610.")
@click.option(
    "--timeout", type=cli.Duration(or_none=True), default="15m", show_default=True,
    help="How long to wait if an administrator has to approve the keys.",
)  # fmt: skip
@cli.done_by("nodes.cli.daemon", "join")
def join() -> None:
    """Join a network with the one-time CODE that its administrator gave you.

    Safe to repeat: a join that was cut off is finished by the same command.
    """


@click.command()
@_home
@cli.done_by("nodes.cli.daemon", "run")
def run() -> None:
    """Run the node in the foreground; SIGTERM stops it cleanly."""


@click.command("check-config")
@_home
@_json
@cli.done_by("nodes.cli.daemon", "check_config")
def check_config() -> None:
    """Check the settings and say everything that is wrong with them."""


@click.command()
@_home
@click.option(
    "--to", "recipients", multiple=True, required=True, metavar="MAILBOX@FACILITY", help="May repeat."
)
@click.option("--from", "sender", metavar="MAILBOX", help="Default: this facility's first mailbox.")
@click.option("--id", "key", help="Your own key: sent again with the same content, it is the same message.")
@click.option(
    "--subject", help="Sealed; the hub does not see it. Default: the patient's name in the message."
)
@click.option("--patient", help="Sealed; the hub does not see it. Default: PID-3 of the message.")
@click.option(
    "--priority", type=click.Choice(["stat", "routine"]), help="Default: what the message says, else routine."
)
@click.option(
    "--hl7", type=click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True),
    help="An HL7 message; - reads stdin.",
)  # fmt: skip
@click.option(
    "--file", "paths", multiple=True, type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="An attachment; may repeat.",
)  # fmt: skip
@click.option("--wait", type=click.Choice(WAITS), help="Wait until it is there.")
@click.option(
    "--timeout", type=cli.Duration(or_none=True), default="24h", show_default=True, help="How long to wait."
)
@click.option(
    "--valid-for", type=cli.Duration(),
    help="How long it may take before it comes back. Default: the settings'.",
)  # fmt: skip
@_json
@cli.done_by("nodes.cli.send", "send")
def send() -> None:
    """Send an HL7 message, files, or both.

    Prints the message's id. Without --wait the message is queued, safely, when this returns.
    """


@click.command()
@_identifier
@_home
@_json
@cli.done_by("nodes.cli.look", "track")
def track() -> None:
    """Show where message ID of ours is, with the time of each step."""


@click.command()
@_home
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000))
@_json
@cli.done_by("nodes.cli.look", "sent")
def sent() -> None:
    """List what was sent lately, newest first."""


@click.command()
@_home
@click.option("--mailbox", help="Only this one.")
@_json
@cli.done_by("nodes.cli.look", "list_inbox")
def inbox() -> None:
    """List what arrived, oldest first."""


@click.command()
@_identifier
@_home
@_mailbox
@_json
@cli.done_by("nodes.cli.look", "show")
def show() -> None:
    """Show one message, received or sent: what is known about it, and its text."""


@click.command()
@_identifier
@_home
@click.option("--into", required=True, type=click.Path(path_type=Path, file_okay=False), help="A directory.")
@_mailbox
@_json
@cli.done_by("nodes.cli.look", "fetch")
def fetch() -> None:
    """Write received message ID and its files into a directory; that counts as taken (processed)."""


@click.command()
@_home
@_json
@cli.done_by("nodes.cli.look", "directory")
def directory() -> None:
    """List facilities, mailboxes and groups, as far as this node knows them."""


@click.command()
@_home
@click.option(
    "--timeout", type=cli.Duration(or_none=True), default="2m", show_default=True, help="How long to wait."
)
@_json
@cli.done_by("nodes.cli.rotate", "rotate")
def rotate() -> None:
    """Replace this node's keys by new ones, while it runs; messages under way are not touched.

    The keys before are kept for what was sealed for them. After a theft this is not enough: have the facility
    revoked, and join anew.
    """


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@_home
@cli.done_by("nodes.cli.trust", "trust")
def trust() -> None:
    """Follow the new keys of hub and authority in FILE, which `wasl-hub rotate export` wrote.

    For a node that was away while its network's keys changed. Each change must be signed by the authority
    that this node trusts: a file from elsewhere changes nothing.
    """


@click.command()
@_home
@_json
@cli.done_by("nodes.cli.look", "status")
def status() -> None:
    """Say how this node is: what waits, whether the daemon runs, and the latest alarms."""


@click.command()
@_home
@click.option("--begin-anew", is_flag=True, help="Forget it: the next checkpoint is believed as it comes.")
@click.option(
    "--evidence", is_flag=True, help="What the hub's log went back behind, as the hub had signed it."
)
@_json
@cli.done_by("nodes.cli.witness", "show")
def witness() -> None:
    """Show the last checkpoint of the hub's audit log that this node countersigned.

    After the alarm audit-fork nothing is countersigned any more. If the hub's operator has shown why the log
    has another history, --begin-anew ends that, with the node's next session. A restored hub needs none of
    this: the node goes on from before the backup by itself, and keeps what was lost as --evidence.
    """
