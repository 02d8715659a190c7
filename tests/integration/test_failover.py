"""The primary PostgreSQL dies under load, its synchronous standby takes over: nothing accepted is lost.

Two hub processes behind HAProxy, three nodes with MLLP traffic between all of them. The primary gets SIGKILL
with all of its processes. Nobody but this test promotes the standby, as Patroni would. Meanwhile the hubs say
busy, or end sessions for a while; no process ends, and all goes on by itself.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.databases import server
from tests.databases.server import Server
from tests.integration import balancer
from tests.integration.cluster import Cluster
from tests.integration.waiting import wait_until
from tests.torture.kills import Campaign

DATABASE = "wasl"
PROMOTED_AFTER_S = 3.0
"""Longer than it takes the hubs to notice, so that they have to come through a time without any server."""


@dataclass
class Pair:
    """A primary and its synchronous standby."""

    primary: Server
    standby: Server

    @property
    def url(self) -> str:
        """The URL that names both."""
        hosts = "&".join(f"host=127.0.0.1:{one.port}" for one in (self.primary, self.standby))
        return f"postgresql+psycopg://{server.USER}@/{DATABASE}?{hosts}"


@pytest.fixture
def pair() -> Iterator[Pair]:
    if why := server.missing() or balancer.missing():
        pytest.skip(why)
    made = Pair(Server(), Server())
    made.primary.make()
    made.primary.start()
    made.standby.copy_of(made.primary)
    made.standby.start()
    made.primary.configure("synchronous_standby_names = 'standby'\n")
    made.primary.reload()
    with made.primary.connect() as connection:
        asked = b"SELECT sync_state FROM pg_stat_replication WHERE application_name = 'standby'"
        wait_until("the standby is synchronous", lambda: connection.execute(asked).fetchall() == [("sync",)])
    made.primary.execute(f"CREATE DATABASE {DATABASE} TEMPLATE template0")
    yield made
    made.standby.close()
    made.primary.close()


class Failover(Campaign):
    """Traffic while the primary dies, then one of the hub processes."""

    def __init__(self, root: Path, cluster: Cluster, pair: Pair) -> None:
        super().__init__(root, root, 1, cluster)
        self._pair = pair

    def _kill(self) -> None:
        assert isinstance(self.network, Cluster)
        if self._pair.primary.running:
            self._pair.primary.kill()
            self._kills["primary"] += 1
            time.sleep(PROMOTED_AFTER_S)
            self._pair.standby.promote()
            return
        assert all(hub.running for hub in self.network.hubs), "a lost server is no reason to end"
        victim = self.network.hubs[self._kills.total() % 2]
        victim.kill()
        self._kills[victim.home.name] += 1
        victim.start()


@pytest.mark.slow
def test_the_primary_dies_under_load(pair: Pair, tmp_path: Path) -> None:
    """0 lost, 0 doubled, order kept, states right; the hubs live through it."""
    cluster = Cluster(tmp_path, pair.url)
    try:
        outcome = Failover(tmp_path, cluster, pair).run(kills=2)
        print(outcome)
        assert outcome.faults == []
        assert outcome.kills == {"primary": 1, "hub-b": 1}
        assert outcome.messages > 50
        with pair.standby.connect(DATABASE) as connection:
            assert connection.execute(b"SELECT pg_is_in_recovery()").fetchone() == (False,)
    finally:
        cluster.close()
