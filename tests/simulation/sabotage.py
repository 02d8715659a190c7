"""Ways to break the code on purpose, to see that the simulation notices."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from sqlalchemy import Connection, delete
from twisted.internet.defer import Deferred, succeed

from hub.core import HubCore
from hub.spool.store import Entry
from nodes.link import arrivals, tables
from nodes.link.core import LinkCore
from runtime.database import Database
from tests.simulation.machines import Machines

_Operation = Callable[[Connection], Any]


@contextmanager
def hub_accepts_before_commit(machines: Machines) -> Iterator[None]:
    """Let the hub say ACCEPTED when a message is written and not committed."""

    def change(core: HubCore) -> None:
        accept = core.commits.accept

        def early(entries: list[Entry]) -> Deferred[list[bool]]:
            accept(entries).addErrback(lambda _failure: None)
            return succeed([True] * len(entries))

        core.commits.accept = early  # type: ignore[method-assign]  # broken on purpose

    machines.hub.change = change
    try:
        yield
    finally:
        machines.hub.change = lambda _core: None


@contextmanager
def nodes_take_before_commit(machines: Machines) -> Iterator[None]:
    """Let the nodes say TAKEN when an arrival is written and not committed."""

    def change(core: LinkCore) -> None:
        _answer_early(
            core.database,
            lambda operation: isinstance(operation, partial) and operation.func is arrivals.accept,
        )

    for node in machines.nodes:
        node.change = change
    try:
        yield
    finally:
        for node in machines.nodes:
            node.change = lambda _core: None


@contextmanager
def nodes_forget_what_they_have(_machines: Machines) -> Iterator[None]:
    """Let the nodes take a repeated delivery for a new message."""
    accept = arrivals.accept

    def forgetful(connection: Connection, arrivals: list[Any], now_ms: int) -> list[Any]:
        for arrival in arrivals:
            inbox = tables.inbox.c
            connection.execute(
                delete(tables.inbox).where(
                    inbox.id == arrival.opened.envelope.id, inbox.recipient == arrival.opened.recipient
                )
            )
        return accept(connection, arrivals, now_ms)

    arrivals.accept = forgetful
    try:
        yield
    finally:
        arrivals.accept = accept


def _answer_early(database: Database, wanted: Callable[[Any], bool]) -> None:
    """Let some writes fire with what they would return, before they are committed."""
    write = database.write

    def early(operation: _Operation) -> Deferred[Any]:
        if not wanted(operation):
            return write(operation)
        with database._engine.connect() as connection, connection.begin() as transaction:
            value = operation(connection)
            transaction.rollback()
        write(operation).addErrback(lambda _failure: None)
        return succeed(value)

    database.write = early  # type: ignore[method-assign]  # broken on purpose
