"""A node put together: what its parts must not have to see to themselves."""

from __future__ import annotations

from random import Random

import pytest
from prometheus_client import CollectorRegistry

from nodes.compose import compose
from protocols.link import limits
from runtime.executors import ClockExecutor
from runtime.storage_errors import StorageFailed
from tests.nodes.fixtures import Station, fail_syncs


def test_a_failed_sync_of_a_file_ends_the_process(station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    fatal: list[BaseException] = []
    writer, reader, files = (ClockExecutor(station.time) for _ in range(3))
    core = compose(
        home=station.home, identity=station.identity, engine=station.engine, clock=station.clock,
        writer=writer, reader=reader, file_worker=files, on_fatal=fatal.append,
        registry=CollectorRegistry(), random=Random(1), floor_bytes=0,
    )  # fmt: skip
    large = bytes(limits.INLINE_BODY_BYTES + 1)
    with monkeypatch.context() as patch:
        fail_syncs(patch)
        with pytest.raises(StorageFailed, match="fdatasync"):
            station.run(core.post.prepare(large))
    assert [type(error) for error in fatal] == [StorageFailed]
    with pytest.raises(StorageFailed):  # though the disk says that all is well again
        station.run(core.post.prepare(large))
