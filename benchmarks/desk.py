"""``python -m benchmarks desk``: how long the desk's pages take with many patients and messages.

A node's home is filled by SQL (``--messages`` in the inbox of one department, a fifth as many sent,
``--patients``), the desk's lists catch up with it, and its pages are asked in this process, one after the
other, without a network: what is measured is the server's part.
"""

from __future__ import annotations

import argparse
import re
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import msgspec
from flask.testing import FlaskClient
from sqlalchemy import Connection, Engine, insert

from config.node import NodeSettings
from crypto.primitives import blake2b
from nodes import home as node_home
from nodes.care.patients.tables import numbers, patients
from nodes.desk import catching, departments, people
from nodes.desk.app import create_app
from nodes.desk.context import Desk
from nodes.desk.people import NewUser
from nodes.desk.table import HERE, ROOMS
from nodes.link import inbox as inbox_store
from nodes.link.ids import new_id
from nodes.link.tables import addressbook, inbox, outbox, outbox_recipients
from protocols.link.entries import Mailbox
from protocols.link.envelope import State
from runtime import migrations
from runtime.clock import ReactorClock
from runtime.transactions import transact
from runtime.web.passwords import Passwords
from runtime.web.site import SitePlan

FACILITY: Final = "chu-alger"
PASSWORD: Final = "only for measuring"
NAMES: Final = ("BENSAMPLE", "TESTAOUI", "DEMOUCHE", "EXEMPLI", "MODELI", "ESSAIDI", "PROBANDI", "MUSTERI")
PAGE: Final = 5_000
TARGET_MS: Final = 200


def main(arguments: list[str]) -> int:
    """Fill a desk, ask its pages, print a table; 1 if a page's p95 is over the target."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks desk")
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--patients", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as directory:
        engine = _filled(Path(directory), options.messages, options.patients)
        client = _signed_in(Path(directory), engine)
        slow = [path for path in _paths() if _measure(client, path, options.rounds) > TARGET_MS]
        engine.dispose()
    return 1 if slow else 0


def _paths() -> list[str]:
    return [
        "/d/cardio", "/d/cardio?view=unread", "/d/cardio?view=archive", "/d/cardio?q=exempli",
        "/d/cardio?q=nothing", "/d/cardio?patient=D-77", "/d/cardio?sender=chu-oran&files=1", "/m/77",
        "/d/cardio/sent", "/d/cardio/sent?view=back", "/d/cardio/day",
        "/patients?q=exempli+a77", "/patients?q=9999000000000077",
    ]  # fmt: skip


def _measure(client: FlaskClient, path: str, rounds: int) -> float:
    """Ask a page so often, print its times, and return its p95 in ms."""
    took = []
    for _ in range(rounds):
        began = time.perf_counter()
        answer = client.get(path, base_url="http://localhost")
        took.append((time.perf_counter() - began) * 1000)
        assert answer.status_code == 200, (path, answer.status_code)
    p95 = sorted(took)[int(len(took) * 0.95)]
    print(f"{path[:44]:<46} p50 {statistics.median(took):7.1f} ms   p95 {p95:7.1f} ms")
    return p95


def _filled(home: Path, messages: int, persons: int) -> Engine:
    engine = node_home.open_database(home)
    migrations.upgrade(engine, "nodes")
    began = time.perf_counter()
    transact(engine, _directory)
    for first in range(0, messages, PAGE):
        transact(engine, lambda c, at=first: _arrive(c, at, min(PAGE, messages - at)))  # type: ignore[misc]  # bound now
    transact(engine, lambda c: _send(c, messages // 5))
    transact(engine, lambda c: _enter(c, persons))
    filled = time.perf_counter()
    catching.catch_up(engine, home)
    ended = time.perf_counter()
    print(f"{messages} messages, {persons} patients: {filled - began:.0f} s, lists {ended - filled:.0f} s")
    return engine


def _directory(connection: Connection) -> None:
    for name, boxes in ((FACILITY, ("cardio", "labo")), ("chu-oran", ("cardio", "labo"))):
        packed = msgspec.msgpack.encode([Mailbox(box) for box in boxes])
        connection.execute(
            insert(addressbook).values(
                name=name, is_group=False, version=1, title=name.upper(), active=True, serial=1, revoked=0,
                statement=b"", earlier=b"", mailboxes=packed, kind="", wilaya=0,
            )
        )  # fmt: skip


def _arrive(connection: Connection, first: int, count: int) -> None:
    """Lay messages into the inbox; of a hundred, all but the newest thousand were taken long ago."""
    now_ms = time.time_ns() // 1_000_000
    rows = []
    for number in range(first, first + count):
        identifier, sender = new_id(now_ms), ("labo@chu-oran", "cardio@chu-oran")[number % 2]
        patient, subject = f"D-{number % 10_000}", f"{NAMES[number % 8]} A{number % 10_000}"
        body = (
            f"MSH|^~\\&|labo|chu-oran|cardio|{FACILITY}|20260101||ORU^R01|{number}|P|2.5\rPID|1||{patient}\r"
        )
        recipient, raw = f"cardio@{FACILITY}", body.encode()
        rows.append({
            "id": identifier, "sender": sender, "recipient": recipient, "digest": bytes(32),
            "kind": "ORU^R01",
            "priority": int(number % 50 == 0), "subject": subject, "patient": patient, "key": "", "body": raw,
            "body_path": None, "body_digest": None, "created_ms": now_ms, "received_ms": now_ms - number,
            "content_digest": inbox_store.content_digest(
                identifier, sender, recipient, "ORU^R01", subject, patient, "", blake2b(raw)
            ),
            "state": int(State.PROCESSED if number % 100 else State.DELIVERED), "handed_ms": None, "code": "",
            "receipt": b"", "conclusion": None, "concluded_ms": None,
        })  # fmt: skip
    connection.execute(insert(inbox), rows)


def _send(connection: Connection, count: int) -> None:
    now_ms = time.time_ns() // 1_000_000
    rows: list[dict[str, Any]] = [
        {
            "seq": number, "id": new_id(now_ms), "key": None, "put_digest": b"",
            "sender": f"cardio@{FACILITY}",
            "kind": "MDM^T02", "priority": 0, "subject": f"{NAMES[number % 8]} A{number}", "patient": "",
            "envelope": b"", "sealed": b"", "content_key": b"", "digest": b"", "files_total": 0,
            "created_ms": now_ms - number, "expires_ms": now_ms + 86_400_000, "state": 1,
            "settled": number % 200 != 0,
        }
        for number in range(1, count + 1)
    ]  # fmt: skip
    connection.execute(insert(outbox), rows)
    copies = [
        {"outbox_seq": row["seq"], "recipient": "labo@chu-oran", "code": "", "at_ms": now_ms, "detail": b"",
         "receipt": b"", "state": int(State.PROCESSED if row["settled"] else State.DELIVERED)}
        for row in rows
    ]  # fmt: skip
    connection.execute(insert(outbox_recipients), copies)


def _enter(connection: Connection, count: int) -> None:
    rows, held = [], []
    for number in range(count):
        identifier, family, nin = new_id(number), NAMES[number % 8], f"9999{number:014}"
        words = f" {family.lower()} a{number} {nin} d-{number}"
        rows.append({
            "id": identifier, "family": family, "given": f"A{number}", "sex": "F", "born": "1978-04-12",
            "nin": nin, "words": words, "created_ms": 0, "created_by": "",
        })  # fmt: skip
        held.append({"authority": FACILITY, "value": f"D-{number}", "patient": identifier})
    connection.execute(insert(patients), rows)
    connection.execute(insert(numbers), held)


def _signed_in(home: Path, engine: Engine) -> FlaskClient:
    from twisted.internet import reactor  # noqa: PLC0415 - only its clock

    loop: Any = reactor
    plan = SitePlan(
        name="desk", secret=b"s" * 32, zone="Africa/Algiers", templates=HERE / "templates",
        translations=HERE / "translations", rooms=(HERE, *ROOMS),
    )  # fmt: skip
    desk = Desk(
        engine, plan, ReactorClock(loop), Passwords(), poke=lambda: False, settings=NodeSettings(),
        facility=FACILITY, home=home,
    )  # fmt: skip
    new = NewUser("amina", "Dr Amina", "clinician", desk.passwords.hash("amina", PASSWORD))
    transact(engine, lambda c: people.add(c, new, actor="cli:benchmark", now_ms=0))
    wanted, known = {"cardio"}, ("cardio", "labo")
    transact(
        engine,
        lambda c: departments.set_membership(c, "amina", wanted, known, actor="cli:benchmark", now_ms=0),
    )
    client = create_app(desk).test_client()
    page = client.get("/sign-in", base_url="http://localhost").text
    token = re.findall(r'name="csrf_token" value="([^"]+)"', page)[0]
    form = {"name": "amina", "password": PASSWORD, "csrf_token": token}
    assert client.post("/sign-in", data=form, base_url="http://localhost").status_code == 303
    return client
