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
    "describe": (
        "hub.cli.commands",
        "describe",
        "Say what a facility is, where, and what its mailboxes are for.",
    ),
    "approve": ("hub.cli.commands", "approve", "Let a node's keys count, as second administrator."),
    "reject": ("hub.cli.commands", "reject", "Turn a node's keys down."),
    "suspend": ("hub.cli.commands", "suspend", "Take a facility out of traffic."),
    "resume": ("hub.cli.commands", "resume", "Let a suspended facility back."),
    "revoke": ("hub.cli.commands", "revoke", "Revoke a facility's keys for good."),
    "readmit": ("hub.cli.commands", "readmit", "Let nodes in again that a restored hub has forgotten."),
    "group": ("hub.cli.commands", "group", "Make a named group of mailboxes, or replace its members."),
    "authority": (
        "hub.cli.authority_commands",
        "authority",
        "Keep the authority's key on another machine.",
    ),
    "rotate": (
        "hub.cli.rotation_commands",
        "rotate",
        "Replace the keys of hub, authority and audit log.",
    ),
    "policy": (
        "hub.cli.policy_commands",
        "policy",
        "Say who may send what to whom: show, try, apply, take back.",
    ),
    "queue": (
        "hub.cli.queue_commands",
        "queue",
        "Show what waits for which facility; pause a queue, let it go.",
    ),
    "track": ("hub.cli.commands", "track", "Show what became of one message."),
    "give-up": (
        "hub.cli.commands",
        "give_up",
        "Return a message that its recipient never takes.",
    ),
    "tell-again": ("hub.cli.commands", "tell_again", "Tell a restored node the news of its messages again."),
    "adduser": ("hub.cli.commands", "adduser", "Add a user of the console; asks for the password."),
    "users": ("hub.cli.commands", "users", "List the users of the console."),
    "token": ("hub.cli.token_commands", "token", "Make, list and revoke the tokens of programs."),
    "console": ("hub.cli.commands", "console", "Run the administrators' console."),
    "audit": (
        "hub.cli.audit_commands",
        "audit",
        "Who changed what, what became of messages: list, verify, prove, check, export.",
    ),
    "backup": (
        "hub.cli.keeping_commands",
        "backup",
        "Back up the home while it runs; check; restore; drill.",
    ),
    "doctor": ("hub.cli.keeping_commands", "doctor", "Say what is wrong and what to do."),
    "db": ("hub.cli.keeping_commands", "db", "Show the schema, rehearse or do its upgrade."),
    "sandbox": (
        "hub.cli.sandbox_commands",
        "sandbox",
        "Try an interface: a hub and two facilities, with faults on demand.",
    ),
}


@click.group(cls=cli.LazyGroup, lazy=COMMANDS)
@click.version_option(VERSION, prog_name="wasl-hub")
def main() -> None:
    """Wasl hub: carries sealed messages between facilities, and cannot read them."""
