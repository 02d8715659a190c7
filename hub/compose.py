"""A hub put together from its parts; the daemon and the simulation both use this."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

from prometheus_client import CollectorRegistry
from sqlalchemy import Connection, Engine

from config.hub import HubSettings
from hub import home as hub_home
from hub.core import HubCore
from hub.directory.policies import policy_in_force
from hub.directory.view import DirectoryView
from hub.files.store import AttachmentStore
from hub.keys import HubKeys, in_force
from hub.metrics import HubMetrics
from hub.peers import store as peers
from hub.routing.policy import Rules
from hub.sessions.registry import Sessions
from hub.spool import epoch
from runtime import transactions
from runtime.clock import Clock
from runtime.database import Database
from runtime.executors import Executor


def compose(
    *,
    home: Path,
    settings: HubSettings,
    keys: HubKeys,
    engine: Engine,
    clock: Clock,
    writer: Executor,
    reader: Executor,
    file_worker: Executor,
    on_fatal: Callable[[BaseException], None],
    registry: CollectorRegistry,
) -> HubCore:
    """Return a hub whose tables are up to date and which nobody has called yet. Blocking."""
    shared = engine.dialect.name == "postgresql"
    name, now_ms = peer_name(home), clock.now_ms()
    number = transactions.transact(engine, lambda c: _enter(c, name, now_ms, shared=shared))
    view = transactions.read(engine, DirectoryView.load)
    holds = transactions.read(engine, lambda c: in_force(c, keys))
    policy = transactions.read(engine, lambda c: policy_in_force(c, settings.policy))
    database = Database(engine, writer=writer, reader=reader, on_fatal=on_fatal, registry=registry)
    files = AttachmentStore(
        hub_home.attachments(home, settings),
        executor=file_worker,
        now_ms=clock.now_ms,
        on_fatal=on_fatal,
        floor_bytes=settings.disk.floor_bytes,
        shared=shared,
    )
    return HubCore(
        name=settings.hub.name,
        home=home,
        holds=holds,
        key_file=lambda: keys,
        issuer=hub_home.issuer(settings, holds.keys, holds.serial),
        settings=settings,
        policy=policy,
        rules=Rules(policy),
        clock=clock,
        database=database,
        files=files,
        view=view,
        sessions=Sessions(),
        metrics=HubMetrics(registry),
        number=number,
        shared=shared,
        first=not shared,
        position=transactions.read(engine, peers.position),
        epoch=transactions.read(engine, epoch.read),
        audit_key=holds.keys.audit,
    )


def peer_name(home: Path) -> str:
    """Return what a process is called in ``hubs``."""
    return f"{socket.gethostname()}:{home}"


def _enter(connection: Connection, name: str, now_ms: int, *, shared: bool) -> int:
    if not shared:  # the home is locked: whoever was there before is dead
        peers.forget_all(connection, now_ms)
    return peers.join(connection, name, now_ms)
