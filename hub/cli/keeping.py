"""``backup create``, ``restore`` and ``drill``, ``doctor`` and ``db`` of a hub."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine

from config.errors import SettingsError
from config.load import render
from hub import home as hub_home
from hub import keeping
from hub.doctor import examine
from runtime import schema_words
from runtime.backup import words
from runtime.backup.archive import Manifest
from runtime.backup.drill import LOOPBACK, free_port
from runtime.backup.drill import drill as run_drill
from runtime.backup.opening import opened_backup
from runtime.backup.opening import restore as restore_backup
from runtime.cli import EXIT_USAGE, facts, fail, say, table
from runtime.doctor import show


@contextmanager
def _told() -> Iterator[None]:
    try:
        with words.told():
            yield
    except SettingsError as error:
        fail(str(error), EXIT_USAGE)
    except hub_home.HubHomeError as error:
        fail(str(error))


def create(home: Path, key: str, into: Path | None, as_json: bool) -> None:
    """Do ``wasl-hub backup create``."""
    with _told(), keeping.kept_hub(home) as (kept, settings):
        words.create(kept, key, into, settings.disk.floor_bytes, as_json=as_json)


def restore(
    file: Path, key_file: Path, home: Path, made_by: str | None, database: str | None, as_json: bool
) -> None:
    """Do ``wasl-hub backup restore``."""
    key, home = words.private_key(key_file), home.absolute()
    now_ms = time.time_ns() // 1_000_000
    with _told(), opened_backup(file, key, made_by=made_by) as opened:
        from_ms = opened.beginning.made_ms

        def begin_again(directory: Path, manifest: Manifest) -> None:
            keeping.begin_again(directory, manifest, from_ms=from_ms, now_ms=now_ms, database=database)

        manifest = restore_backup(opened, "hub", home, begin_again)
        value = words.about(opened, manifest)
        moved = keeping.place_files(home)
        settings = hub_home.load_settings(home)
    facts(value | {"home": str(home)}, as_json=as_json, text=lambda: words.words(value))
    if moved is not None:
        say(f"Its attachments are in {moved} (files.path).")
    if settings.database.url is not None and (database or manifest.engine == "sqlite"):
        say(f"{home / hub_home.SETTINGS} names another database (database.url): set it right first.")
    say(
        f"{home} is the hub as it was at {value['made']}. Facilities that were invited, joined, suspended or"
        f" revoked since then must be so again. Next: wasl-hub doctor --home {home}"
    )


def drill(home: Path, as_json: bool) -> None:
    """Do ``wasl-hub backup drill``."""
    now_ms = time.time_ns() // 1_000_000
    with _told(), keeping.kept_hub(home) as (kept, settings):
        if kept.engine.dialect.name != "sqlite":
            fail(
                "a drill needs a database to throw away, and this hub's is PostgreSQL: restore a backup"
                " into an empty one by `backup restore --database URL` (docs/backup.md)"
            )
        steps = run_drill(
            kept,
            floor_bytes=settings.disk.floor_bytes,
            begin_again=lambda directory, manifest: _copy_begins(directory, manifest, now_ms),
            settings=_copy_settings,
            room="hub",
            asks="/readyz",
        )
    value = {"ok": True, "steps": [{"step": one.name, "seconds": round(one.seconds, 2)} for one in steps]}
    rows = [(one.name, f"{one.seconds:.2f}") for one in steps]
    facts(value, as_json=as_json, text=lambda: table(rows, ("step", "seconds")))


def _copy_begins(directory: Path, manifest: Manifest, now_ms: int) -> None:
    keeping.begin_again(directory, manifest, from_ms=now_ms, now_ms=now_ms, database=None)


def _copy_settings(home: Path, http_port: int) -> None:
    name = hub_home.load_settings(home).hub.name
    text = render(
        {
            "hub": {"name": name, "listen": f"{LOOPBACK}:{free_port()}"},
            "http": {"listen": f"{LOOPBACK}:{http_port}"},
            "disk": {"floor": "1MiB"},
        },
        title="Settings of a drill",
    )
    (home / hub_home.SETTINGS).write_text(text, encoding="utf-8")


def doctor(home: Path, as_json: bool) -> None:
    """Do ``wasl-hub doctor``."""
    sys.exit(show(examine(home), as_json=as_json))


def db_status(home: Path, as_json: bool) -> None:
    """Do ``wasl-hub db status``."""
    with _told(), _engine(home) as engine:
        schema_words.show_status(engine, "hub", as_json=as_json)


def db_upgrade(home: Path, dry_run: bool, as_json: bool) -> None:
    """Do ``wasl-hub db upgrade``."""
    with _told(), _engine(home) as engine:
        schema_words.upgrade(engine, "hub", dry_run=dry_run, as_json=as_json)


@contextmanager
def _engine(home: Path) -> Iterator[Engine]:
    engine = hub_home.open_database(home, hub_home.load_settings(home))
    try:
        yield engine
    finally:
        engine.dispose()
