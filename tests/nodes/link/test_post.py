"""The counter: what is put keeps its files, whatever becomes of the one who waits for the answer."""

from __future__ import annotations

import io
from dataclasses import replace
from functools import partial

import pytest
from twisted.internet.defer import CancelledError, Deferred

from nodes.link import files, outbox, tracking
from nodes.link.errors import Refused
from protocols.link import limits
from tests.nodes.fixtures import HERE, Station

PLAIN = b"scan"


def draft(station: Station, kind: str = "ORU^R01") -> outbox.Draft:
    source = files.Source("scan.bin", "application/octet-stream", io.BytesIO(PLAIN), len(PLAIN))
    prepared = station.run(station.post.prepare(b"MSH|", [source]))
    return outbox.Draft(f"labo@{HERE}", ("labo@chu-oran",), kind, prepared)


def test_a_put_that_nobody_waits_for_any_more_keeps_its_files(station: Station) -> None:
    """The commit goes on without the one who asked; its message must not lose what belongs to it."""
    mine = draft(station)
    results: list[object] = []
    running = Deferred.fromCoroutine(station.post.put(mine))
    running.addBoth(results.append)
    running.cancel()
    station.advance(1)
    assert getattr(results[0], "type", None) is CancelledError
    assert len(station.sent()) == 1
    assert all((station.home / file.path).exists() for file in mine.prepared.files)


def test_a_put_whose_coroutine_is_closed_keeps_its_files(station: Station) -> None:
    """Python closes what is still waiting when a process ends."""
    mine = draft(station)
    putting = station.post.put(mine)
    putting.send(None)
    putting.close()
    station.advance(1)
    assert len(station.sent()) == 1
    assert all((station.home / file.path).exists() for file in mine.prepared.files)


def test_a_put_that_is_refused_leaves_no_files(station: Station) -> None:
    mine = draft(station, kind="X" * (limits.KIND_CHARS + 1))
    with pytest.raises(Refused):
        station.run(station.post.put(mine))
    assert station.sent() == []
    assert not any((station.home / file.path).exists() for file in mine.prepared.files)


def test_a_repeated_put_leaves_the_files_of_the_first(station: Station) -> None:
    first, again = (replace(draft(station), key="k") for _ in range(2))
    done, repeat = station.run(station.post.put(first)), station.run(station.post.put(again))
    assert (done.id, repeat.fresh) == (repeat.id, False)
    assert all((station.home / file.path).exists() for file in first.prepared.files)
    assert not any((station.home / file.path).exists() for file in again.prepared.files)
    assert station.do(partial(tracking.open_content, identifier=done.id, home=station.home))[1] == b"MSH|"
