"""What is particular to examining a node: who it is, whether its hub answers, what waits.

The hub is asked by a handshake that ends before it would count: a session is the node's only when READY was
said, so the running daemon keeps its own.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, func, select

from config.fields import HostPort
from config.node import NodeSettings
from nodes import home as node_home
from nodes.link import facts
from nodes.link.core import INCOMING, SOFTWARE
from nodes.link.files import OUTGOING
from nodes.link.identity import Identity, load_identity
from nodes.link.session import CLOCK_WARNING_S
from nodes.link.tables import inbox, outbox
from protocols.link import limits, payloads
from protocols.link.envelope import State
from protocols.link.session import Broken, LinkEvent, LinkSession, Opened, PeerLeft
from runtime import doctor
from runtime.doctor import Finding, lasting
from runtime.transactions import read

HANDSHAKE_S: Final = 10.0
MORE_S: Final = 0.3
"""How long a refusal may take after WELCOME."""
READ_BYTES: Final = 65_536


def examine(home: Path) -> list[Finding]:
    """Examine a node's home. Settings or a home that cannot be used are the only findings then."""
    try:
        settings = node_home.load_settings(home)
        identity = load_identity(home)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what is wrong
        remedy = "mend it, then repeat (check-config shows every fault in the settings)"
        return [doctor.fail("settings", str(error), remedy)]
    found = [
        doctor.ok("settings", f"{home / node_home.SETTINGS} is right"),
        doctor.ok("keys", f"{identity.facility}, link key {identity.keys.link.public.fingerprint()}"),
    ]
    daemon = doctor.running(home) is not None
    places = [place for place in (home, home / OUTGOING, home / INCOMING) if place.is_dir()]
    checks: list[tuple[str, Callable[[], Finding]]] = [
        ("files", lambda: doctor.modes(home)),
        ("disk", lambda: doctor.disk_floor(settings.disk.floor_bytes, home)),
        *[(name, partial(doctor.port, name, at, daemon=daemon)) for name, at in _ports(settings)],
        ("daemon", lambda: doctor.readiness(settings.http.listen, daemon=daemon)),
        ("credential", lambda: _credential(identity)),
        ("hub", lambda: _hub(settings, identity)),
        ("backup", lambda: doctor.backup_age(home)),
        ("leftovers", lambda: doctor.leftovers(home, *places)),
    ]
    return found + doctor.examine(checks) + _of_tables(home)


def _ports(settings: NodeSettings) -> list[tuple[str, HostPort]]:
    found = [("http.listen", settings.http.listen)]
    if settings.mllp is not None and settings.mllp.listen is not None:
        found.append(("mllp.listen", settings.mllp.listen))
    if settings.api is not None:
        found.append(("api.listen", settings.api.listen))
    return found


def _of_tables(home: Path) -> list[Finding]:
    if not (home / node_home.DATABASE).exists():
        remedy = "restore a backup (docs/backup.md); `wasl-node db upgrade` makes an empty one"
        return [doctor.fail("database", f"{home / node_home.DATABASE} is not there", remedy)]
    try:
        engine: Engine = node_home.open_database(home)
    except Exception as error:  # noqa: BLE001 - likewise
        return [doctor.fail("database", str(error), "mend this first; if it is damaged, restore a backup")]
    try:
        return doctor.examine(
            [
                ("schema", lambda: doctor.schema(engine, "nodes")),
                ("database", lambda: doctor.database(engine)),
                ("outbox", lambda: read(engine, _outbox)),
                ("inbox", lambda: read(engine, _inbox)),
                ("alarms", lambda: read(engine, _alarms)),
            ]
        )
    finally:
        engine.dispose()


def _credential(identity: Identity) -> Finding:
    what = f"credential {identity.credential.serial} of {identity.facility}"
    remedy = "run `wasl-node rotate`: once it has expired nobody can seal for this node (docs/runbooks.md)"
    return doctor.expiry("credential", what, identity.credential.not_after_ms, remedy)


def _hub(settings: NodeSettings, identity: Identity) -> Finding:
    """Look whether the hub is there, is the one that we joined, lets us in, and has our time."""
    address = node_home.hub_address(settings, identity.hub)
    session = LinkSession.node(
        static=identity.keys.link,
        hub_key=identity.hub_key,
        hub_name=identity.hub_name,
        hello=payloads.Hello(SOFTWARE, time.time_ns() // 1_000_000, limits.DELIVER_WINDOW),
        now_ms=lambda: time.time_ns() // 1_000_000,
    )
    try:
        with socket.create_connection((address.host, address.port), HANDSHAKE_S) as line:
            line.settimeout(HANDSHAKE_S)
            line.sendall(session.data_to_send())
            return _greeted(line, session, address)
    except OSError as error:
        remedy = "is the hub up? firewall, DNS and node.hub in node.toml right?"
        return doctor.fail("hub", f"{address}: {error.strerror or error}", remedy)


def _greeted(line: socket.socket, session: LinkSession, address: HostPort) -> Finding:
    """Return what the hub answered. READY is never sent, so no session of ours is replaced by this."""
    ask = "ask the hub's administrator"
    welcome: payloads.Welcome | None = None
    for event in _events(line, session):
        if isinstance(event, Opened):
            welcome = event.welcome
        elif isinstance(event, PeerLeft):
            return doctor.fail("hub", f"{address} refuses this node: {event.end.text}", ask)
        elif isinstance(event, Broken):
            remedy = "another hub answers there, or it has another key: compare node.hub with its address"
            return doctor.fail("hub", f"{address}: {event.code}: {event.text}", remedy)
    if welcome is None:
        return doctor.fail("hub", f"{address} hangs up: is this node known there?", ask)
    skew_s = welcome.now_ms / 1000 - time.time()
    text = f"{address} answers as {welcome.software}, its clock is {skew_s:+.1f} s from ours"
    if abs(skew_s) > CLOCK_WARNING_S:
        return doctor.warn("hub", text, "set this machine's clock (chronyc tracking)")
    return doctor.ok("hub", text)


def _events(line: socket.socket, session: LinkSession) -> Iterator[LinkEvent]:
    """Yield what the hub says until it has nothing more to say: whoever is refused is told after WELCOME."""
    while True:
        try:
            data = line.recv(READ_BYTES)
        except TimeoutError:
            return
        if not data:
            return
        for event in session.receive(data):
            yield event
            if isinstance(event, Opened):
                line.settimeout(MORE_S)


def _outbox(connection: Connection) -> Finding:
    query = select(func.count(), func.min(outbox.c.created_ms)).where(outbox.c.state == int(State.QUEUED))
    count, first_ms = connection.execute(query).one()
    if not count:
        return doctor.ok("outbox", "nothing waits for the hub")
    age_s = time.time() - first_ms / 1000
    text = f"{count} messages wait for the hub, the oldest for {lasting(age_s)}"
    return doctor.oldest("outbox", text, age_s, "is the hub reachable? see above")


def _inbox(connection: Connection) -> Finding:
    query = select(func.count(), func.min(inbox.c.received_ms)).where(inbox.c.state == int(State.DELIVERED))
    count, first_ms = connection.execute(query).one()
    if not count:
        return doctor.ok("inbox", "nothing waits for an application")
    age_s = time.time() - first_ms / 1000
    text = f"{count} messages wait to be taken here, the oldest for {lasting(age_s)}"
    return doctor.oldest("inbox", text, age_s, "does the local system take its messages? wasl-node inbox")


def _alarms(connection: Connection) -> Finding:
    latest = facts.latest_alarms(connection, 1)
    if not latest or time.time() - latest[0][0] / 1000 > doctor.DAY_S:
        return doctor.ok("alarms", "none in the last day")
    at_ms, code, text = latest[0]
    when = lasting(time.time() - at_ms / 1000)
    return doctor.warn("alarms", f"{code}, {when} ago: {text}", "docs/delivery.md explains each code")
