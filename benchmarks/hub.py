"""``python -m benchmarks hub``: durable messages a second through one hub process on one core.

Fifty senders and fifty receivers in one process on another core; a message counts when its sender has heard
ACCEPTED and, after the recipient's TAKEN was committed, that it is delivered. The floor, in the same run and
on the hub's core, is what SQLite alone does: one row of that size, 1,000 in a commit, WAL and FULL.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from benchmarks.light import MESSAGE_BYTES, LightNode, Receiver, Sender
from benchmarks.place import HUB_CORE, LOAD_CORE, Daemon, Place, make_hub, percentile

PAIRS = 50
UNDER_WAY = 24
SATURATION_MESSAGES = 100_000
WARM_UP_MESSAGES = 10_000
STEADY_RATE = 200
STEADY_S = 8.0
FLOOR_ROWS_A_COMMIT = 1_000
FLOOR_S = 2.0
PATIENCE_S = 120.0


@dataclass(frozen=True, slots=True)
class Result:
    """What was measured; times are from SUBMIT until the recipient has the message."""

    durable_messages_per_s: float
    floor_rows_per_s: float
    fraction_of_floor: float
    cpu_us_per_message: float
    p50_ms_at_200: float
    p99_ms_at_200: float
    accepted_p99_ms_at_200: float
    p50_ms_at_saturation: float
    p99_ms_at_saturation: float
    hub_mib: float


def floor(seconds: float = FLOOR_S) -> float:
    """Return rows a second of SQLite alone, on the hub's core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {HUB_CORE})
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            closing(sqlite3.connect(Path(folder) / "floor.db")) as db,
        ):
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=FULL")
            db.execute("CREATE TABLE row (seq INTEGER PRIMARY KEY, body BLOB)")
            rows = [(os.urandom(MESSAGE_BYTES),) for _ in range(FLOOR_ROWS_A_COMMIT)]
            began_s, commits = time.perf_counter(), 0
            while time.perf_counter() - began_s < seconds:
                db.execute("BEGIN")
                db.executemany("INSERT INTO row (body) VALUES (?)", rows)
                db.execute("COMMIT")
                commits += 1
            return commits * FLOOR_ROWS_A_COMMIT / (time.perf_counter() - began_s)
    finally:
        os.sched_setaffinity(0, before)


async def connect(place: Place, nodes: Sequence[LightNode]) -> None:
    """Open a session for each node."""
    loop = asyncio.get_running_loop()
    for node in nodes:
        await loop.create_connection(partial(_same, node), "127.0.0.1", place.port)
        await node.opened


def _same(node: LightNode) -> LightNode:
    return node


class Load:
    """The senders and receivers."""

    def __init__(self, place: Place, pairs: int) -> None:
        members = place.members
        names = [(members[n], members[pairs + n]) for n in range(pairs)]
        self.senders = [Sender(place, one, other.facility) for one, other in names]
        self.receivers = [Receiver(place, other, one.facility) for one, other in names]
        self._left = 0
        self._done: asyncio.Future[None] | None = None
        for sender in self.senders:
            sender.on_delivered = self._delivered

    async def saturate(self, messages: int, under_way: int) -> float:
        """Send so many as fast as the hub takes them; returns the seconds."""
        each = messages // len(self.senders)
        for sender in self.senders:
            sender.queue.extend(sender.letters.make(each))
            sender.under_way = under_way
        began_s = time.perf_counter()
        finished = self._expect(each * len(self.senders))
        for sender in self.senders:
            sender.fill()
        await asyncio.wait_for(finished, PATIENCE_S)
        return time.perf_counter() - began_s

    async def steady(self, rate: int, seconds: float) -> list[float]:
        """Send at a steady rate; returns each message's time to its recipient, in milliseconds."""
        count = int(rate * seconds)
        messages = [
            (sender := self.senders[n % len(self.senders)], sender.letters.make(1)) for n in range(count)
        ]
        finished = self._expect(count)
        sent: list[tuple[int, bytes, float]] = []
        began_s = time.perf_counter()
        for number, (sender, message) in enumerate(messages):
            delay_s = began_s + number / rate - time.perf_counter()
            if delay_s > 0:
                await asyncio.sleep(delay_s)
            sent.append((number % len(self.senders), sender.letters.id_of(message[0]), time.perf_counter()))
            sender.submit(message)
        await asyncio.wait_for(finished, PATIENCE_S)
        return [(self.receivers[n].arrived_s[one] - sent_s) * 1000 for n, one, sent_s in sent]

    def forget(self) -> None:
        """Begin to measure anew."""
        for sender in self.senders:
            sender.accepted_s.clear()
            sender.delivered_s.clear()
        for receiver in self.receivers:
            receiver.arrived_s.clear()

    def _expect(self, count: int) -> asyncio.Future[None]:
        self._left, self._done = count, asyncio.get_running_loop().create_future()
        return self._done

    def _delivered(self, count: int) -> None:
        self._left -= count
        if self._left <= 0 and self._done is not None and not self._done.done():
            self._done.set_result(None)


async def measure(
    place: Place,
    daemon: Daemon,
    *,
    messages: int,
    under_way: int,
    pairs: int,
    warm_up: int = WARM_UP_MESSAGES,
    steady_s: float = STEADY_S,
) -> Result:
    """Run the load; the floor is taken before and after, because these machines change their speed."""
    load = Load(place, pairs)
    await connect(place, [*load.receivers, *load.senders])
    await load.saturate(warm_up, under_way)
    load.forget()
    steady = await load.steady(STEADY_RATE, steady_s)
    accepted = [one for sender in load.senders for one in sender.accepted_s]
    load.forget()
    floors = [floor()]
    cpu_s = daemon.cpu_s
    seconds = await load.saturate(messages, under_way)
    cpu_s = daemon.cpu_s - cpu_s
    full = [one for sender in load.senders for one in sender.delivered_s]
    floors.append(floor())
    rate, lowest = messages / seconds, statistics.mean(floors)
    return Result(
        durable_messages_per_s=round(rate),
        floor_rows_per_s=round(lowest),
        fraction_of_floor=round(rate / lowest, 3),
        cpu_us_per_message=round(cpu_s / messages * 1e6, 1),
        p50_ms_at_200=round(percentile(steady, 50), 2),
        p99_ms_at_200=round(percentile(steady, 99), 2),
        accepted_p99_ms_at_200=round(percentile(accepted, 99) * 1000, 2),
        p50_ms_at_saturation=round(percentile(full, 50) * 1000, 1),
        p99_ms_at_saturation=round(percentile(full, 99) * 1000, 1),
        hub_mib=round(daemon.resident_kib / 1024, 1),
    )


def main(arguments: Sequence[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks hub", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one object")
    parser.add_argument("--messages", type=int, default=SATURATION_MESSAGES)
    parser.add_argument("--under-way", type=int, default=UNDER_WAY, help="messages under way for each sender")
    parser.add_argument("--pairs", type=int, default=PAIRS, help="senders, and as many receivers")
    parser.add_argument("--warm-up", type=int, default=WARM_UP_MESSAGES, help="messages that do not count")
    parser.add_argument("--steady-s", type=float, default=STEADY_S, help=f"seconds at {STEADY_RATE}/s")
    parser.add_argument("--database", help="the hub's database URL; default SQLite in its home")
    parser.add_argument("--wait", action="store_true", help="print the hub's process id, for a profiler")
    options = parser.parse_args(arguments)
    os.sched_setaffinity(0, {LOAD_CORE})
    with tempfile.TemporaryDirectory(prefix="wasl-bench-") as folder:
        names = [*(f"s{n:04}" for n in range(options.pairs)), *(f"r{n:04}" for n in range(options.pairs))]
        place = make_hub(Path(folder) / "hub", names, database=options.database)
        with Daemon.of_hub(place, core=HUB_CORE) as daemon:
            if options.wait:
                print(f"hub process {daemon.pid}", file=sys.stderr)
            work = measure(
                place,
                daemon,
                messages=options.messages,
                under_way=options.under_way,
                pairs=options.pairs,
                warm_up=options.warm_up,
                steady_s=options.steady_s,
            )
            result = asyncio.run(work)
    if options.json:
        print(json.dumps(asdict(result)))
    else:
        for name, value in asdict(result).items():
            print(f"{name:<26} {value:>12,}")
    return 0
