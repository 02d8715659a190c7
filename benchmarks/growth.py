"""``python -m benchmarks growth``: what a message costs at hubs that saw many, or know many facilities.

A hub's database is filled with messages that were delivered and told, each with its ledger row and its event,
and with a queue that waits for a facility which is away. Then the same work is done at each size: SQL by
itself, in batches, each kind of statement timed; and a hub process under load, for its CPU a message. A cost
is flat if it stays below ``FLAT`` times what it was at the smallest size.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, event

from benchmarks.hub import Load, connect
from benchmarks.light import MESSAGE_BYTES, now_ms
from benchmarks.place import HUB_CORE, LOAD_CORE, Daemon, Place, make_hub
from hub import home as hub_home
from hub.audit import messages
from hub.spool import ageing, store, tracking
from hub.spool.ageing import Presence
from hub.spool.store import Entry, News
from nodes.link.ids import new_id
from protocols.link.envelope import State
from runtime.database import open_engine, transact
from runtime.transactions import close_engine

LEDGERS = (1_000, 100_000, 1_000_000)
LARGEST_LEDGER = 10_000_000
FACILITIES = (100, 1_000, 10_000)
LEDGER_OF_FACILITIES = 100_000
"""Messages in the ledger while the number of facilities changes."""
WAITING_SHARE = 10
"""One message in so many waits for a facility that is away, up to ``WAITING_MOST``."""
WAITING_MOST = 100_000
RECEIPT_BYTES = 300
FILL_ROWS = 20_000
BATCH = 100
BATCHES = 15
PAIRS = 10
MESSAGES = 4_000
UNDER_WAY = 24
FLAT = 1.5
AWAY = "away"
_DAY_MS = 86_400_000
_HUB = 1
_TABLES = ("ledger", "spool", "events")


# ── filling ────────────────────────────────────────────────────────────────────────────────


def fill(place: Place, ledger_rows: int) -> None:
    """Bring the ledger up to ``ledger_rows``, past all that is promised: a power cut would spoil it."""
    with closing(sqlite3.connect(place.home / hub_home.DATABASE)) as db:
        db.execute("PRAGMA synchronous=OFF")
        db.execute("PRAGMA cache_size=-262144")
        there = db.execute("SELECT count(*) FROM ledger").fetchone()[0]
        waiting = min(ledger_rows // WAITING_SHARE, WAITING_MOST)
        waiting -= db.execute("SELECT count(*) FROM spool").fetchone()[0]
        # A message has one number in all three tables, and there are more events than messages.
        last = max(_last(db, name) for name in _TABLES)
        rows = _messages(place, ledger_rows - there, last)
        while page := list(islice(rows, FILL_ROWS)):
            _fill_page(db, page, max(0, waiting))
            waiting -= len(page)
        for name in _TABLES:
            db.execute(
                "INSERT INTO numbers (name, last) VALUES (?, ?)"
                " ON CONFLICT (name) DO UPDATE SET last = max(last, excluded.last)",
                (name, _last(db, name)),
            )
        db.execute(
            "INSERT INTO cursors (facility, events_taken) SELECT facility, max(seq) FROM events WHERE true"
            " GROUP BY facility ON CONFLICT (facility) DO UPDATE SET events_taken = excluded.events_taken"
        )
        db.commit()
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    _take_into_log(place)


def _take_into_log(place: Place) -> None:
    """Take everything into the audit log: the hub would do it while it is measured."""
    engine = open_engine(f"sqlite:///{place.home / hub_home.DATABASE}")
    while batch := transact(engine, messages.gather):
        transact(engine, partial(messages.enter, batch=batch, root=batch.root, now_ms=now_ms()))
    close_engine(engine)


def _last(db: sqlite3.Connection, table: str) -> int:
    given = db.execute("SELECT last FROM numbers WHERE name = ?", (table,)).fetchone()
    return max(given[0] if given else 0, db.execute(f"SELECT max(seq) FROM {table}").fetchone()[0] or 0)


def _messages(place: Place, count: int, last: int) -> Iterator[tuple[int, bytes, str, str]]:
    """Yield the number, id, sender and recipient of messages, over all facilities."""
    names = [member.facility for member in place.members if member.facility != AWAY]
    moment_ms = now_ms() - _DAY_MS
    for number in range(1, count + 1):
        identifier = (moment_ms + number // 50).to_bytes(6, "big") + secrets.token_bytes(10)
        yield last + number, identifier, names[number % len(names)], names[(number * 7 + 1) % len(names)]


def _fill_page(db: sqlite3.Connection, page: Sequence[tuple[int, bytes, str, str]], waiting: int) -> None:
    moment_ms = now_ms()
    db.executemany(
        "INSERT INTO ledger (seq, id, facility, digest, sender, recipients, kind, priority, size, files,"
        " accepted_ms, expires_ms) VALUES (?, ?, ?, ?, ?, ?, 'ORU^R01', 0, 1024, 0, ?, ?)",
        [
            (seq, one, sender, secrets.token_bytes(32), f"box@{sender}", f"box@{other}", moment_ms,
             moment_ms + 5 * _DAY_MS)
            for seq, one, sender, other in page
        ],
    )  # fmt: skip
    db.executemany(
        "INSERT INTO spool (seq, facility, priority, recipient, sender, id, files, accepted_ms, due_ms,"
        " expires_ms, message) VALUES (?, ?, 0, ?, ?, ?, 0, ?, ?, ?, ?)",
        [
            (seq, AWAY, f"box@{AWAY}", f"box@{sender}", one, moment_ms, moment_ms + 4 * _DAY_MS,
             moment_ms + 5 * _DAY_MS, secrets.token_bytes(MESSAGE_BYTES))
            for seq, one, sender, _ in page[:waiting]
        ],
    )  # fmt: skip
    db.executemany(
        "INSERT INTO events (seq, facility, id, recipient, state, code, at_ms, receipt)"
        " VALUES (?, ?, ?, ?, ?, '', ?, ?)",
        [
            (seq, sender, one, f"box@{other}", int(State.DELIVERED), moment_ms,
             secrets.token_bytes(RECEIPT_BYTES))
            for seq, one, sender, other in page[waiting:]
        ],
    )  # fmt: skip
    db.commit()


# ── SQL alone ──────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Step:
    """One kind of work on ``count`` messages; ``run`` is timed with its commit."""

    name: str
    count: int
    run: Callable[[Connection], object]


def _entries(sender: str, recipient: str) -> list[Entry]:
    moment_ms = now_ms()
    return [
        Entry(
            id=new_id(moment_ms), facility=sender, digest=secrets.token_bytes(32), sender=f"box@{sender}",
            recipients=f"box@{recipient}", kind="ORU^R01", priority=0, size=MESSAGE_BYTES, files=0,
            expires_ms=moment_ms + 5 * _DAY_MS, due_ms=moment_ms + 4 * _DAY_MS,
            message=secrets.token_bytes(MESSAGE_BYTES), deliveries=(f"box@{recipient}",), returns=(),
        )
        for _ in range(BATCH)
    ]  # fmt: skip


def _news(entry: Entry, state: State) -> News:
    (recipient,) = entry.deliveries
    return News(
        0, entry.facility, entry.id, recipient, state, "", now_ms(), secrets.token_bytes(RECEIPT_BYTES)
    )


def _life(sender: str, recipient: str) -> Iterator[Step]:
    """Yield the SQL of one batch of messages, from SUBMIT to the receipts of applications."""
    entries = _entries(sender, recipient)
    pairs = [(entry.id, entry.deliveries[0]) for entry in entries]
    yield Step("accept", BATCH, lambda c: store.accept(c, entries, now_ms()))
    yield Step("repeat", BATCH, lambda c: store.accept(c, entries, now_ms()))
    found: list[Any] = []
    yield Step("queue", BATCH, lambda c: found.extend(store.queue(c, recipient, 0, 0, BATCH)))
    yield Step("early_receipts", BATCH, lambda c: store.may_speak_of(c, pairs))
    answers = [(row.seq, _news(entry, State.DELIVERED)) for row, entry in zip(found, entries, strict=True)]
    yield Step("conclude", BATCH, lambda c: store.conclude(c, answers))
    told: list[News] = []
    taken: list[int] = []

    def tell(connection: Connection) -> None:
        taken.append(store.events_taken(connection, sender))
        told.extend(store.news_for(connection, sender, taken[0], 10 * BATCH))

    yield Step("news", BATCH, tell)
    yield Step("cursor", BATCH, lambda c: store.read_up_to(c, {sender: told[-1].seq}))
    yield Step("receipts", BATCH, lambda c: store.may_speak_of(c, pairs))
    processed = [_news(entry, State.PROCESSED) for entry in entries]
    yield Step("receipts_kept", BATCH, lambda c: store.add_events(c, processed))
    yield Step("track", 1, lambda c: tracking.track(c, entries[0].id))


def _rounds(facilities: Sequence[str]) -> Iterator[Step]:
    """Yield what a hub does every few seconds, and when nodes come back; a step counts as one."""
    moment_ms = now_ms()
    came = [Presence(name, connected=True, software="bench") for name in facilities[:BATCH]]
    yield Step("presence", len(came), lambda c: ageing.note_presences(c, came, moment_ms, _HUB))
    yield Step("round_overdue", 1, lambda c: ageing.overdue(c, moment_ms, 500))
    yield Step("round_unwarned", 1, lambda c: ageing.unwarned(c, moment_ms, 500))
    yield Step("round_forget", 1, lambda c: ageing.forget(c, moment_ms - 30 * _DAY_MS, 500))
    yield Step("files_of_message", 1, lambda c: ageing.undelivered_files(c, bytes(16)))


def sql_costs(place: Place, batches: int) -> dict[str, float]:
    """Return microseconds a message of each step, the median of so many batches."""
    names = [member.facility for member in place.members if member.facility != AWAY]
    engine = hub_home.open_database(place.home, hub_home.load_settings(place.home))
    times_us: dict[str, list[float]] = {}
    try:
        for number in range(batches):
            sender, recipient = names[number % len(names)], names[(number + 1) % len(names)]
            for steps in (_life(sender, recipient), _rounds(names)):
                for step in steps:
                    times_us.setdefault(step.name, []).append(_timed(engine, step))
    finally:
        engine.dispose()
    return {name: round(statistics.median(each), 1) for name, each in times_us.items()}


def _timed(engine: Engine, step: Step) -> float:
    began_s = time.perf_counter()
    with engine.begin() as connection:
        step.run(connection)
    return (time.perf_counter() - began_s) / step.count * 1e6


def scans(place: Place) -> list[str]:
    """Return the steps whose plan reads a whole table: ``step: SCAN table``."""
    engine = hub_home.open_database(place.home, hub_home.load_settings(place.home))
    names = [member.facility for member in place.members if member.facility != AWAY]
    found: dict[str, None] = {}
    step_now = ""

    def explain(_connection: object, cursor: Any, statement: str, parameters: Any, *_: object) -> None:
        if statement.lstrip().upper().startswith(("SELECT", "UPDATE", "DELETE", "INSERT")):
            values = parameters[0] if isinstance(parameters, list) else parameters
            plan = cursor.connection.cursor().execute(f"EXPLAIN QUERY PLAN {statement}", values).fetchall()
            for *_numbers, text in plan:
                if text.startswith("SCAN ") and text != "SCAN CONSTANT ROW" and "USING" not in text:
                    found.setdefault(f"{step_now}: {text}")

    event.listen(engine, "before_cursor_execute", explain)
    try:
        for steps in (_life(names[0], names[1]), _rounds(names)):
            for step in steps:
                step_now = step.name
                with engine.begin() as connection:
                    step.run(connection)
    finally:
        engine.dispose()
    return list(found)


# ── a hub under load ───────────────────────────────────────────────────────────────────────


def cpu_us(place: Place, messages: int) -> float:
    """Return microseconds of CPU that a hub process spends on a message."""

    async def measured(daemon: Daemon) -> float:
        load = Load(place, PAIRS)
        await connect(place, [*load.receivers, *load.senders])
        await load.saturate(messages // 4, UNDER_WAY)
        before_s = daemon.cpu_s
        await load.saturate(messages, UNDER_WAY)
        return (daemon.cpu_s - before_s) / messages * 1e6

    with Daemon.of_hub(place, core=HUB_CORE) as daemon:
        return round(asyncio.run(measured(daemon)), 1)


def _row(place: Place, ledger: int, facilities: int, messages: int, batches: int) -> dict[str, Any]:
    fill(place, ledger)
    row: dict[str, Any] = {"ledger": ledger, "facilities": facilities}
    row |= {"hub_cpu_us": cpu_us(place, messages)}
    row |= {f"{name}_us": cost for name, cost in sql_costs(place, batches).items()}
    row["scans"] = scans(place)
    return row


def not_flat(rows: Sequence[dict[str, Any]], flat: float = FLAT) -> list[str]:
    """Name the costs that are higher than ``flat`` times what they were in the first row."""
    first = rows[0]
    return [
        f"{name}: {first[name]} to {row[name]} at {row['ledger']:,} messages and {row['facilities']:,} nodes"
        for row in rows[1:]
        for name in first
        if name.endswith("_us") and row[name] > flat * first[name]
    ]


def measure(
    folder: Path, ledgers: Sequence[int], facilities: Sequence[int], messages: int, batches: int
) -> dict[str, Any]:
    """Climb both ladders."""
    place = _place(folder / "ledger", facilities[0])
    by_ledger = [_row(place, ledger, facilities[0], messages, batches) for ledger in ledgers]
    ledger = min(LEDGER_OF_FACILITIES, ledgers[-1])
    by_facilities = [
        _row(_place(folder / f"of{count}", count), ledger, count, messages, batches) for count in facilities
    ]
    return {
        "by_ledger": by_ledger,
        "by_facilities": by_facilities,
        "not_flat": [*not_flat(by_ledger), *not_flat(by_facilities)],
    }


def _place(home: Path, facilities: int) -> Place:
    names = [f"s{n:05}" for n in range(facilities - facilities // 2)]
    names += [f"r{n:05}" for n in range(facilities // 2)]
    # ``Load`` pairs the first members; who is away comes last.
    return make_hub(home, [*names[:PAIRS], *names[-PAIRS:], *names[PAIRS:-PAIRS], AWAY])


def _show(rows: Sequence[dict[str, Any]]) -> None:
    names = [name for name in rows[0] if name != "scans"]
    for name in names:
        print(f"{name:<22}" + "".join(f"{row[name]:>14,}" for row in rows))
    for row in rows[-1:]:
        for text in row["scans"]:
            print(f"reads a whole table: {text}")
    print()


def main(arguments: Sequence[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks growth", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one object")
    parser.add_argument(
        "--largest", action="store_true", help=f"climb to {LARGEST_LEDGER:,} messages: 8 GB of disk"
    )
    parser.add_argument("--ledger", type=int, nargs="+", default=list(LEDGERS), help="messages in the ledger")
    parser.add_argument("--facilities", type=int, nargs="+", default=list(FACILITIES))
    parser.add_argument(
        "--messages", type=int, default=MESSAGES, help="messages through the hub at each size"
    )
    parser.add_argument("--batches", type=int, default=BATCHES, help=f"of {BATCH}, for each SQL step")
    parser.add_argument("--folder", type=Path, help="where to work, if the largest does not fit into /tmp")
    options = parser.parse_args(arguments)
    os.sched_setaffinity(0, {LOAD_CORE})
    ledgers = [*options.ledger, *([LARGEST_LEDGER] if options.largest else [])]
    with tempfile.TemporaryDirectory(prefix="wasl-bench-", dir=options.folder) as folder:
        result = measure(Path(folder), ledgers, options.facilities, options.messages, options.batches)
    if options.json:
        print(json.dumps(result))
        return 0
    _show(result["by_ledger"])
    _show(result["by_facilities"])
    for text in result["not_flat"]:
        print(f"not flat: {text}")
    return 0
