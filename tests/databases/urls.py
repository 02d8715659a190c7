"""A fresh database for a test: a SQLite file, or a database of its own on the session's PostgreSQL.

``database_url`` runs a test on both. ``new_database_url`` is for those that want several. A database of
PostgreSQL is copied from a template that has the tables already, if the test says which.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

import pytest
from sqlalchemy import MetaData

from runtime.transactions import open_engine, transact
from tests.databases.files import make_file
from tests.databases.server import Server, missing

SQLITE: Final = "sqlite"
POSTGRESQL: Final = "postgresql"
BOTH: Final = (SQLITE, POSTGRESQL)
NewUrl = Callable[..., AbstractContextManager[str]]
"""Takes the tables that the database shall have, if any, and the name of SQLite's file."""
EMPTY: Final = "template0"


class Databases:
    """The session's PostgreSQL server, started when it is first asked for."""

    def __init__(self) -> None:
        self._server: Server | None = None
        self._numbers = itertools.count(1)
        self._templates: dict[int, str] = {}

    @property
    def server(self) -> Server:
        """The server, running."""
        if self._server is None:
            self._server = Server()
            self._server.make()
            self._server.start()
        return self._server

    def create(self, metadata: MetaData | None = None) -> str:
        """Make a database, with the tables of ``metadata`` in it; returns its name."""
        name = f"t{next(self._numbers)}"
        template = EMPTY if metadata is None else self._template(metadata)
        self.server.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def _template(self, metadata: MetaData) -> str:
        name = self._templates.get(id(metadata))
        if name is None:
            name = self._templates[id(metadata)] = self.create()
            engine = open_engine(self.server.url(name))
            transact(engine, metadata.create_all)
            engine.dispose()
        return name

    def drop(self, name: str) -> None:
        """Remove a database, whoever is connected to it."""
        self.server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def close(self) -> None:
        """End the server."""
        if self._server is not None:
            self._server.close()


@contextmanager
def fresh_url(
    kind: str, directory: Path, databases: Databases, metadata: MetaData | None = None, name: str = "test.db"
) -> Iterator[str]:
    """Yield the URL of a fresh database of one kind, with the tables of ``metadata``, if any."""
    if kind == SQLITE:
        if metadata is not None:
            make_file(directory / name, metadata)
        yield f"sqlite:///{directory / name}"
        return
    made = databases.create(metadata)
    yield databases.server.url(made)
    databases.drop(made)


@pytest.fixture(scope="session")
def databases() -> Iterator[Databases]:
    """Yield the session's PostgreSQL; the test is skipped, by name, where there is none."""
    if why := missing():
        pytest.skip(why)
    made = Databases()
    yield made
    made.close()


@pytest.fixture(params=BOTH)
def kind(request: pytest.FixtureRequest) -> str:
    """Return ``sqlite``, then ``postgresql``."""
    found: str = request.param
    if found == POSTGRESQL:
        request.getfixturevalue("databases")
    return found


@pytest.fixture
def new_url(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> NewUrl:
    """Return what yields further fresh databases of the kind that the test runs on."""
    databases = request.getfixturevalue("databases") if kind == POSTGRESQL else Databases()

    def new(metadata: MetaData | None = None, name: str = "test.db") -> AbstractContextManager[str]:
        return fresh_url(kind, tmp_path, databases, metadata, name)

    return new


@pytest.fixture
def database_url(new_url: NewUrl) -> Iterator[str]:
    """Yield the URL of an empty database."""
    with new_url() as url:
        yield url
