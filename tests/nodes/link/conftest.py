"""Fixtures of the link's tests."""

from collections.abc import Iterator

import pytest

from tests.nodes.fixtures import Station
from tests.nodes.link.hub_end import HubEnd


@pytest.fixture
def hub(station: Station) -> Iterator[HubEnd]:
    """Yield the hub's end of a node's link, connected."""
    end = HubEnd(station).start()
    yield end
    end.uplink.stop()
    end.lose()
