"""``wasl-hub``: the network administrator's command line."""

import click

from runtime import cli
from runtime.version import VERSION

COMMANDS = {
    "init": ("hub.cli.daemon", "init", "Make a hub's home: settings, keys, database."),
    "run": ("hub.cli.daemon", "run", "Run the hub."),
    "check-config": (
        "hub.cli.daemon",
        "check_config",
        "Check the settings and say everything that is wrong.",
    ),
    "invite": ("hub.cli.facilities", "invite", "Let a facility in: print a one-time join code."),
    "facilities": ("hub.cli.facilities", "facilities", "List facilities, mailboxes and who is connected."),
    "suspend": ("hub.cli.facilities", "suspend", "Take a facility out of traffic."),
    "resume": ("hub.cli.facilities", "resume", "Let a suspended facility back."),
    "revoke": ("hub.cli.facilities", "revoke", "Revoke a facility's keys for good."),
    "group": ("hub.cli.facilities", "group", "Make a named group of mailboxes, or replace its members."),
    "queue": ("hub.cli.traffic", "queue", "Show what waits for which facility."),
    "track": ("hub.cli.traffic", "track", "Show what became of one message."),
    "give-up": (
        "hub.cli.traffic",
        "give_up",
        "Return a message that its recipient never takes.",
    ),
    "backup": ("hub.cli.traffic", "backup", "Copy the database, consistently, while the hub runs."),
}


@click.group(cls=cli.LazyGroup, lazy=COMMANDS)
@click.version_option(VERSION, prog_name="wasl-hub")
def main() -> None:
    """Wasl hub: carries sealed messages between facilities, and cannot read them."""


home_option = cli.home_option("hub")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
