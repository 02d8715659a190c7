"""What is particular to examining a hub: its keys, its nodes' credentials, its queues, its clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, func, select

from config.hub import HubSettings
from crypto import identity as statements
from crypto.errors import CryptoError
from hub import home as hub_home
from hub.directory.tables import credentials
from hub.keys import in_force
from hub.spool import tracking
from hub.spool.tables import ledger
from runtime import doctor
from runtime.doctor import DAY_S, EXPIRY_S, LISTED, Finding, lasting
from runtime.transactions import read

CLOCK_S: Final = 60.0


def examine(home: Path) -> list[Finding]:
    """Examine a hub's home. Settings or a home that cannot be used are the only findings then."""
    try:
        settings = hub_home.load_settings(home)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what is wrong
        remedy = "mend it, then repeat (check-config shows every fault)"
        return [doctor.fail("settings", str(error), remedy)]
    found = [doctor.ok("settings", f"{home / hub_home.SETTINGS} is right")]
    daemon = doctor.running(home) is not None
    files = hub_home.attachments(home, settings)
    places = [place for place in (home, files) if place.is_dir()]
    checks: list[tuple[str, Callable[[], Finding]]] = [
        ("files", lambda: doctor.modes(home)),
        ("disk", lambda: doctor.disk_floor(settings.disk.floor_bytes, *places)),
        *[
            ("hub.listen", partial(doctor.port, "hub.listen", address, daemon=daemon))
            for address in settings.hub.listen
        ],
        ("http.listen", lambda: doctor.port("http.listen", settings.http.listen, daemon=daemon)),
        ("daemon", lambda: doctor.readiness(settings.http.listen, daemon=daemon)),
        ("backup", lambda: doctor.backup_age(home)),
        ("leftovers", lambda: doctor.leftovers(home, *places)),
    ]
    found += doctor.examine(checks)
    return found + _of_tables(home, settings)


def _of_tables(home: Path, settings: HubSettings) -> list[Finding]:
    if settings.database.url is None and not (home / hub_home.DATABASE).exists():
        remedy = "restore a backup (docs/backup.md); `wasl-hub db upgrade` makes an empty one"
        return [doctor.fail("database", f"{home / hub_home.DATABASE} is not there", remedy)]
    try:
        engine = hub_home.open_database(home, settings)
    except Exception as error:  # noqa: BLE001 - likewise
        return [doctor.fail("database", str(error), "mend this first; if it is damaged, restore a backup")]
    try:
        return doctor.examine(
            [
                ("schema", lambda: doctor.schema(engine, "hub")),
                ("database", lambda: doctor.database(engine)),
                ("keys", lambda: _keys(home, engine)),
                ("credentials", lambda: read(engine, _credentials)),
                ("clock", lambda: read(engine, _clock)),
                ("queue", lambda: read(engine, _queue)),
            ]
        )
    finally:
        engine.dispose()


def _keys(home: Path, engine: Engine) -> Finding:
    """Look whether the keys are there, and are those that signed what is in the database."""
    file = hub_home.load_keys(home)
    keys = read(engine, lambda connection: in_force(connection, file)).keys
    query = select(credentials.c.facility, credentials.c.statement).order_by(
        credentials.c.not_after_ms.desc()
    )
    row = read(engine, lambda connection: connection.execute(query.limit(1)).one_or_none())
    text = f"link key {keys.link.public.fingerprint()}, authority {keys.authority_key.fingerprint()}"
    if row is not None:
        try:
            statements.verify(row.statement, keys.authority_key)
        except CryptoError as fault:
            remedy = "put back the key file that belongs to this database (both are in one backup)"
            return doctor.fail(
                "keys", f"they did not sign {row.facility}'s credential ({fault}); {text}", remedy
            )
    return doctor.ok("keys", text)


def _credentials(connection: Connection) -> Finding:
    now_ms = time.time_ns() // 1_000_000
    newest = (
        select(credentials.c.facility, func.max(credentials.c.not_after_ms).label("until"))
        .where(credentials.c.revoked.is_(False))
        .group_by(credentials.c.facility)
    )
    rows = connection.execute(newest).all()
    soon = sorted((row.until, row.facility) for row in rows if row.until < now_ms + EXPIRY_S * 1000)
    if not soon:
        return doctor.ok("credentials", f"{len(rows)} facilities, none expires within {lasting(EXPIRY_S)}")
    names = ", ".join(
        f"{name} in {(until - now_ms) / 1000 / DAY_S:.0f} days" for until, name in soon[:LISTED]
    )
    remedy = "have `wasl-node rotate` run there: nobody can seal for a facility whose credential has expired"
    return doctor.warn("credentials", f"{len(soon)} expire: {names}", remedy)


def _clock(connection: Connection) -> Finding:
    last_ms = connection.execute(select(func.max(ledger.c.accepted_ms))).scalar_one_or_none() or 0
    behind_s = last_ms / 1000 - time.time()
    if behind_s > CLOCK_S:
        text = f"it is {lasting(behind_s)} behind the last message that was accepted"
        return doctor.fail("clock", text, "set this machine's clock (chronyc tracking); expiry hangs on it")
    return doctor.ok("clock", "not behind what was accepted before")


def _queue(connection: Connection) -> Finding:
    depths = tracking.depths(connection)
    if not depths:
        return doctor.ok("queue", "nothing waits")
    first = min(depths, key=lambda one: one.oldest_ms)
    age_s = time.time() - first.oldest_ms / 1000
    count = sum(one.messages for one in depths)
    text = f"{count} messages wait, the oldest for {lasting(age_s)} (for {first.facility})"
    return doctor.oldest(
        "queue", text, age_s, f"is the node of {first.facility} up? wasl-hub queue, facilities"
    )
