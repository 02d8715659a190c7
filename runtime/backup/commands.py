"""The group ``backup`` of both command lines: what is asked, and where the work is done.

Only click is imported here, so that ``--help`` is quick.
"""

from __future__ import annotations

from pathlib import Path

import click

from runtime import cli

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_file = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
_private = click.option(
    "--key", "key_file", required=True, type=click.Path(path_type=Path, dir_okay=False),
    help="The file with the private recovery key.",
)  # fmt: skip
_made_by = click.option(
    "--made-by", metavar="FINGERPRINT", help="The link key's fingerprint that its home must have."
)


def backup_group(whose: str, module: str) -> click.Group:
    """Return the group for ``whose`` ("hub" or "node") home; ``module`` has create, restore and drill."""
    home = cli.home_option(whose)
    group = click.Group(
        "backup",
        help=f"Back up a {whose}'s home while it runs, sealed for a recovery key; check and restore.",
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @group.command("keygen")
    @click.option(
        "--out", required=True, type=click.Path(path_type=Path, dir_okay=False),
        help="Where the private key is written; it must not exist.",
    )  # fmt: skip
    @_json
    @cli.done_by("runtime.backup.words", "keygen")
    def keygen() -> None:
        """Draw a recovery key: the private half into a file, the public half on stdout.

        On a machine that is no server. Keep the file where no server can reach it, twice.
        """

    @group.command("create")
    @home
    @click.option("--key", required=True, help="The public recovery key, or a file that holds it.")
    @click.option(
        "--to", "into", type=click.Path(path_type=Path, dir_okay=False),
        help="The file to write; must not exist. Default: a new one in backups/ of the home.",
    )  # fmt: skip
    @_json
    @cli.done_by(module, "create")
    def create() -> None:
        """Make a backup, the daemon running or not, and read it back."""

    @group.command("verify")
    @_file
    @_private
    @_made_by
    @click.option(
        "--work", type=click.Path(path_type=Path, file_okay=False), default=".", show_default=True,
        help="Where the database is extracted to be checked; removed again.",
    )  # fmt: skip
    @_json
    @cli.done_by("runtime.backup.words", "verify")
    def verify() -> None:
        """Open a backup, check every hash, and the database's integrity and row counts."""

    @group.command("restore")
    @_file
    @_private
    @home
    @_made_by
    @click.option("--database", metavar="URL", help="An empty PostgreSQL database, if the backup holds one.")
    @_json
    @cli.done_by(module, "restore")
    def restore() -> None:
        """Make a new home of a backup. The home must not exist; the old one must not run any more."""

    @group.command("drill")
    @home
    @_json
    @cli.done_by(module, "drill")
    def drill() -> None:
        """Back up, verify, restore to a temporary place, start it there, ask if it is ready, remove it."""

    return group
