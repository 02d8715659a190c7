"""Fixtures that every room of the node's tests may ask for."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.nodes.fixtures import Station, open_station


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    """Yield a node ``chu-alger`` that knows ``chu-oran``, ``clinique-sud`` and the group ``garde``."""
    with open_station(tmp_path) as opened:
        yield opened
