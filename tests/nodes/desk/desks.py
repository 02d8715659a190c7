"""A desk over a node's real stores, asked without a socket; the node's daemon is done by hand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from argon2.profiles import CHEAPEST
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from config.load import parse_settings
from config.node import NodeSettings
from nodes.desk import departments, people
from nodes.desk.app import create_app
from nodes.desk.context import Desk
from nodes.desk.daemon import BODY_BYTES
from nodes.desk.people import NewUser
from nodes.desk.roles import Role
from nodes.desk.table import HERE, ROOMS
from nodes.gateways.desk import conclude_opened
from protocols.link.envelope import Priority
from runtime.web.passwords import Passwords
from runtime.web.site import SitePlan
from tests import compiled as compiled  # noqa: PLC0414 - its import is what it does
from tests.nodes.fixtures import HERE as FACILITY
from tests.nodes.fixtures import Station, open_station

PASSWORD: Final = "correct horse battery"
BELONGS: Final = {
    Role.CLINICIAN: {"cardio", "urgences"},
    Role.NURSE: {"urgences"},
    Role.LABORATORY: {"labo"},
    Role.PHARMACY: {"cardio"},
    Role.SECRETARY: {"cardio"},
    Role.ADMINISTRATOR: set[str](),
}
"""Each role has a user of its name, in these departments of ``chu-alger``."""
_HASHED: Final[dict[Role, str]] = {}
_TOKEN: Final = re.compile(r'name="csrf_token" value="([^"]+)"')


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

    def post(
        self, path: str, values: dict[str, Any], page: str = "/account", method: str = "POST", **options: Any
    ) -> TestResponse:
        """Fill in a form of ``page`` and send it to ``path``; a script may do so with another method."""
        data = {**values, "csrf_token": self.token(page)}
        return self.client.open(path, method=method, data=data, base_url=self.base, **options)

    def sign_in(self, name: str, password: str = PASSWORD) -> TestResponse:
        """Sign in."""
        return self.post("/sign-in", {"name": name, "password": password}, "/sign-in")


@dataclass(frozen=True, slots=True)
class Ward:
    """A facility with a desk. ``station`` is its node."""

    app: Flask
    desk: Desk
    station: Station

    def browser(self, role: Role | None = None, language: str = "en") -> Browser:
        """Return a browser in which somebody of the role is signed in."""
        browser = Browser(self.app)
        if role is not None:
            assert browser.sign_in(role).status_code == 303
            browser.get(f"/account?lang={language}")
        return browser

    def arrive(
        self,
        department: str = "cardio",
        *,
        body: bytes = b"",
        sender: str = "labo@chu-oran",
        urgent: bool = False,
        kind: str = "ORU^R01",
    ) -> int:
        """Lay a message into the inbox as the link does; returns its number."""
        return self.station.receive(
            body or oru("BENSAMPLE"), recipient=f"{department}@chu-alger", sender=sender, kind=kind,
            priority=Priority.STAT if urgent else Priority.ROUTINE,
        )  # fmt: skip

    def conclude(self) -> int:
        """Do what the node's daemon does with what was opened."""
        return self.station.do(lambda c: conclude_opened(c, self.station.identity))


def oru(name: str, extra: str = "") -> bytes:
    """Return a small result."""
    return (
        "MSH|^~\\&|labo|chu-oran|cardio|chu-alger|20260101||ORU^R01|42|P|2.5|||||DZA|UNICODE UTF-8\r"
        f"PID|1||D-1^^^CHU||{name}^AMINA\r{extra}OBX|1|NM|718-7||13.2|g/dL\r"
    ).encode()


@contextmanager
def open_ward(
    home: Path, *, origin: str | None = None, settings: str = "", facility: str = FACILITY
) -> Iterator[Ward]:
    """Yield the desk of a facility, ``chu-alger``, with a user of each role."""
    with open_station(home, facility=facility) as station:
        read = parse_settings(settings.encode(), home / "node.toml", NodeSettings)
        plan = SitePlan(
            name="desk", secret=b"s" * 32, zone="Africa/Algiers", templates=HERE / "templates",
            translations=HERE / "translations", origin=origin, rooms=(HERE, *ROOMS),
            mark=f"desk-{facility}", port=7612, form_bytes=BODY_BYTES,
        )  # fmt: skip
        desk = Desk(
            station.engine, plan, station.clock, Passwords(CHEAPEST), poke=lambda: True, settings=read,
            facility=facility, home=station.home,
        )  # fmt: skip
        add_users(desk)
        app = create_app(desk)
        app.testing = False
        yield Ward(app, desk, station)


def hashed(role: Role) -> str:
    """Return what is kept of ``PASSWORD`` for the user of a role; what that costs is tried elsewhere."""
    if role not in _HASHED:
        _HASHED[role] = Passwords(CHEAPEST).hash(role, PASSWORD)
    return _HASHED[role]


def add_users(desk: Desk) -> None:
    """Add a user of each role, named like it, with ``PASSWORD``."""
    now_ms = desk.clock.now_ms()
    known = desk.read(lambda c: departments.served(c, desk.settings, desk.facility))
    for role in Role:
        new = NewUser(str(role), f"Dr {role.title()}", str(role), hashed(role))

        def add(connection: Any, new: NewUser = new, role: Role = role) -> None:
            people.add(connection, new, actor="cli:test", now_ms=now_ms)
            departments.set_membership(
                connection, new.name, BELONGS[role] & set(known), known, actor="cli:test", now_ms=now_ms
            )

        desk.change(add)
