"""A real desk's process on a facility that has had a day (:mod:`tests.browser.day`), and its users."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import Connection

from nodes import home as node_home
from nodes.desk import departments, people
from nodes.desk.people import NewUser
from nodes.desk.roles import Role
from nodes.link.identity import save_identity
from nodes.link.keyfiles import save_keys
from runtime import migrations
from runtime.home import create_home
from runtime.transactions import transact
from tests.browser.day import Day, name_facilities, spend
from tests.browser.served import serving
from tests.integration.ports import free_port
from tests.nodes.desk.desks import BELONGS, hashed
from tests.nodes.fixtures import HERE, Network, fill_directory, open_station

NAMES: Final = {
    Role.CLINICIAN: "Dr Amina Haddad",
    Role.NURSE: "Samira Belkacem",
    Role.LABORATORY: "د. نادية حكيمي",
    Role.PHARMACY: "Yacine Testaoui",
    Role.SECRETARY: "Lynda Demouche",
    Role.ADMINISTRATOR: "Karim Exempli",
}


@dataclass(frozen=True, slots=True)
class Served:
    """Where a desk is, and what a test asks it about."""

    address: str
    day: Day


@contextmanager
def served_desk(directory: Path) -> Iterator[Served]:
    """Yield a desk that runs on the home ``directory/chu-alger``."""
    home, at = directory / HERE, free_port()
    create_home(home)
    (home / node_home.SETTINGS).write_text(f'[desk]\nlisten = "127.0.0.1:{at}"\n', encoding="utf-8")
    network = Network()
    identity = network.identity(HERE)
    save_keys(home, identity.keys)
    save_identity(home, identity)
    engine = node_home.open_database(home)
    migrations.upgrade(engine, "nodes")
    transact(engine, lambda c: fill_directory(c, network))
    transact(engine, lambda c: name_facilities(c, network))
    engine.dispose()
    with open_station(directory, network=network) as station:
        station.do(_add_users)
        day = spend(station)
    with serving(["nodes.desk", "run"], home, at) as address:
        yield Served(address, day)


def _add_users(connection: Connection) -> None:
    now_ms = time.time_ns() // 1_000_000
    for role, title in NAMES.items():
        people.add(
            connection, NewUser(str(role), title, str(role), hashed(role)), actor="cli:test", now_ms=now_ms
        )
        known = ("cardio", "labo", "urgences")
        departments.set_membership(
            connection, str(role), BELONGS[role], known, actor="cli:test", now_ms=now_ms
        )
