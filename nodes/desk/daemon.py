"""The desk's process: the application in a few threads, behind bounded connections.

It opens the node's database and reads its settings; it never opens the file of keys. It may run while the
node's daemon does not. It ends when the disk fails, like everything that writes there.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from shlex import quote
from typing import Any, Final

from sqlalchemy import Engine

from config.errors import SettingsError
from config.fields import HostPort
from config.node import NodeSettings
from nodes import home as node_home
from nodes.daemon import set_up_logs
from nodes.desk import catching
from nodes.desk.app import create_app
from nodes.desk.compose import receiving
from nodes.desk.context import Desk
from nodes.desk.table import HERE, ROOMS
from nodes.desk.tables import ACCOUNTS
from nodes.link.errors import NodeError
from nodes.link.identity import load_facility
from runtime import migrations
from runtime.clock import Clock, ReactorClock
from runtime.home import HomeError, poke
from runtime.logs import bridge_twisted
from runtime.service import Life, StartError, Stop, run_daemon
from runtime.storage_errors import StorageError
from runtime.web.passwords import Passwords
from runtime.web.process import end_old_sessions, place, serve, warn_without_users
from runtime.web.serving import HttpLimits
from runtime.web.site import LOOPBACK, SitePlan, load_secret

SECRET_FILE: Final = "desk.secret"  # noqa: S105 - the name of a file
BODY_BYTES: Final = 9 * 1_024 * 1_024
"""Of one request: a chunk of an upload, at most."""
LIMITS: Final = HttpLimits(
    max_connections=512,
    max_per_address=256,
    max_body_bytes=BODY_BYTES,
    head_s=10,
    body_s=120,
    answer_s=600,
    idle_s=60,
)
"""An answer may have to read a scan of gigabytes first, to see that it is what arrived."""


def run(home: Path, listen_at: HostPort | None, reactor: Any) -> int:
    """Run the desk of ``home`` until it is told to stop; returns the exit code."""
    set_up_logs(NodeSettings().log)
    bridge_twisted()
    return run_daemon(
        "wasl-desk",
        lambda life: _start(home, listen_at, reactor, life),
        reactor=reactor,
        environment=os.environ,
    )


async def _start(home: Path, listen_at: HostPort | None, reactor: Any, life: Life) -> Stop:
    try:
        settings = node_home.load_settings(home)
        set_up_logs(settings.log)
        facility = load_facility(home)
        engine = node_home.open_database(home)
        migrations.upgrade(engine, "nodes")
        desk = open_desk(home, settings, facility, engine, ReactorClock(reactor), listen_at)
    except (NodeError, HomeError, SettingsError, StorageError) as error:
        raise StartError(str(error)) from error
    warn_without_users(
        engine, ACCOUNTS, f"wasl-desk adduser NAME --home {quote(str(home))} --role administrator"
    )
    return serve(
        reactor, life, create_app(desk), place(listen_at, settings.desk.listen, "desk.listen in node.toml"),
        engine=engine, clock=desk.clock, limits=LIMITS, tidy=partial(_tidy, desk),
    )  # fmt: skip


def open_desk(
    home: Path,
    settings: NodeSettings,
    facility: str,
    engine: Engine,
    clock: Clock,
    listen_at: HostPort | None = None,
) -> Desk:
    """Return what the application works on. Raises HomeError, OSError."""
    listening = listen_at or settings.desk.listen
    plan = SitePlan(
        name="wasl-desk",
        secret=load_secret(home / SECRET_FILE),
        zone=settings.desk.zone,
        templates=HERE / "templates",
        translations=HERE / "translations",
        origin=settings.desk.origin,
        hosts=LOOPBACK | {listening.host},
        rooms=(HERE, *ROOMS),
        mark=f"desk-{facility}",
        form_bytes=BODY_BYTES,
        port=listening.port,
    )
    return Desk(
        engine=engine,
        settings=settings,
        facility=facility,
        home=home,
        plan=plan,
        clock=clock,
        passwords=Passwords(),
        poke=lambda: poke(home / node_home.POKE),
    )


def _tidy(desk: Desk) -> None:
    """Forget what is over, and catch up."""
    end_old_sessions(desk.engine, ACCOUNTS, desk.clock.now_ms())
    catching.catch_up(desk.engine, desk.home)
    receiving.tidy(desk)
