"""``wasl-desk``: the medical teams' desk beside a node."""

import click

from runtime import cli
from runtime.version import VERSION

COMMANDS = {
    "run": ("nodes.desk.cli.commands", "run", "Run the desk."),
    "adduser": ("nodes.desk.cli.commands", "adduser", "Add a user of the desk; asks for the password."),
    "users": ("nodes.desk.cli.commands", "users", "List the users of the desk."),
}


@click.group(cls=cli.LazyGroup, lazy=COMMANDS)
@click.version_option(VERSION, prog_name="wasl-desk")
def main() -> None:
    """Wasl desk: medical teams send and receive patient files in a browser."""
