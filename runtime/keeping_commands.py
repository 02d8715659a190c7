"""What both command lines are asked about keeping besides ``backup``: ``doctor``, ``db``."""

from __future__ import annotations

import click

from runtime import cli

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def doctor_command(whose: str, module: str) -> click.Command:
    """Return ``doctor``; ``module`` has the work."""

    @click.command("doctor")
    @cli.home_option(whose)
    @_json
    @cli.done_by(module, "doctor")
    def doctor() -> None:
        """Say what is wrong and what to do about it, the daemon running or not. Changes nothing."""

    return doctor


def db_group(whose: str, module: str) -> click.Group:
    """Return the group ``db``; ``module`` has ``db_status`` and ``db_upgrade``."""
    home = cli.home_option(whose)
    group = click.Group(
        "db",
        help="The database's schema: where it is, and what an upgrade would do.",
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @group.command("status")
    @home
    @_json
    @cli.done_by(module, "db_status")
    def status() -> None:
        """Say which schema the database has, which this program wants, and what is still to come."""

    @group.command("upgrade")
    @home
    @click.option("--dry-run", is_flag=True, help="Try it on a copy, print steps and SQL, change nothing.")
    @_json
    @cli.done_by(module, "db_upgrade")
    def upgrade() -> None:
        """Bring the schema to what this program wants. A daemon does the same when it starts."""

    return group
