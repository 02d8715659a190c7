"""``init``, ``run``, ``check-config``."""

from __future__ import annotations

import sys
from pathlib import Path

from config.errors import SettingsError
from hub import home as hub_home
from runtime import cli
from runtime.cli import EXIT_USAGE, done, fail
from runtime.home import HomeError
from runtime.storage_errors import StorageError


def init(
    home: Path, name: str | None, listen: str | None, http: str | None, database: str | None, as_json: bool
) -> None:
    """Do ``wasl-hub init``."""
    values: dict[str, dict[str, object]] = {
        "hub": {"name": name, "listen": listen},
        "http": {"listen": http},
        "database": {"url": database},
    }
    try:
        hub_home.make_home(home, values)
        hub_home.publish(home, hub_home.load_keys(home), trust_serial=0)
        settings = hub_home.load_settings(home)
        engine = hub_home.open_database(home, settings)
        from runtime import migrations  # noqa: PLC0415 - brings Alembic

        migrations.upgrade(engine, "hub")
        engine.dispose()
    except SettingsError as error:
        fail(str(error), EXIT_USAGE)
    except (hub_home.HubHomeError, HomeError, StorageError) as error:
        fail(str(error))
    except OSError as error:
        fail(f"{error.filename or home}: {error.strerror or error}")
    text = (
        f"The hub's home is {home}. Next: wasl-hub invite FACILITY --home {home}; wasl-hub run --home {home}"
    )
    done({"home": str(home), "name": settings.hub.name}, text, as_json=as_json)


def run(home: Path) -> None:
    """Do ``wasl-hub run``."""
    from twisted.internet import reactor  # noqa: PLC0415 - installing it takes a third of a second

    from hub.daemon import run as run_hub  # noqa: PLC0415 - likewise

    sys.exit(run_hub(home, reactor))


def check_config(home: Path, as_json: bool) -> None:
    """Do ``wasl-hub check-config``."""
    refusals = (hub_home.HubHomeError, HomeError)
    cli.check_config(lambda: hub_home.load_settings(home), refusals, home, as_json=as_json)
