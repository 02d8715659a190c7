"""The short form of the floods (``python -m tests.torture floods``: the long one): nobody else is held up.

The promise is a p99 under 250 ms for the others. On a machine that is busy with other tests as well, the same
messages take longer without any flood, so that the bound here is the promise or ``FACTOR`` times what was
measured without a flood just before, whichever is more. An accept loop that grows with the flood, as
Twisted's does, took 3 s.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.floods.floods import FLOODS, Floods
from tests.integration.template import make_template
from tests.torture.floods import BOUND_MS

SECONDS = 5.0
FACTOR = 6.0
LOG_BYTES = 65_536
"""A hub flooded by strangers writes no more than this into its log: a line for each would fill a disk."""

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def floods(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Floods]:
    template = make_template(tmp_path_factory.mktemp("template"))
    made = Floods(tmp_path_factory.mktemp("network"), template)
    made.start()
    yield made
    made.close()


@pytest.mark.parametrize("flood", sorted(FLOODS.keys() - {"nobody"}))
def test_a_flood_holds_nobody_else_up(floods: Floods, flood: str) -> None:
    """While somebody floods, the others' messages take no longer than promised, and none is lost."""
    calm = floods.measure("nobody", SECONDS / 2)
    before_bytes = len(floods.network.hub.said())
    flooded = floods.measure(flood, SECONDS)
    print(calm, flooded, sep="\n")
    assert flooded.p99_ms < max(BOUND_MS, FACTOR * calm.p99_ms)
    assert floods.judge().faults == []
    assert len(floods.network.hub.said()) - before_bytes < LOG_BYTES
