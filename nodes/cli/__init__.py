"""``wasl-node``: a facility's command line. Every command works on the home itself, daemon or not."""

import click

from runtime import cli
from runtime.version import VERSION

COMMANDS = {
    "join": ("nodes.cli.daemon", "join", "Join a network with a one-time code."),
    "run": ("nodes.cli.daemon", "run", "Run the node."),
    "check-config": (
        "nodes.cli.daemon",
        "check_config",
        "Check the settings and say everything that is wrong.",
    ),
    "send": ("nodes.cli.send", "send", "Send an HL7 message, files, or both."),
    "track": ("nodes.cli.look", "track", "Show where a message of ours is."),
    "sent": ("nodes.cli.look", "sent", "List what was sent lately."),
    "inbox": ("nodes.cli.look", "inbox_command", "List what arrived."),
    "show": ("nodes.cli.look", "show", "Show one message, received or sent."),
    "fetch": ("nodes.cli.look", "fetch", "Write a received message and its files into a directory."),
    "directory": ("nodes.cli.look", "directory", "List facilities, mailboxes and groups."),
    "status": ("nodes.cli.look", "status", "Say how this node is: queue, link, alarms."),
}


@click.group(cls=cli.LazyGroup, lazy=COMMANDS)
@click.version_option(VERSION, prog_name="wasl-node")
def main() -> None:
    """Wasl node: a facility's end of the network."""


home_option = cli.home_option("node")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
