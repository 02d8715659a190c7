"""Patroni with etcd looks after PostgreSQL, and its primary dies under load: nothing accepted is lost.

As ``test_failover``, but here nobody promotes the standby: Patroni finds out by itself, after twenty seconds
in which there is no server. The dead member comes back as the new synchronous standby.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.databases import patroni
from tests.databases.patroni import PatroniCluster
from tests.integration import balancer
from tests.integration.cluster import Cluster
from tests.integration.waiting import wait_until
from tests.torture.kills import Campaign

DATABASE = "wasl"
TAKEN_OVER_S = 120.0


@pytest.fixture
def servers() -> Iterator[PatroniCluster]:
    if why := patroni.missing() or balancer.missing():
        pytest.skip(why)
    made = PatroniCluster()
    try:
        made.start()
        made.execute(f"CREATE DATABASE {DATABASE} TEMPLATE template0")
        yield made
    finally:
        made.close()


class Takeover(Campaign):
    """Traffic while the primary's machine dies, and while it comes back."""

    def __init__(self, root: Path, cluster: Cluster, servers: PatroniCluster) -> None:
        super().__init__(root, root, 1, cluster)
        self._servers = servers

    def _kill(self) -> None:
        assert isinstance(self.network, Cluster)
        dead, other = self._servers.primary(), self._servers.standby()
        assert dead is not None
        dead.kill()
        self._kills["primary"] += 1
        wait_until("the standby has taken over", lambda: other.is_("primary"), TAKEN_OVER_S, 0.2)
        dead.start()
        wait_until("the dead one is synchronous", lambda: dead.is_("synchronous"), TAKEN_OVER_S, 0.2)
        assert all(hub.running for hub in self.network.hubs), "a lost server is no reason to end"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_patroni_takes_over_under_load(servers: PatroniCluster, tmp_path: Path) -> None:
    """0 lost, 0 doubled, order kept, states right; the hubs live through it."""
    cluster = Cluster(tmp_path, servers.url(DATABASE))
    try:
        outcome = Takeover(tmp_path, cluster, servers).run(kills=1)
        print(outcome)
        assert outcome.faults == []
        assert outcome.kills == {"primary": 1}
        assert outcome.messages > 50
    finally:
        cluster.close()
