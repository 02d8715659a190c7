"""What ``wasl-hub audit`` is asked; only click is imported, see ``hub.cli.commands``."""

from __future__ import annotations

from pathlib import Path

import click

from runtime import cli

_home = cli.home_option("hub")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_from = click.option("--from", "since", metavar="TIME", help="2026-11-01 or 2026-11-01T08:00, UTC; included.")
_until = click.option("--until", metavar="TIME", help="Likewise; not included.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def audit() -> None:
    """See, check, prove and export who changed what, and what became of every message."""


@audit.command("list")
@_home
@_from
@_until
@click.option("--actor", metavar="ACTOR", help="Like cli:root, user:NAME, node:FACILITY, hub.")
@click.option("--action", metavar="ACTION", help="Like facility.revoked, or facility for all of them.")
@click.option("--subject", metavar="SUBJECT", help="A facility, a group, a message.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 100_000))
@_json
@cli.done_by("hub.cli.audit", "list_entries")
def list_() -> None:
    """List entries, the newest first."""


@audit.command()
@_home
@_json
@cli.done_by("hub.cli.audit", "verify")
def verify() -> None:
    """Check every entry, checkpoint, countersignature and batch; exit code 1 if anything is wrong."""


@audit.command()
@click.argument("identifier", metavar="ID")
@_home
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="The file to write. Default: stdout."
)
@click.option(
    "--pdf", type=click.Path(path_type=Path, dir_okay=False),
    help="Write a page to print too, in French and Arabic, with the receipt attached.",
)  # fmt: skip
@cli.done_by("hub.cli.audit", "prove")
def prove() -> None:
    """Make the receipt of a message (ID as `track` takes it) or of an entry (its number).

    It proves to anybody who has the hub's public audit key what the hub recorded, without the hub.
    """


@audit.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--key", required=True, metavar="HEX", help="The hub's public audit key (`audit key`).")
@click.option(
    "--authority", "authorities", multiple=True, metavar="HEX",
    help="The authority's public key: checks the witnesses too. May repeat, if it was replaced.",
)  # fmt: skip
@_json
@cli.done_by("hub.cli.audit", "check")
def check() -> None:
    """Check a receipt, offline; exit code 1 if it proves nothing. `-` reads stdin."""


@audit.command()
@_home
@click.option(
    "--format", "style", required=True, type=click.Choice(["atna", "fhir"]),
    help="atna: DICOM/IHE audit messages, XML. fhir: R4 AuditEvents, one a line.",
)  # fmt: skip
@_from
@_until
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="The file to write. Default: stdout."
)
@cli.done_by("hub.cli.audit", "export")
def export() -> None:
    """Write entries for another system's audit repository."""


@audit.command()
@_home
@_json
@cli.done_by("hub.cli.audit", "key")
def key() -> None:
    """Print the public keys by which receipts are checked; draw the audit key if the home has none yet."""
