"""A console over a made network, asked without a socket."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from argon2.profiles import CHEAPEST
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Connection, Engine
from twisted.internet.task import Clock as TaskClock
from werkzeug.test import TestResponse

from config.hub import HubSettings
from crypto.keys import LinkPrivateKey
from hub.admin.console.app import make_console
from hub.admin.console.context import Console
from hub.admin.console.daemon import HERE
from hub.admin.health import Health
from hub.home import PublicKeys
from hub.metadata import metadata
from runtime.clock import SimulatedClock
from runtime.database import transact
from runtime.web.passwords import Passwords
from runtime.web.site import SitePlan
from tests import compiled as compiled  # noqa: PLC0414 - its import is what it does
from tests.databases.files import make_file
from tests.hub.admin.network import PASSWORD, add_users, make_network
from tests.hub.hubs import AUDIT, EPOCH_MS, ISSUER, open_store

PORT = 7602
READY = Health(answers=True, ready=True, checks=())
PUBLIC = replace(ISSUER, authority=ISSUER.authority_key)
HELD = PublicKeys(
    ISSUER.hub_key,
    ISSUER.authority_key,
    0,
    LinkPrivateKey(bytes((71,)) * 32).public,
    AUDIT.public,
    signs=True,
)
"""What the hub's daemon has left: another link key lies beside the one in use."""
HOME = Path("/var/lib/wasl hub")
PASSWORDS = Passwords(CHEAPEST)
"""What they cost is tried elsewhere."""
_TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')


class Browser:
    """What a person does: opens pages, fills forms in."""

    def __init__(self, app: Flask, base: str = "http://localhost") -> None:
        self.client: FlaskClient = app.test_client()
        self.base = base

    def get(self, path: str, **options: Any) -> TestResponse:
        """Open a page."""
        return self.client.get(path, base_url=self.base, **options)

    def token(self, page: str) -> str:
        """Return what the page's forms carry."""
        found = _TOKEN.search(self.get(page).text)
        assert found is not None, f"{page} has no form"
        return found[1]

    def post(self, path: str, values: dict[str, str], page: str = "/account", **options: Any) -> TestResponse:
        """Fill in a form of ``page`` and send it to ``path``."""
        data = {**values, "csrf_token": self.token(page)}
        return self.client.post(path, data=data, base_url=self.base, **options)

    def sign_in(self, name: str, password: str = PASSWORD) -> TestResponse:
        """Sign in."""
        return self.post("/sign-in", {"name": name, "password": password}, "/sign-in")


def console_on(engine: Engine, origin: str | None = None) -> Console:
    """Return what a console works on, on a clock that stands still."""
    plan = SitePlan(
        name="console", secret=b"s" * 32, zone="Africa/Algiers", templates=HERE / "templates",
        translations=HERE / "translations", origin=origin, port=PORT,
    )  # fmt: skip
    clock = SimulatedClock(TaskClock(), EPOCH_MS)
    return Console(
        engine, plan, clock, PASSWORDS, poke=lambda: False, settings=HubSettings(),
        health=lambda: READY, issuer=lambda: PUBLIC, public=lambda: HELD, home=HOME,
    )  # fmt: skip


def _fill(connection: Connection) -> None:
    make_network(connection, EPOCH_MS)
    add_users(connection, EPOCH_MS)


@contextmanager
def open_console(
    home: Path, *, origin: str | None = None, url: str | None = None
) -> Iterator[tuple[Flask, Console, Engine]]:
    """Yield the application of a hub that has a network and a user of each role."""
    if url is None:
        make_file(home / "hub.db", metadata, _fill)
    with open_store(home, url) as engine:
        if url is not None:
            transact(engine, _fill)
        console = console_on(engine, origin)
        app = make_console(console)
        app.testing = False
        yield app, console, engine
