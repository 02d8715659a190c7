"""A hub put together from its parts; the daemon and the simulation both use this."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from prometheus_client import CollectorRegistry
from sqlalchemy import Engine

from config.hub import HubSettings
from hub import home as hub_home
from hub.core import HubCore
from hub.directory.view import DirectoryView
from hub.files.store import AttachmentStore
from hub.metrics import HubMetrics
from hub.routing.policy import Rules
from hub.sessions.registry import Sessions
from hub.spool import ageing
from hub.spool.store import SpoolSql
from runtime import transactions
from runtime.clock import Clock
from runtime.database import Database
from runtime.executors import Executor


def compose(
    *,
    home: Path,
    settings: HubSettings,
    keys: hub_home.HubKeys,
    engine: Engine,
    clock: Clock,
    writer: Executor,
    reader: Executor,
    file_worker: Executor,
    on_fatal: Callable[[BaseException], None],
    registry: CollectorRegistry,
) -> HubCore:
    """Return a hub whose tables are up to date and which nobody has called yet. Blocking."""
    transactions.transact(engine, lambda connection: ageing.all_left(connection, clock.now_ms()))
    view = transactions.read(engine, DirectoryView.load)
    database = Database(engine, writer=writer, reader=reader, on_fatal=on_fatal, registry=registry)
    files = AttachmentStore(
        home / hub_home.ATTACHMENTS,
        executor=file_worker,
        now_ms=clock.now_ms,
        on_fatal=on_fatal,
        floor_bytes=settings.disk.floor_bytes,
    )
    return HubCore(
        name=settings.hub.name,
        home=home,
        key=keys.link,
        issuer=hub_home.issuer(settings, keys),
        settings=settings,
        rules=Rules(settings.policy),
        clock=clock,
        database=database,
        sql=SpoolSql(engine),
        files=files,
        view=view,
        sessions=Sessions(),
        metrics=HubMetrics(registry),
    )
