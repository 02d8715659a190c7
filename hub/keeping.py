"""A hub's home as backups see it, and what a hub does that was made of one again.

The database names attachments by the sealed messages in the spool: those must be in the backup, wherever
``files.path`` puts them. A restored hub has forgotten what came after the backup, and says so: it begins a
new epoch (:mod:`hub.spool.epoch`), by which its nodes submit again what it may have lost.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, delete

from config.hub import HubSettings
from hub import home as hub_home
from hub.admin import tokens
from hub.admin.tables import ACCOUNTS
from hub.audit.journal import Act, command_line, record
from hub.core import SOFTWARE
from hub.files.layout import storage_key
from hub.files.upload import SEALED
from hub.keys import in_force
from hub.spool import ageing, epoch
from protocols.link.envelope import decode_envelope, decode_message
from protocols.link.errors import RemoteError
from runtime import credentials, migrations
from runtime.backup.archive import BackupError, Manifest
from runtime.backup.source import Kept, read_rows, restore_postgresql
from runtime.database import open_engine
from runtime.transactions import read, transact

FILED: Final = "attachments"
"""Attachments lie below this in a backup."""
PAGE: Final = 200


@contextmanager
def kept_hub(home: Path) -> Iterator[tuple[Kept, HubSettings]]:
    """Open a hub's home for a backup; raises as :mod:`hub.home` does, StorageError."""
    settings = hub_home.load_settings(home)
    file = hub_home.load_keys(home)
    engine = hub_home.open_database(home, settings)
    migrations.upgrade(engine, "hub")
    keys = read(engine, lambda connection: in_force(connection, file)).keys
    files = hub_home.attachments(home, settings)
    files.mkdir(mode=0o700, exist_ok=True)
    inside = files.relative_to(home).parts[0] if files.is_relative_to(home) else hub_home.ATTACHMENTS
    try:
        yield (
            Kept(
                what="hub",
                name=settings.hub.name,
                home=home,
                link=keys.link,
                software=SOFTWARE,
                engine=engine,
                package="hub",
                named=named_files,
                place=lambda path: files / path.removeprefix(f"{FILED}/"),
                staging=files,
                secrets={hub_home.KEYS: credentials.find(home / hub_home.KEYS, hub_home.CREDENTIAL)},
                left_out=frozenset({inside, hub_home.ATTACHMENTS}),
            ),
            settings,
        )
    finally:
        engine.dispose()


def named_files(connection: Connection) -> set[str]:
    """Return the paths in a backup of all attachments that messages in the spool name."""
    found: set[str] = set()
    after: tuple[bytes, int] | None = b"", 0
    while after is not None:
        page = ageing.messages_with_files(connection, after, PAGE)
        for one in page:
            try:
                envelope = decode_envelope(decode_message(one.message).envelope)
            except RemoteError:
                continue  # nobody can deliver it: the sweeper says so
            for ref in envelope.attachments:
                name = storage_key(envelope.sender_facility, ref.id).hex()
                found.add(f"{FILED}/{name[:2]}/{name}{SEALED}")
        after = (page[-1].id, page[-1].seq) if len(page) == PAGE else None
    return found


def begin_again(
    home: Path, manifest: Manifest, *, from_ms: int, now_ms: int, database: str | None
) -> epoch.Epoch:
    """Make a restored hub's tables say that they went back in time; ``database`` replaces the settings' URL.

    Raises BackupError, StorageError, HubHomeError.
    """
    settings = hub_home.load_settings(home)
    hub_home.load_keys(home)
    if manifest.engine == "sqlite":
        if manifest.database != hub_home.DATABASE:
            (home / manifest.database).rename(home / hub_home.DATABASE)
        # Never the URL of the settings: the old hub's file could still be there.
        engine = open_engine(f"sqlite:///{(home / hub_home.DATABASE).absolute()}")
    else:
        engine = open_engine(database or hub_home.database_url(home, settings))
    try:
        if manifest.engine != engine.dialect.name:
            raise BackupError(
                f"the backup holds a database of {manifest.engine}, {engine.url.render_as_string()} is"
                f" {engine.dialect.name}: give the URL of an empty database by --database"
            )
        if engine.dialect.name == "postgresql":
            _fill(engine, home, manifest)
        migrations.upgrade(engine, "hub")
        return transact(engine, lambda connection: _note(connection, from_ms, now_ms))
    finally:
        engine.dispose()


def _note(connection: Connection, from_ms: int, now_ms: int) -> epoch.Epoch:
    begun = epoch.begin(connection, from_ms, now_ms)
    connection.execute(delete(ACCOUNTS.sessions))  # one that was ended since must not come back
    tokens.revoke_all(connection, now_ms)
    details = {"epoch": str(begun.at_ms), "backup": str(from_ms)}
    record(connection, Act(command_line(), "hub.restored", "hub", details), now_ms)
    return begun


def _fill(engine: Engine, home: Path, manifest: Manifest) -> None:
    dump = home / manifest.database
    restore_postgresql(engine, dump)
    _, rows = read_rows(engine)
    for table, count in manifest.rows.items():
        if rows.get(table) != count:
            raise BackupError(
                f"table {table} has {rows.get(table)} rows after the restore, {count} in the backup"
            )
    dump.unlink()


def place_files(home: Path) -> Path | None:
    """Move restored attachments to where ``files.path`` wants them; returns where, None if they lie right."""
    settings = hub_home.load_settings(home)
    wanted, found = hub_home.attachments(home, settings), home / FILED
    if wanted == found or not found.is_dir():
        return None
    for path in found.rglob(f"*{SEALED}"):
        target = wanted / path.relative_to(found)
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not target.exists():
            shutil.move(path, target)
    shutil.rmtree(found)
    return wanted
