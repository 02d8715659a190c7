"""A node's home as backups see it, and what a node does that was made of one again.

The database names sealed attachments on their way out, and plain ones (and large bodies) that arrived: those
must be in the backup. Files of messages that somebody still writes are not: after a restore they have to be
attached again. The drop folder is not in it: what is there belongs to other programs, and what this
node had laid there is laid out again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, delete, select

from config.node import NodeSettings
from nodes import home as node_home
from nodes.desk.compose.bounds import DRAFTS_DIRECTORY as DRAFTS
from nodes.desk.tables import ACCOUNTS
from nodes.link import facts
from nodes.link import inbox as arrived
from nodes.link.core import INCOMING, SOFTWARE
from nodes.link.files import OUTGOING
from nodes.link.identity import load_identity
from nodes.link.keyfiles import CREDENTIAL, KEYS
from nodes.link.tables import inbox, inbox_files, outbox_files
from runtime import credentials, migrations
from runtime.backup.archive import Manifest
from runtime.backup.source import Kept
from runtime.database import open_engine
from runtime.transactions import transact


@contextmanager
def kept_node(home: Path) -> Iterator[tuple[Kept, NodeSettings]]:
    """Open a node's home for a backup; raises as :mod:`nodes.home` does, NodeError, StorageError."""
    settings = node_home.load_settings(home)
    identity = load_identity(home)
    engine = node_home.open_database(home)
    migrations.upgrade(engine, "nodes")
    left_out = {OUTGOING, INCOMING, DRAFTS}
    if settings.folder is not None:
        folder = home / settings.folder.path
        if folder.is_relative_to(home):
            left_out.add(folder.relative_to(home).parts[0])
    try:
        yield (
            Kept(
                what="node",
                name=identity.facility,
                home=home,
                link=identity.keys.link,
                software=SOFTWARE,
                engine=engine,
                package="nodes",
                named=named_files,
                place=lambda path: home / path,
                staging=home,
                secrets={KEYS: credentials.find(home / KEYS, CREDENTIAL)},
                left_out=frozenset(left_out),
            ),
            settings,
        )
    finally:
        engine.dispose()


def named_files(connection: Connection) -> set[str]:
    """Return the paths (relative to the home) of all files that a message owns."""
    bodies = select(inbox.c.body_path).where(inbox.c.body_path.is_not(None))
    found: set[str] = set(connection.execute(bodies).scalars())
    for column in (outbox_files.c.path, inbox_files.c.path):
        found.update(connection.execute(select(column)).scalars())
    return found


def begin_again(home: Path, manifest: Manifest) -> None:
    """Make a restored node's tables say that they went back in time; raises StorageError, NodeError."""
    del manifest
    node_home.load_settings(home)
    load_identity(home)
    engine = open_engine(f"sqlite:///{(home / node_home.DATABASE).absolute()}")
    try:
        migrations.upgrade(engine, "nodes")
        transact(engine, _note)
    finally:
        engine.dispose()


def _note(connection: Connection) -> None:
    # What is queued here may have been accepted since: the hub alone says now what becomes of it.
    facts.put(connection, facts.CONNECTED, 1)
    facts.session_ended(connection)
    arrived.take_back(connection)
    # A session that was ended since must not come back.
    connection.execute(delete(ACCOUNTS.sessions))
