"""``backup create``, ``restore`` and ``drill``, ``doctor`` and ``db`` of a node."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine

from config.errors import SettingsError
from config.load import render
from nodes import home as node_home
from nodes import keeping
from nodes.doctor import examine
from nodes.link.errors import NodeError
from runtime import schema_words
from runtime.backup import words
from runtime.backup.drill import LOOPBACK, free_port
from runtime.backup.drill import drill as run_drill
from runtime.backup.opening import opened_backup
from runtime.backup.opening import restore as restore_backup
from runtime.cli import EXIT_USAGE, facts, fail, refuse, say, table
from runtime.doctor import show


@contextmanager
def _told() -> Iterator[None]:
    try:
        with words.told():
            yield
    except SettingsError as error:
        fail(str(error), EXIT_USAGE)
    except NodeError as error:
        refuse(error.code, str(error))


def create(home: Path, key: str, into: Path | None, as_json: bool) -> None:
    """Do ``wasl-node backup create``."""
    with _told(), keeping.kept_node(home) as (kept, settings):
        words.create(kept, key, into, settings.disk.floor_bytes, as_json=as_json)


def restore(
    file: Path, key_file: Path, home: Path, made_by: str | None, database: str | None, as_json: bool
) -> None:
    """Do ``wasl-node backup restore``."""
    if database is not None:
        fail("a node's tables are SQLite, in its home: leave out --database", EXIT_USAGE)
    key, home = words.private_key(key_file), home.absolute()
    with _told(), opened_backup(file, key, made_by=made_by) as opened:
        manifest = restore_backup(opened, "node", home, keeping.begin_again)
        value = words.about(opened, manifest)
    facts(value | {"home": str(home)}, as_json=as_json, text=lambda: words.words(value))
    say(
        f"{home} is the node as it was at {value['made']}. What came and went since then is not in it: see"
        f" docs/backup.md before the start. Next: wasl-node doctor --home {home}; wasl-node run --home {home}"
    )


def drill(home: Path, as_json: bool) -> None:
    """Do ``wasl-node backup drill``."""
    with _told(), keeping.kept_node(home) as (kept, settings):
        steps = run_drill(
            kept,
            floor_bytes=settings.disk.floor_bytes,
            begin_again=keeping.begin_again,
            settings=_copy_settings,
            room="nodes",
            asks="/healthz",
        )
    value = {"ok": True, "steps": [{"step": one.name, "seconds": round(one.seconds, 2)} for one in steps]}
    rows = [(one.name, f"{one.seconds:.2f}") for one in steps]
    facts(value, as_json=as_json, text=lambda: table(rows, ("step", "seconds")))


def _copy_settings(home: Path, http_port: int) -> None:
    """Write settings with which the copy reaches no hub: the real one would take it for this node."""
    text = render(
        {
            "node": {"hub": f"{LOOPBACK}:{free_port()}"},
            "http": {"listen": f"{LOOPBACK}:{http_port}"},
            "disk": {"floor": "1MiB"},
        },
        title="Settings of a drill",
    )
    (home / node_home.SETTINGS).write_text(text, encoding="utf-8")


def doctor(home: Path, as_json: bool) -> None:
    """Do ``wasl-node doctor``."""
    sys.exit(show(examine(home), as_json=as_json))


def db_status(home: Path, as_json: bool) -> None:
    """Do ``wasl-node db status``."""
    with _told(), _engine(home) as engine:
        schema_words.show_status(engine, "nodes", as_json=as_json)


def db_upgrade(home: Path, dry_run: bool, as_json: bool) -> None:
    """Do ``wasl-node db upgrade``."""
    with _told(), _engine(home) as engine:
        schema_words.upgrade(engine, "nodes", dry_run=dry_run, as_json=as_json)


@contextmanager
def _engine(home: Path) -> Iterator[Engine]:
    node_home.load_settings(home)
    engine = node_home.open_database(home)
    try:
        yield engine
    finally:
        engine.dispose()
