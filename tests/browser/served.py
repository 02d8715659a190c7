"""A real console's process on a made network, and a Chromium that is signed in to it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import Engine, insert

from crypto.keys import LinkPrivateKey
from hub import home as hub_home
from hub.admin import rotation
from hub.directory.tables import knocks
from hub.keys import LINK_NEXT
from runtime import migrations
from runtime.transactions import transact
from tests.hub.admin.network import PASSWORD, add_users, forgotten, make_matters, make_network
from tests.hub.hubs import NodeKeys
from tests.integration.ports import free_port

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext

ROOT: Final = Path(__file__).parents[2]
CHROMIUM: Final = shutil.which("chromium") or shutil.which("chromium-browser")
START_S: Final = 120.0
FORGOTTEN: Final = NodeKeys.numbered(30)
"""Of a node that knocks, and that the hub has forgotten by a restore."""


@contextmanager
def served_console(home: Path) -> Iterator[str]:
    """Yield the address of a console that runs on a made network."""
    at = free_port()
    settings: dict[str, dict[str, object]] = {
        "hub": {"name": "alger"},
        "console": {"listen": f"127.0.0.1:{at}"},
        "http": {"listen": f"127.0.0.1:{free_port()}"},
    }
    hub_home.make_home(home, settings)
    engine = hub_home.open_database(home, hub_home.load_settings(home))
    migrations.upgrade(engine, "hub")
    now_ms = time.time_ns() // 1_000_000
    transact(engine, lambda connection: make_network(connection, now_ms))
    transact(engine, lambda connection: add_users(connection, now_ms))
    transact(engine, lambda connection: make_matters(connection, now_ms))
    _keys_of_the_network(home, engine, now_ms)
    engine.dispose()
    with serving(["hub", "console"], home, at) as address:
        yield address


def _keys_of_the_network(home: Path, engine: Engine, now_ms: int) -> None:
    """Begin a change of the hub's link key, and let a node knock that a restore has forgotten."""
    hub_home.change_keys(home, {LINK_NEXT: LinkPrivateKey.generate()})
    keys, settings = hub_home.load_keys(home), hub_home.load_settings(home)
    hub_home.publish(home, keys, 0)
    following = keys.link_next
    assert following is not None
    issuer = hub_home.issuer(settings, keys)
    transact(
        engine, lambda c: rotation.begin_link(c, issuer, following.public, actor="cli:test", now_ms=now_ms)
    )
    knock = forgotten("chu-skikda", 3, FORGOTTEN, now_ms)
    values = {
        "link_key": bytes(knock.credential.link_key), "facility": knock.credential.facility,
        "serial": knock.credential.serial, "statement": knock.statement, "seen_ms": now_ms,
    }  # fmt: skip
    transact(engine, lambda c: c.execute(insert(knocks), values))


@contextmanager
def serving(command: list[str], home: Path, at: int) -> Iterator[str]:
    """Run a web process of ours on ``home`` until the block ends, and see that no page of it failed."""
    run = [sys.executable, "-m", *command, "--home", str(home)]
    log = (home / "web.log").open("wb")
    process = subprocess.Popen(run, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=log)
    try:
        _await(at, process)
        yield f"http://127.0.0.1:{at}"
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(30)
        log.close()
        said = (home / "web.log").read_text(encoding="utf-8")
    assert code == 0, said
    assert "page-failed" not in said, said


def _await(port: int, process: subprocess.Popen[bytes]) -> None:
    ends_s = time.monotonic() + START_S
    while time.monotonic() < ends_s:
        assert process.poll() is None, "it ended at once"
        connection = HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/sign-in")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.1)
        finally:
            connection.close()
    raise AssertionError(f"it did not answer within {START_S:g} s")


def signed_in(browser: Browser, address: str, name: str) -> BrowserContext:
    """Return a browser's context in which ``name`` has signed in, through the form."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{address}/sign-in")
    page.fill("#name", name)
    page.fill("#password", PASSWORD)
    page.click("main button")
    page.wait_for_url(f"{address}/")
    page.close()
    return context
