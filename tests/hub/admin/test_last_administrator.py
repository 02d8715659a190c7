"""Two administrators who switch each other off at the same moment: one of them stays, on either database."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier

import pytest
from sqlalchemy import Connection

from hub.admin import users
from hub.admin.errors import AdminRefused
from hub.admin.roles import Role
from hub.admin.tables import ACCOUNTS
from hub.metadata import metadata
from runtime.transactions import open_engine, read, transact
from tests.databases.urls import NewUrl

NOW_MS = 1_790_000_000_000
ROUNDS = 10


def switch_off(connection: Connection, name: str, by: str) -> None:
    users.switch(connection, name, active=False, actor=f"user:{by}", now_ms=NOW_MS)


def demote(connection: Connection, name: str, by: str) -> None:
    users.change_role(connection, name, Role.VIEWER, actor=f"user:{by}", now_ms=NOW_MS)


@pytest.mark.parametrize("act", [switch_off, demote])
def test_one_administrator_stays(new_url: NewUrl, act: Callable[[Connection, str, str], None]) -> None:
    with new_url(metadata) as url:
        engine = open_engine(url)
        transact(engine, metadata.create_all)
        for number in range(ROUNDS):
            pair = f"amina{number}", f"karim{number}"
            for name in pair:
                transact(engine, partial(_add, name=name))
            together = Barrier(2)

            def go(name: str, by: str, together: Barrier = together) -> str:
                together.wait(30)
                try:
                    transact(engine, lambda c: act(c, name, by))
                except AdminRefused as error:
                    return error.code
                return "done"

            with ThreadPoolExecutor(2) as pool:
                done = list(pool.map(go, pair, reversed(pair)))
            left = [
                one.name
                for one in read(engine, users.everybody)
                if one.role == Role.ADMINISTRATOR and one.active
            ]
            assert sorted(done) == ["done", "last-administrator"]
            assert len(left) == 1
            transact(engine, partial(_remove, name=left[0]))
        engine.dispose()


def _add(connection: Connection, name: str) -> None:
    users.add(connection, name, Role.ADMINISTRATOR, "x", actor="cli:t", now_ms=NOW_MS)


def _remove(connection: Connection, name: str) -> None:
    """Remove the one who stayed, so that the next round begins with two: no service does that."""
    connection.execute(ACCOUNTS.users.delete().where(ACCOUNTS.users.c.name == name))
