"""Opening a hub's home for one command, with errors for people."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from config.errors import SettingsError
from config.hub import HubSettings
from hub import home as hub_home
from hub.audit.journal import command_line
from hub.directory.service import DirectoryError, Issuer
from hub.keys import InForce, in_force
from runtime import migrations
from runtime.cli import EXIT_USAGE, fail
from runtime.home import HomeError, poke
from runtime.storage_errors import StorageError
from runtime.transactions import read


def cli_actor() -> str:
    """Return who works on the command line, for the journal: the Unix user, the one before sudo if any."""
    user = os.environ.get("SUDO_USER")
    return f"cli:{user}" if user else command_line()


@dataclass(frozen=True, slots=True)
class OpenedHub:
    """A hub's home that a command works on."""

    home: Path
    settings: HubSettings
    engine: Engine

    @property
    def issuer(self) -> Issuer:
        """What signs credentials and invitations here; raises HubHomeError if the keys cannot be read."""
        holds = self.holds
        return hub_home.issuer(self.settings, holds.keys, holds.serial)

    @property
    def holds(self) -> InForce:
        """Which of the keys in the key file hold now; raises HubHomeError if they cannot be read."""
        file = hub_home.load_keys(self.home)
        return read(self.engine, lambda connection: in_force(connection, file))

    def poke(self) -> None:
        """Tell a running daemon that something changed."""
        poke(self.home / hub_home.POKE)


@contextmanager
def opened_hub(home: Path) -> Iterator[OpenedHub]:
    """Open ``home``; whatever is wrong becomes one clear text and the right exit code."""
    try:
        settings = hub_home.load_settings(home)
        engine = hub_home.open_database(home, settings)
        migrations.upgrade(engine, "hub")
        try:
            yield OpenedHub(home, settings, engine)
        finally:
            engine.dispose()
    except SettingsError as error:
        fail(str(error), EXIT_USAGE)
    except (hub_home.HubHomeError, HomeError, StorageError, DirectoryError) as error:
        fail(str(error))
    except OSError as error:
        fail(f"{error.filename or home}: {error.strerror or error}")
