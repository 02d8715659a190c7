"""``wasl-node``: a facility's command line. Every command works on the home itself, daemon or not."""

import click

from runtime import cli
from runtime.version import VERSION

COMMANDS = {
    "join": ("nodes.cli.commands", "join", "Join a network with a one-time code."),
    "run": ("nodes.cli.commands", "run", "Run the node."),
    "check-config": (
        "nodes.cli.commands",
        "check_config",
        "Check the settings and say everything that is wrong.",
    ),
    "send": ("nodes.cli.commands", "send", "Send an HL7 message, files, or both."),
    "track": ("nodes.cli.commands", "track", "Show where a message of ours is."),
    "sent": ("nodes.cli.commands", "sent", "List what was sent lately."),
    "inbox": ("nodes.cli.commands", "inbox", "List what arrived."),
    "show": ("nodes.cli.commands", "show", "Show one message, received or sent."),
    "fetch": ("nodes.cli.commands", "fetch", "Write a received message and its files into a directory."),
    "directory": ("nodes.cli.commands", "directory", "List facilities, mailboxes and groups."),
    "rotate": ("nodes.cli.commands", "rotate", "Replace this node's keys by new ones."),
    "trust": ("nodes.cli.commands", "trust", "Follow new keys of the network by a file."),
    "status": ("nodes.cli.commands", "status", "Say how this node is: queue, link, alarms."),
    "witness": ("nodes.cli.commands", "witness", "Show what this node has seen of the hub's audit log."),
    "backup": (
        "nodes.cli.keeping_commands",
        "backup",
        "Back up the home while it runs; check; restore; drill.",
    ),
    "doctor": ("nodes.cli.keeping_commands", "doctor", "Say what is wrong and what to do."),
    "db": ("nodes.cli.keeping_commands", "db", "Show the schema, rehearse or do its upgrade."),
}


@click.group(cls=cli.LazyGroup, lazy=COMMANDS)
@click.version_option(VERSION, prog_name="wasl-node")
def main() -> None:
    """Wasl node: a facility's end of the network."""
