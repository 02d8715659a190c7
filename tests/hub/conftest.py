"""Fixtures for the hub's rooms."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection

from tests.hub.hubs import Rest, open_hub, open_store


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    """Yield one open transaction on a fresh hub's database."""
    with open_store(tmp_path) as engine, engine.begin() as opened:
        yield opened


@pytest.fixture
def rest(tmp_path: Path) -> Iterator[Rest]:
    """Yield a whole hub without its sockets."""
    with open_hub(tmp_path) as opened:
        yield opened
