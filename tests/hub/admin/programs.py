"""A program that asks the console's API without a socket: a token of each role, a key for each change."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from flask import Flask
from sqlalchemy import Engine, select
from werkzeug.test import TestResponse

from hub.admin import tokens
from hub.admin.api.app import make_api
from hub.admin.api.routes import IDEMPOTENCY_KEY
from hub.admin.api.table import PREFIX
from hub.admin.console.context import Console
from hub.admin.roles import Role
from hub.audit.tables import audit
from runtime.transactions import read, transact
from tests.hub.admin.consoles import open_console
from tests.hub.hubs import DAY_MS, EPOCH_MS

MAKER: Final = "cli:root"


@dataclass
class Program:
    """Asks ``app``; time passes between what it asks, so that nobody is too fast."""

    app: Flask
    console: Console
    engine: Engine
    secrets: dict[str, str]
    role: str = "administrator"
    keys: Iterator[int] = field(default_factory=itertools.count)

    def ask(self, method: str, path: str, **more: Any) -> TestResponse:
        """Send one request, with a fresh key unless ``key`` says which; None: no key."""
        self.console.clock._task_clock.advance(1)  # type: ignore[attr-defined]  # a simulated one
        headers = {"Authorization": f"Bearer {self.secrets[self.role]}", **more.pop("headers", {})}
        key = more.pop("key", f"key-{next(self.keys)}")
        if key is not None and method != "GET":
            headers.setdefault(IDEMPOTENCY_KEY, key)
        return self.app.test_client().open(
            PREFIX + path, method=method, base_url="http://localhost", headers=headers, **more
        )

    def get(self, path: str, **more: Any) -> Any:
        """Return what a good GET says."""
        answer = self.ask("GET", path, **more)
        assert answer.status_code == 200, answer.text
        return answer.json

    def post(self, path: str, body: Any = None, **more: Any) -> TestResponse:
        """Send a change."""
        return self.ask("POST", path, **more) if body is None else self.ask("POST", path, json=body, **more)

    def sql(self, operation: Any) -> Any:
        """Look at the tables."""
        return read(self.engine, operation)


def add_token(engine: Engine, name: str, role: str, *, maker: str = MAKER, valid_for_ms: int = DAY_MS) -> str:
    """Make a token; returns its secret."""
    return transact(
        engine,
        lambda c: tokens.create(c, name, role, valid_for_ms=valid_for_ms, actor=maker, now_ms=EPOCH_MS)[0],
    )


@contextmanager
def open_program(home: Path, url: str | None = None) -> Iterator[Program]:
    """Yield a program with a token of each role, on a hub that has a network."""
    with open_console(home, url=url) as (_, console, engine):
        made = {str(role): add_token(engine, str(role), str(role)) for role in Role}
        app = make_api(console)
        app.testing = False
        yield Program(app, console, engine, made)


def refused(answer: TestResponse, status: int, code: str) -> str:
    """Check that an answer is a problem, and return its text."""
    said: Any = answer.json
    assert (answer.status_code, said["code"]) == (status, code), answer.text
    assert answer.content_type == "application/problem+json"
    assert (said["status"], said["type"]) == (status, "about:blank")
    return str(said["detail"])


def done(answer: Any, status: int = 200) -> Any:
    """Check that an answer is a good one, and return what it says."""
    assert answer.status_code == status, answer.text
    return answer.json


def last_act(program: Program) -> Any:
    """Return the newest entry of the audit log."""
    return program.sql(lambda c: c.execute(select(audit).order_by(audit.c.number.desc()).limit(1)).one())
