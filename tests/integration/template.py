"""Homes of a hub and of facilities that have joined it, made in this process within a second.

Joining for real takes several processes a facility; it has tests of its own. Here the same functions that
the hub and ``wasl-node join`` call are called directly, so the homes are what joining leaves behind.
"""

from __future__ import annotations

import time
from pathlib import Path

from sqlalchemy import Engine

from crypto import identity as statements
from hub import home as hub_home
from hub.directory import service, store
from hub.directory.view import DirectoryView
from nodes import home as node_home
from nodes.link import addressbook, identity, keyfiles
from runtime import migrations
from runtime.transactions import read, transact

FACILITIES = ("chu-alger", "chu-oran", "chu-setif")
MAILBOXES = ("labo", "cardio")


def make_template(root: Path, database_url: str | None = None) -> Path:
    """Make a hub's home and a joined home for each of ``FACILITIES``; returns ``root``.

    ``database_url`` names an empty database for the hub, instead of SQLite in its home.
    """
    home = root / "hub"
    hub_home.make_home(home, {} if database_url is None else {"database": {"url": database_url}})
    settings = hub_home.load_settings(home)
    issuer = hub_home.issuer(settings, hub_home.load_keys(home))
    engine = hub_home.open_database(home, settings)
    migrations.upgrade(engine, "hub")
    for facility in FACILITIES:
        _join(root / facility, facility, engine, issuer)
    engine.dispose()
    return root


def _join(home: Path, facility: str, hub: Engine, issuer: service.Issuer) -> None:
    node_home.prepare_home(home, None)
    node_home.write_settings(home, None)
    keys = keyfiles.NodeKeys.generate()
    keyfiles.save_keys(home, keys)
    now_ms = time.time_ns() // 1_000_000
    transact(hub, lambda connection: store.put_facility(connection, facility, None, MAILBOXES, now_ms))
    row = transact(
        hub,
        lambda connection: service.certify(
            connection,
            issuer,
            facility,
            keys.link.public,
            keys.signing.public,
            keys.sealing.public,
            now_ms,
        ),
    )
    entry = read(hub, DirectoryView.load).entry(facility)
    assert entry is not None
    authority = issuer.authority_key
    credential = statements.verify(row.statement, authority)
    assert isinstance(credential, statements.Credential)
    engine = node_home.open_database(home)
    migrations.upgrade(engine, "nodes")
    transact(engine, lambda connection: addressbook.merge(connection, entry, authority))
    engine.dispose()
    identity.save_identity(
        home,
        identity.Identity(
            facility, issuer.hub, issuer.hub_name, issuer.hub_key, authority, credential, row.statement, keys
        ),
    )
