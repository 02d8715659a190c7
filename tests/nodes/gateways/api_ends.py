"""The local API over a station's real stores: as a plain WSGI application, and on a port of loopback."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from flask.testing import FlaskClient
from sqlalchemy import insert

from config.fields import HostPort
from crypto.primitives import blake2b
from nodes.gateways.api import make_app
from nodes.gateways.api.access import Gate, load_token
from nodes.gateways.api.routes import Node
from nodes.gateways.api.uploads import Uploads
from nodes.link import tables
from runtime.transactions import open_engine
from tests.nodes.fixtures import Station

LISTEN: Final = HostPort("127.0.0.1", 7611)
DAY_MS: Final = 86_400_000


@dataclass
class Caller:
    """Asks the application without a server, token included."""

    station: Station
    node: Node
    token: str
    http: FlaskClient
    app: Any
    wakes: list[int] = field(default_factory=list)
    fatal: list[BaseException] = field(default_factory=list)
    alarms: list[tuple[str, str]] = field(default_factory=list)

    def ask(self, method: str, path: str, **more: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.token}", **more.pop("headers", {})}
        return self.http.open(path, method=method, headers=headers, **more)

    def get(self, path: str, **more: Any) -> Any:
        return self.ask("GET", path, **more)

    def post(self, path: str, json: Any = None, **more: Any) -> Any:
        return (
            self.ask("POST", path, json=json, **more) if json is not None else self.ask("POST", path, **more)
        )

    def send(self, **more: Any) -> Any:
        return self.post("/v1/messages", {"to": ["labo@chu-oran"], "from": "labo", "body": "text", **more})

    def upload(self, content: bytes, name: str = "scan.dcm") -> str:
        answer = self.post("/v1/uploads", query_string={"name": name}, data=content)
        assert answer.status_code == 201, answer.get_data()
        return str(answer.json["upload"])


@contextmanager
def open_caller(station: Station, *, floor_bytes: int = 0, listen: HostPort = LISTEN) -> Iterator[Caller]:
    """Make the application on an engine of its own."""
    engine = open_engine(station.url)
    wakes: list[int] = []
    fatal: list[BaseException] = []
    alarms: list[tuple[str, str]] = []
    uploads = Uploads(station.home, floor_bytes)
    uploads.make()
    node = Node(
        engine, station.identity, station.home, station.clock, uploads, lambda _: 5 * DAY_MS, floor_bytes,
        lambda: wakes.append(threading.get_ident()), lambda: True, fatal.append,
        lambda code, text: alarms.append((code, text)),
    )  # fmt: skip
    token = load_token(station.home)
    app = make_app(node, Gate(token, listen))
    try:
        yield Caller(station, node, token, app.test_client(), app, wakes, fatal, alarms)
    finally:
        engine.dispose()


def attach(station: Station, seq: int, name: str, content: bytes, position: int = 0) -> None:
    """Add a file to a received message, as the link stores it."""
    path = f"received-{seq}-{position}"
    (station.home / path).write_bytes(content)
    station.do(
        lambda connection: connection.execute(
            insert(tables.inbox_files).values(
                inbox_seq=seq, position=position, name=name, media_type="image/png", size=len(content),
                digest=blake2b(content), path=path,
            )
        )
    )  # fmt: skip
