"""The console's process: the application in a few threads, behind bounded connections.

It opens the hub's database and reads its settings; it never opens the file of keys. It may run while the hub
does not, and says so then. It ends when the disk fails, like everything that writes there.
"""

from __future__ import annotations

import os
from pathlib import Path
from shlex import quote
from typing import Any, Final

from sqlalchemy import Engine

from config.fields import HostPort
from config.hub import HubSettings
from hub import home as hub_home
from hub.admin import health
from hub.admin.api.app import PATHS, beside, make_api
from hub.admin.console.app import make_console
from hub.admin.console.context import Console
from hub.admin.tables import ACCOUNTS
from hub.daemon import set_up_logs
from runtime import migrations
from runtime.clock import Clock, ReactorClock
from runtime.home import HomeError, poke
from runtime.logs import bridge_twisted
from runtime.service import Life, StartError, Stop, run_daemon
from runtime.storage_errors import StorageError
from runtime.web.downloads import WsgiChannel, WsgiSite
from runtime.web.passwords import Passwords
from runtime.web.problems import ApiError
from runtime.web.process import end_old_sessions, place, serve, warn_without_users
from runtime.web.serving import HttpLimits
from runtime.web.site import LOOPBACK, SitePlan, load_secret

HERE: Final = Path(__file__).parent
SECRET_FILE: Final = "console.secret"  # noqa: S105 - the name of a file
LIMITS: Final = HttpLimits(
    max_connections=128,
    max_per_address=64,
    max_body_bytes=256 * 1_024,
    head_s=10,
    body_s=20,
    answer_s=60,
    idle_s=60,
)


class ConsoleChannel(WsgiChannel):
    """One connection: programs are refused in the form that they read."""

    @property
    def too_large(self) -> bytes:
        """Say it as a problem where the API is."""
        path: Any = self._path
        if not path.startswith(f"{PATHS}/".encode("ascii")):
            return super().too_large
        text = f"the body is too large: at most {LIMITS.max_body_bytes} bytes"
        return ApiError(413, "too-large", text).raw()


class ConsoleSite(WsgiSite):
    """The factory to listen with."""

    protocol = ConsoleChannel


def run(home: Path, listen_at: HostPort | None, reactor: Any) -> int:
    """Run the console of ``home`` until it is told to stop; returns the exit code."""
    set_up_logs(HubSettings().log)
    bridge_twisted()
    return run_daemon(
        "wasl-hub-console",
        lambda life: _start(home, listen_at, reactor, life),
        reactor=reactor,
        environment=os.environ,
    )


async def _start(home: Path, listen_at: HostPort | None, reactor: Any, life: Life) -> Stop:
    try:
        settings = hub_home.load_settings(home)
        set_up_logs(settings.log)
        engine = hub_home.open_database(home, settings)
        migrations.upgrade(engine, "hub")
        console = open_console(home, settings, engine, ReactorClock(reactor), listen_at)
    except (hub_home.HubHomeError, HomeError, StorageError) as error:
        raise StartError(str(error)) from error
    warn_without_users(
        engine, ACCOUNTS, f"wasl-hub adduser NAME --home {quote(str(home))} --role administrator"
    )
    return serve(
        reactor, life, beside(make_console(console), make_api(console)),
        place(listen_at, settings.console.listen, "console.listen in hub.toml"),
        engine=engine, clock=console.clock, limits=LIMITS, factory=ConsoleSite,
        tidy=lambda: end_old_sessions(engine, ACCOUNTS, console.clock.now_ms()),
    )  # fmt: skip


def open_console(
    home: Path, settings: HubSettings, engine: Engine, clock: Clock, listen_at: HostPort | None = None
) -> Console:
    """Return what the application works on. Raises HomeError, OSError."""
    listening = listen_at or settings.console.listen
    plan = SitePlan(
        name="wasl-hub-console",
        secret=load_secret(home / SECRET_FILE),
        zone=settings.console.zone,
        templates=HERE / "templates",
        translations=HERE / "translations",
        origin=settings.console.origin,
        hosts=LOOPBACK | {listening.host},
        port=listening.port,
    )
    return Console(
        engine=engine,
        settings=settings,
        plan=plan,
        clock=clock,
        passwords=Passwords(),
        poke=lambda: poke(home / hub_home.POKE),
        health=lambda: health.ask(settings.http.listen),
        issuer=lambda: hub_home.public_issuer(home, settings),
        public=lambda: hub_home.public_keys(home),
        home=home.absolute(),
    )
