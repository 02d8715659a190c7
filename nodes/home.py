"""A node's home: settings, keys, identity, tables, files. Nobody else may read it.

node.toml      settings
keys, identity.json   who this node is (``nodes.link.identity``)
node.db        outbox, inbox, address book
outgoing/      sealed attachments on their way
incoming/      attachments that arrived
run.lock, poke of the running daemon; api.token for local programs
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy import Engine

from config.fields import HostPort
from config.load import render
from config.node import Messages, NodeSettings, load_node
from nodes.link.errors import NodeError
from runtime.database import open_engine
from runtime.home import check_home, create_home, write_private

SETTINGS: Final = "node.toml"
DATABASE: Final = "node.db"
POKE: Final = "poke"
LOCK: Final = "run.lock"


def prepare_home(home: Path, http: str | None) -> None:
    """Make the home, or check the one that is there, and write first settings if there are none."""
    if home.exists():
        check_home(home)
    else:
        create_home(home)
    if not (home / SETTINGS).exists():
        text = render({"http": {"listen": http}}, title="Settings of a Wasl node")
        write_private(home / SETTINGS, text.encode("utf-8"))


def load_settings(home: Path) -> NodeSettings:
    """Return the settings; raises SettingsError with every fault, HomeError, NodeError."""
    if not (home / SETTINGS).exists():
        raise NodeError("no-home", f"{home} is no node's home yet: run `wasl-node join CODE --home {home}`")
    check_home(home)
    return load_node(home / SETTINGS)


def open_database(home: Path) -> Engine:
    """Return an engine on the node's tables; raises StorageError."""
    return open_engine(f"sqlite:///{(home / DATABASE).absolute()}")


def hub_address(settings: NodeSettings, joined: str) -> HostPort:
    """Return where the hub is: the settings' word, or what the join code said."""
    if settings.node.hub is not None:
        return settings.node.hub
    host, _, port = joined.rpartition(":")
    return HostPort(host.strip("[]"), int(port))


def valid_for_ms(messages: Messages, kind: str) -> int:
    """Return how long a message of ``kind`` may take, by the settings; the first pattern that fits counts."""
    from protocols.hl7 import catalogue  # noqa: PLC0415 - the command line asks only when it sends

    for pattern, seconds in messages.valid_for_kind_s.items():
        if catalogue.matches(pattern, kind):
            return int(seconds * 1000)
    return int(messages.valid_for_s * 1000)
