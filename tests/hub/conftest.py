"""Fixtures for the hub's rooms."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection

from hub.metadata import metadata
from tests.databases.urls import NewUrl
from tests.hub.hubs import Rest, open_hub, open_store


@pytest.fixture
def hub_url(new_url: NewUrl) -> Iterator[str]:
    """Yield the URL of a fresh hub's database: on SQLite, then on PostgreSQL."""
    with new_url(metadata, "hub.db") as url:
        yield url


@pytest.fixture
def connection(tmp_path: Path, hub_url: str) -> Iterator[Connection]:
    """Yield one open transaction on a fresh hub's database."""
    with open_store(tmp_path, hub_url) as engine, engine.begin() as opened:
        yield opened


@pytest.fixture
def rest(tmp_path: Path, hub_url: str) -> Iterator[Rest]:
    """Yield a whole hub without its sockets."""
    with open_hub(tmp_path, url=hub_url) as opened:
        yield opened
