"""What ``wasl-hub`` is asked: each command with its options and its help, and where its work is done.

Only click is imported here, so that ``--help`` is quick; the work is imported when it is called.
"""

from __future__ import annotations

from typing import Any, Final

import click

from runtime import cli

KINDS: Final = (
    "chu", "ehu", "ehs", "eph", "epsp", "polyclinic", "treatment-room", "ministry", "pharmacy",
)  # fmt: skip
"""``protocols.link.places.FacilityKind``, which a test holds this to."""

_home = cli.home_option("hub")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_facility = click.argument("facility")
_identifier = click.argument("identifier", metavar="ID")
_fingerprint = click.option(
    "--fingerprint", metavar="WORDS", help="What the facility reads out; asked for on a terminal."
)


def _about(command: Any) -> Any:
    """Add the options that say what a facility is."""
    for option in (
        click.option(
            "--mailbox",
            "mailboxes",
            multiple=True,
            metavar="NAME[:SPECIALTY[:TITLE]]",
            help="An address inside it; may repeat.",
        ),
        click.option("--wilaya", metavar="NUMBER", type=int, help="Where it is: 1 to 58."),
        click.option("--kind", type=click.Choice(KINDS), help="What it is."),
        click.option("--title", help="What people call it."),
    ):
        command = option(command)
    return command


@click.command()
@_home
@click.option("--name", help="The hub's name; nodes check it. Default: hub.")
@click.option("--listen", metavar="HOST:PORT", help="Where nodes connect. Default: 127.0.0.1:7600.")
@click.option("--http", metavar="HOST:PORT", help="Health and metrics. Default: 127.0.0.1:7601.")
@click.option("--database", metavar="URL", help="Default: SQLite in the home.")
@_json
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
@_about
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
@_facility
@_home
@_about
@_json
@cli.done_by("hub.cli.facilities", "describe")
def describe() -> None:
    """Say what FACILITY is called, what it is and where, and what its mailboxes are for."""


@click.command()
@_facility
@_home
@_fingerprint
@_json
@cli.done_by("hub.cli.facilities", "approve")
def approve() -> None:
    """Let the keys count that FACILITY's node brought, after comparing their fingerprint with the facility.

    Not for who made the invitation: admission = "two-person" wants two.
    """


@click.command()
@_facility
@_home
@_fingerprint
@click.option("--reason", required=True, help="Kept in the journal.")
@_json
@cli.done_by("hub.cli.facilities", "reject")
def reject() -> None:
    """Turn down the keys that wait for FACILITY; the code that brought them works no more."""


@click.command()
@_home
@_json
@cli.done_by("hub.cli.facilities", "facilities")
def facilities() -> None:
    """List facilities, their mailboxes, and who is connected."""


@click.command()
@_facility
@_home
@click.option("--reason", default="", help="Kept in the journal.")
@_json
@cli.done_by("hub.cli.facilities", "suspend")
def suspend() -> None:
    """Take FACILITY out of traffic; its session ends at once, what waits for it stays."""


@click.command()
@_facility
@_home
@_json
@cli.done_by("hub.cli.facilities", "resume")
def resume() -> None:
    """Let a suspended FACILITY back."""


@click.command()
@_facility
@_home
@click.option("--reason", required=True, help="Kept, and told to every node.")
@_json
@cli.done_by("hub.cli.facilities", "revoke")
def revoke() -> None:
    """Revoke FACILITY's keys for good; a new invitation makes it a member again."""


@click.command()
@click.argument("facility", required=False)
@_home
@click.option("--mailbox", "mailboxes", multiple=True, metavar="NAME", help="If the backup did not know it.")
@_json
@cli.done_by("hub.cli.readmission", "readmit")
def readmit() -> None:
    """After a restore: list nodes that the backup does not know, or let FACILITY's in again.

    Their credentials are signed by the authority; whether one was revoked since the backup, only people know.
    """


@click.command()
@click.argument("name")
@click.argument("members", nargs=-1, required=True)
@_home
@click.option("--title", default="", help="What people call it.")
@_json
@cli.done_by("hub.cli.facilities", "group")
def group() -> None:
    """Make group NAME of MEMBERS (mailbox@facility …); it is addressed as NAME@group."""


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
@_json
@cli.done_by("hub.cli.traffic", "give_up")
def give_up() -> None:
    """Return message ID to its sender (given-up), though its recipient may have it already.

    For a recipient that never comes back. One that is connected settles the message itself: suspend its
    facility first if it does not. One that left less than 15 minutes ago may have taken it: wait, or suspend
    its facility.
    """


@click.command("tell-again")
@_facility
@_home
@click.option(
    "--since", type=cli.Duration(), default="7d", show_default=True,
    help="How long ago the backup was made, and some more.",
)  # fmt: skip
@_json
@cli.done_by("hub.cli.traffic", "tell_again")
def tell_again() -> None:
    """Tell FACILITY's node, restored from a backup, the news of its messages again; before it is started.

    Prints what was delivered to it since then and not processed: its senders have to send that again.
    """


@click.command()
@click.argument("name")
@_home
@click.option("--role", required=True, metavar="ROLE", help="viewer, operator, administrator or auditor.")
@_json
@cli.done_by("hub.cli.console", "adduser")
def adduser() -> None:
    """Add user NAME of the console. The password is asked for, or read from stdin if that is no terminal."""


@click.command()
@_home
@_json
@cli.done_by("hub.cli.console", "users")
def users() -> None:
    """List the users of the console, their roles, and when they last signed in."""


@click.command()
@_home
@click.option("--listen", metavar="HOST:PORT", help="Default: console.listen, which is 127.0.0.1:7602.")
@cli.done_by("hub.cli.console", "console")
def console() -> None:
    """Run the administrators' console in the foreground, beside the hub or without it."""
