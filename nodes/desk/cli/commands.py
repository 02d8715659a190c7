"""What ``wasl-desk`` is asked: each command with its options and its help, and where its work is done.

Only click is imported here, so that ``--help`` is quick; the work is imported when it is called.
"""

from __future__ import annotations

import click

from runtime import cli

ROLES = "clinician, nurse, laboratory, pharmacy, secretary or administrator"
_home = cli.home_option("node")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command()
@_home
@click.option("--listen", metavar="HOST:PORT", help="Default: desk.listen, which is 127.0.0.1:7612.")
@cli.done_by("nodes.desk.cli.work", "run")
def run() -> None:
    """Run the desk in the foreground, beside the node's daemon or without it; SIGTERM stops it cleanly."""


@click.command()
@click.argument("name")
@_home
@click.option("--role", required=True, metavar="ROLE", help=f"{ROLES}.")
@click.option("--title", default="", metavar="TEXT", help='The name that colleagues see: "Dr Amina Benali".')
@click.option("--department", "departments", multiple=True, metavar="MAILBOX", help="May repeat.")
@cli.done_by("nodes.desk.cli.work", "adduser")
def adduser() -> None:
    """Add user NAME of the desk. The password is asked for, or read from stdin if that is no terminal."""


@click.command()
@_home
@_json
@cli.done_by("nodes.desk.cli.work", "users")
def users() -> None:
    """List the users of the desk, their roles and departments, and when they last signed in."""
