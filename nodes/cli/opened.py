"""Opening a node's home for one command, with errors for people."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from config.errors import SettingsError
from config.node import NodeSettings
from crypto.errors import CryptoError
from nodes import home as node_home
from nodes.link.errors import NodeError
from nodes.link.identity import Identity, load_identity
from protocols.errors import RemoteProtocolError
from runtime import migrations
from runtime.cli import EXIT_USAGE, fail, refuse
from runtime.home import HomeError, poke
from runtime.storage_errors import StorageError


@dataclass(frozen=True, slots=True)
class OpenedNode:
    """A node's home that a command works on."""

    home: Path
    settings: NodeSettings
    identity: Identity
    engine: Engine

    def poke(self) -> bool:
        """Tell a running daemon that something changed; returns whether there is one."""
        return poke(self.home / node_home.POKE)


@contextmanager
def opened_node(home: Path) -> Iterator[OpenedNode]:
    """Open ``home``; whatever is wrong becomes one clear text and the right exit code."""
    try:
        settings = node_home.load_settings(home)
        identity = load_identity(home)
        engine = node_home.open_database(home)
        migrations.upgrade(engine, "nodes")
        try:
            yield OpenedNode(home, settings, identity, engine)
        finally:
            engine.dispose()
    except SettingsError as error:
        fail(str(error), EXIT_USAGE)
    except NodeError as error:
        refuse(error.code, str(error))
    except RemoteProtocolError as error:
        refuse(error.wire_code, str(error))
    except (HomeError, StorageError) as error:
        fail(f"Error: {error}")
    except CryptoError as error:
        fail(f"a sealed file in {home} is damaged: {error}; restore it from a backup")
    except OSError as error:
        fail(f"{error.filename or home}: {error.strerror or error}")
