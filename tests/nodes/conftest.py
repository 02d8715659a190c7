"""Fixtures that every room of the node's tests may ask for."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.databases.urls import POSTGRESQL, fresh_url
from tests.nodes.fixtures import Station, open_station
from tests.nodes.homes import Node


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """Return a joined node's home and its command line."""
    return Node(tmp_path / "home")


@pytest.fixture
def station(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Station]:
    """Yield a node ``chu-alger`` that knows ``chu-oran``, ``clinique-sud`` and the group ``garde``.

    Its tables are in SQLite, as every node's are; with ``--nodes-on-postgresql`` in PostgreSQL, to see that
    nothing but the URL keeps them from it.
    """
    if not request.config.getoption("nodes_on_postgresql"):
        with open_station(tmp_path) as opened:
            yield opened
        return
    databases = request.getfixturevalue("databases")
    with fresh_url(POSTGRESQL, tmp_path, databases) as url, open_station(tmp_path, url=url) as opened:
        yield opened
