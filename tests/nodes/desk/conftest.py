"""A desk for each test that asks for one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.nodes.desk.desks import Ward, open_ward


@pytest.fixture
def ward(tmp_path: Path) -> Iterator[Ward]:
    """Yield the desk of ``chu-alger`` with a user of each role."""
    with open_ward(tmp_path) as opened:
        yield opened
