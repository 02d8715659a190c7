"""A desk for each test that asks for one, or for all of a file; and a clinician who writes there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nodes.desk.roles import Role
from tests.nodes.desk.desks import Browser, Ward, open_ward


@pytest.fixture
def ward(tmp_path: Path) -> Iterator[Ward]:
    """Yield the desk of ``chu-alger`` with a user of each role."""
    with open_ward(tmp_path) as opened:
        yield opened


@pytest.fixture
def writer(ward: Ward) -> Browser:
    """Return the clinician's browser."""
    return ward.browser(Role.CLINICIAN)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    """Yield a desk for all tests of a file that leave nothing but drafts and sent messages."""
    with open_ward(tmp_path_factory.mktemp("shared")) as opened:
        yield opened


@pytest.fixture(scope="module")
def other(shared: Ward) -> Browser:
    """Return the clinician's browser there."""
    return shared.browser(Role.CLINICIAN)
