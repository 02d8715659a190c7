"""``wasl-hub``: the network administrator's command line."""

import click

from runtime import cli
from runtime.version import VERSION

COMMANDS = {
    "init": ("hub.cli.commands", "init", "Make a hub's home: settings, keys, database."),
    "run": ("hub.cli.commands", "run", "Run the hub."),
    "check-config": (
        "hub.cli.commands",
        "check_config",
        "Check the settings and say everything that is wrong.",
    ),
    "invite": ("hub.cli.commands", "invite", "Let a facility in: print a one-time join code."),
    "facilities": ("hub.cli.commands", "facilities", "List facilities, mailboxes and who is connected."),
    "suspend": ("hub.cli.commands", "suspend", "Take a facility out of traffic."),
    "resume": ("hub.cli.commands", "resume", "Let a suspended facility back."),
    "revoke": ("hub.cli.commands", "revoke", "Revoke a facility's keys for good."),
    "group": ("hub.cli.commands", "group", "Make a named group of mailboxes, or replace its members."),
    "queue": ("hub.cli.commands", "queue", "Show what waits for which facility."),
    "track": ("hub.cli.commands", "track", "Show what became of one message."),
    "give-up": (
        "hub.cli.commands",
        "give_up",
        "Return a message that its recipient never takes.",
    ),
    "backup": ("hub.cli.commands", "backup", "Copy the database, consistently, while the hub runs."),
}


@click.group(cls=cli.LazyGroup, lazy=COMMANDS)
@click.version_option(VERSION, prog_name="wasl-hub")
def main() -> None:
    """Wasl hub: carries sealed messages between facilities, and cannot read them."""
