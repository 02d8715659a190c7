"""Several hub processes on one PostgreSQL behind HAProxy, and nodes that know only the balancer."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.engine import make_url

from tests.integration.balancer import Balancer
from tests.integration.daemons import Daemon
from tests.integration.network import FLOOR, HUB_LIMITS, Network, Node
from tests.integration.ports import free_port
from tests.integration.template import FACILITIES, make_template

HUBS = ("hub-a", "hub-b")


class SharedHub(Daemon):
    """One of the hub processes; its rows are in PostgreSQL."""

    def __init__(self, home: Path, url: str) -> None:
        super().__init__("hub", home, "", free_port())
        self.link_port = free_port()
        self._url = url

    def configure(self, more: str = HUB_LIMITS) -> None:
        """Write hub.toml: attachments are beside the homes, in one directory for all."""
        (self.home / "hub.toml").write_text(
            f'[hub]\nlisten = "127.0.0.1:{self.link_port}"\n[http]\nlisten = "127.0.0.1:{self.http_port}"\n'
            f'[database]\nurl = "{self._url}"\n[files]\npath = "../attachments"\n'
            f'[disk]\nfloor = "{FLOOR}"\n{more}',
            encoding="utf-8",
        )

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Return the rows of a query, past all of the project's own code."""
        dialect = PGDialect_psycopg()  # type: ignore[no-untyped-call]  # untyped in SQLAlchemy
        _, asked = dialect.create_connect_args(make_url(self._url))  # type: ignore[no-untyped-call]  # likewise
        asked = {"target_session_attrs": "read-write", "connect_timeout": 5, **asked}
        with psycopg.connect(**asked) as connection:
            return connection.execute(sql.replace("?", "%s").encode(), values).fetchall()


class Cluster(Network):
    """A network whose hub is two processes; :attr:`hub` is the first of them."""

    def __init__(self, root: Path, url: str, facilities: tuple[str, ...] = FACILITIES) -> None:
        # The base's constructor copies a hub on SQLite.
        self.root = root
        template = make_template(root / "template", url)
        for name in facilities:
            shutil.copytree(template / name, root / name, copy_function=shutil.copy2)
        self.balancer = Balancer(root)
        self.hub_port = self.balancer.port
        self.hubs = []
        for name in HUBS:
            shutil.copytree(template / "hub", root / name, copy_function=shutil.copy2)
            hub = SharedHub(root / name, url)
            hub.configure()
            self.hubs.append(hub)
        self.hub = self.hubs[0]
        self.nodes = {name: Node(name, root / name, self.hub_port) for name in facilities}

    def daemons(self) -> list[Daemon]:
        """Return all, the hubs first."""
        return [*self.hubs, *self.nodes.values()]

    def start(self) -> None:
        """Start the hubs, the balancer and the nodes; returns when every node is connected."""
        for hub in self.hubs:
            hub.start(wait=False)
        for hub in self.hubs:
            hub.wait_ready()
        self.balancer.start({hub.home.name: (hub.link_port, hub.http_port) for hub in self.hubs})
        for node in self.nodes.values():
            node.start(wait=False)
        for node in self.nodes.values():
            node.wait_ready()
            node.wait_connected()

    def close(self) -> None:
        """End every process that is left."""
        super().close()
        self.balancer.close()

    def where(self) -> dict[str, int]:
        """Return the number of the process that has each facility's session, 0 for none."""
        return dict(self.hub.rows("SELECT facility, hub FROM presence"))

    def number(self, hub: SharedHub) -> int:
        """Return the number of a process, the newest of its home."""
        sql = "SELECT max(number) FROM hubs WHERE name LIKE ?"
        found: int = self.hub.rows(sql, f"%{hub.home}")[0][0]
        return found
