"""``wasl-node trust``: new keys of the network, carried here by hand."""

from __future__ import annotations

from pathlib import Path

from crypto.errors import BadStatement
from nodes.cli.opened import opened_node
from nodes.link.errors import NodeError
from nodes.link.following import read_file
from nodes.link.identity import TRUST_NEXT
from protocols.link.trustfile import FILE_BYTES
from runtime.cli import say
from runtime.home import read_bounded, write_private


def trust(file: Path, home: Path) -> None:
    """Do ``wasl-node trust``."""
    with opened_node(home) as node:
        try:
            changes = read_file(file, node.identity)
            after = node.identity.following(changes)
        except BadStatement as fault:
            raise NodeError("trust-refused", f"{file}: {fault}") from None
        if after is node.identity:
            say("This node has followed all of these changes before.")
            return
        write_private(home / TRUST_NEXT, read_bounded(file, FILE_BYTES))
        link = (after.hub_key_next or after.hub_key).fingerprint()
        say(f"Believed: the hub's link key is {link}, the authority is {after.authority_key.fingerprint()}.")
        running = node.poke()
    say("The node calls the hub now." if running else "The node takes them into use when it starts.")
