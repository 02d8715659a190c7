"""A node's home: settings, keys, identity, tables, files. Nobody else may read it.

node.toml      settings
keys, identity.json   who this node is (``nodes.link.identity``)
node.db        outbox, inbox, address book
outgoing/      sealed attachments on their way
incoming/      attachments that arrived
drafts/        files of messages that somebody at the desk still writes
run.lock, poke of the running daemon; api.token for local programs
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final

from sqlalchemy import Engine

from config.fields import HostPort
from config.load import parse_settings, render
from config.node import Messages, NodeSettings, load_node
from nodes.link.errors import NodeError
from runtime.database import open_engine
from runtime.home import HUB_MARKS, check_home, create_home, marks_in, write_new

SETTINGS: Final = "node.toml"
DATABASE: Final = "node.db"
IDENTITY: Final = "identity.json"
POKE: Final = "poke"


def prepare_home(home: Path, http: str | None) -> NodeSettings:
    """Make the home, or check the one that is there; return its settings, or those that it will get.

    Settings are written by :func:`write_settings` once the node has joined: a refused join leaves none, so
    the next one's ``--http`` counts. Raises SettingsError, HomeError, NodeError (a hub's home; other settings
    than ``http`` says are there already), OSError.
    """
    found = marks_in(home)
    hubs = [name for name in found if name in HUB_MARKS]
    if hubs:
        raise NodeError(
            "no-home",
            f"{home} is a hub's home (it holds {', '.join(hubs)}): a node needs a directory of its own; "
            "nothing was changed",
        )
    if SETTINGS not in found:
        settings = parse_settings(_first_settings(http), home / SETTINGS, NodeSettings)
        create_home(home)
        return settings
    check_home(home)
    settings = load_node(home / SETTINGS)
    if http is not None and http != str(settings.http.listen):
        raise NodeError(
            "no-home",
            f"{home / SETTINGS} is there already and says http.listen = {str(settings.http.listen)!r}: "
            "change it there, and leave out --http",
        )
    return settings


def write_settings(home: Path, http: str | None) -> None:
    """Write first settings if there are none; raises OSError."""
    with contextlib.suppress(FileExistsError):
        write_new(home / SETTINGS, _first_settings(http))


def _first_settings(http: str | None) -> bytes:
    return render({"http": {"listen": http}}, title="Settings of a Wasl node").encode("utf-8")


def load_settings(home: Path) -> NodeSettings:
    """Return the settings; raises SettingsError with every fault, HomeError, NodeError, OSError."""
    found = marks_in(home)
    if SETTINGS not in found:
        raise NodeError("no-home", _not_a_home(home, found))
    check_home(home)
    return load_node(home / SETTINGS)


def _not_a_home(home: Path, found: tuple[str, ...]) -> str:
    if IDENTITY in found or DATABASE in found:
        return (
            f"{home} holds {', '.join(found)}, but {SETTINGS} is missing: "
            "put it back (an empty file means the defaults)"
        )
    if set(found) & set(HUB_MARKS):
        return f"{home} is a hub's home (it holds {', '.join(found)}), not a node's"
    return f"{home} is no node's home yet: run `wasl-node join CODE --home {home}`"


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
