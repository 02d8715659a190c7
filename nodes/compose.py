"""A node's stores and link put together; the daemon and the simulation both use this."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

from prometheus_client import CollectorRegistry
from sqlalchemy import Engine

from nodes.link.core import LinkCore
from nodes.link.identity import Identity
from nodes.link.metrics import LinkMetrics
from nodes.link.post import Post
from nodes.link.trust import Trust
from runtime.clock import Clock
from runtime.database import Database
from runtime.executors import Executor, FailStop


def compose(
    *,
    home: Path,
    identity: Identity,
    engine: Engine,
    clock: Clock,
    writer: Executor,
    reader: Executor,
    file_worker: Executor,
    on_fatal: Callable[[BaseException], None],
    registry: CollectorRegistry,
    random: Random,
    floor_bytes: int,
) -> LinkCore:
    """Return a node that has not called its hub yet; its tables are up to date.

    ``on_fatal`` is told when the disk failed, of the database or of the files, and has to end the process.
    """
    file_worker = FailStop(file_worker, on_fatal)
    database = Database(engine, writer=writer, reader=reader, on_fatal=on_fatal, registry=registry)
    metrics = LinkMetrics(registry)
    post = Post(
        home=home,
        identity=identity,
        database=database,
        clock=clock,
        sealer=file_worker,
        metrics=metrics,
        floor_bytes=floor_bytes,
    )
    return LinkCore(post, file_worker, metrics, random, Trust({}), floor_bytes)
