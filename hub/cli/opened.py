"""Opening a hub's home for one command, with errors for people."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from config.errors import SettingsError
from config.hub import HubSettings
from hub import home as hub_home
from hub.directory.service import DirectoryError
from runtime import migrations
from runtime.cli import EXIT_USAGE, fail
from runtime.home import HomeError, poke
from runtime.storage_errors import StorageError


@dataclass(frozen=True, slots=True)
class OpenedHub:
    """A hub's home that a command works on."""

    home: Path
    settings: HubSettings
    engine: Engine

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
