"""``python -m benchmarks peers``: the hub and a node's MLLP gateway beside others of their kind, in turn.

The brokers do the hub's work: 1 KiB messages from senders to receivers, each confirmed to its sender and
acknowledged by its receiver. All clients are Python's and share one processor; each broker has the other one.
So a rate may be the client's limit rather than the broker's; CPU a message is the broker's alone.
python-hl7's server answers the same HL7 messages as a node's gateway, which commits each before it does. What
is not installed is skipped:

    apt-get install nats-server rabbitmq-server mosquitto
    pip install nats-py aio-pika paho-mqtt hl7
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from benchmarks.brokers import PAIRS, Broker, JetStream, Mosquitto, RabbitMq, library
from benchmarks.compare import interleaved, ratio
from benchmarks.hub import Load, connect
from benchmarks.light import MESSAGE_BYTES
from benchmarks.mllp import Count
from benchmarks.mllp import measure as measure_mllp
from benchmarks.place import HUB_CORE, LOAD_CORE, Daemon, Place, free_ports, make_hub, make_nodes, percentile
from benchmarks.processes import Server, Skipped

MESSAGES = 10_000
WARM_UP = 1_000
UNDER_WAY = 24
STEADY_RATE = 200
STEADY_S = 5.0
ROUNDS = 3
PATIENCE_S = 300.0
MLLP_CONNECTIONS = (1, 64)
MLLP_S = 4.0
OURS = "wasl-hub"
OUR_GATEWAY = "wasl-node-mllp"
PYTHON_HL7 = "python-hl7-mllp"
_NUMBER_BYTES = 8


@dataclass(frozen=True, slots=True)
class Figure:
    """One round of one side."""

    messages_per_s: float
    p50_ms: float
    p99_ms: float
    cpu_us: float


@dataclass(frozen=True, slots=True)
class Size:
    """How much a round does."""

    messages: int
    steady_s: float
    mllp_s: float


# ── brokers ────────────────────────────────────────────────────────────────────────────────


class BrokerLoad:
    """Sends numbered messages through a broker and notes when each has come."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        broker.arrived = self._arrived
        self._came_s: dict[int, float] = {}
        self._padding = secrets.token_bytes(MESSAGE_BYTES - _NUMBER_BYTES)
        self._all_there = asyncio.Event()
        self._expected = 0

    def _arrived(self, body: bytes) -> None:
        self._came_s[int.from_bytes(body[:_NUMBER_BYTES], "big")] = time.perf_counter()
        if len(self._came_s) >= self._expected:
            self._all_there.set()

    def _begin(self, expected: int) -> None:
        self._came_s.clear()
        self._all_there.clear()
        self._expected = expected

    async def _send(self, number: int) -> None:
        await self._broker.send(number % PAIRS, number.to_bytes(_NUMBER_BYTES, "big") + self._padding)

    async def burst(self, messages: int) -> float:
        """Send so many as fast as they are confirmed; returns the seconds until all have come."""
        self._begin(messages)
        numbers = iter(range(messages))

        async def one() -> None:
            for number in numbers:
                await self._send(number)

        began_s = time.perf_counter()
        await asyncio.gather(*(one() for _ in range(PAIRS * UNDER_WAY)))
        await asyncio.wait_for(self._all_there.wait(), PATIENCE_S)
        return time.perf_counter() - began_s

    async def steady(self, rate: int, seconds: float) -> list[float]:
        """Send at a steady rate; returns each message's milliseconds to its receiver."""
        count = int(rate * seconds)
        self._begin(count)
        sent_s: list[float] = []
        tasks: list[asyncio.Task[None]] = []
        began_s = time.perf_counter()
        for number in range(count):
            await asyncio.sleep(max(0.0, began_s + number / rate - time.perf_counter()))
            sent_s.append(time.perf_counter())
            tasks.append(asyncio.create_task(self._send(number)))
        await asyncio.gather(*tasks)
        await asyncio.wait_for(self._all_there.wait(), PATIENCE_S)
        return [(self._came_s[number] - began) * 1000 for number, began in enumerate(sent_s)]


async def _measured(
    burst: Callable[[int], Awaitable[float]],
    steady: Callable[[int, float], Awaitable[list[float]]],
    cpu_s: Callable[[], float],
    size: Size,
) -> Figure:
    await burst(min(WARM_UP, size.messages))
    before_s = cpu_s()
    seconds = await burst(size.messages)
    used_s = cpu_s() - before_s
    times_ms = await steady(STEADY_RATE, size.steady_s)
    return Figure(
        round(size.messages / seconds),
        round(percentile(times_ms, 50), 2),
        round(percentile(times_ms, 99), 2),
        round(used_s / size.messages * 1e6, 1),
    )


class Brokers:
    """Runs each broker anew for each of its rounds: none rests on another's processor."""

    def __init__(self, folder: Path, size: Size) -> None:
        self._folder = folder
        self._size = size
        self._runs = 0
        self.durable: dict[str, str] = {OURS: "yes"}

    def _fresh(self) -> Path:
        self._runs += 1
        return self._folder / f"run{self._runs}"

    def round(self, make: Callable[[Path], Broker]) -> Figure:
        """Run one round of a broker; raises Skipped."""
        return asyncio.run(self._round(make(self._fresh())))

    async def _round(self, broker: Broker) -> Figure:
        try:
            await broker.open()
            self.durable[broker.name] = broker.durable
            load = BrokerLoad(broker)
            return await _measured(load.burst, load.steady, lambda: broker.server.cpu_s, self._size)
        finally:
            await broker.close()

    def ours(self) -> Figure:
        """Run one round of the hub, its senders and receivers as light as the brokers' clients."""
        names = [f"{role}{n}" for role in "sr" for n in range(PAIRS)]
        place = make_hub(self._fresh(), names)
        with Daemon.of_hub(place, core=HUB_CORE) as daemon:
            return asyncio.run(self._ours(place, daemon))

    async def _ours(self, place: Place, daemon: Daemon) -> Figure:
        load = Load(place, PAIRS)
        await connect(place, [*load.receivers, *load.senders])

        async def burst(messages: int) -> float:
            load.forget()
            return await load.saturate(messages, UNDER_WAY)

        async def steady(rate: int, seconds: float) -> list[float]:
            load.forget()
            return await load.steady(rate, seconds)

        return await _measured(burst, steady, lambda: daemon.cpu_s, self._size)


# ── MLLP ───────────────────────────────────────────────────────────────────────────────────

_HL7_SERVER = """
import asyncio, sys
import hl7.mllp

async def serve(reader, writer):
    try:
        while True:
            message = await reader.readmessage()
            writer.writemessage(message.create_ack())
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()

async def main():
    async with await hl7.mllp.start_hl7_server(serve, host="127.0.0.1", port=int(sys.argv[1])) as server:
        await server.serve_forever()

asyncio.run(main())
"""


def _mllp_round(port: int, connections: int, process: Daemon | Server, seconds: float) -> Figure:
    count = Count()
    before_s = process.cpu_s
    rate, times_s = asyncio.run(measure_mllp(port, connections, count, ("chu-a", "chu-b"), seconds))
    return Figure(
        round(rate),
        round(percentile(times_s, 50) * 1000, 2),
        round(percentile(times_s, 99) * 1000, 2),
        round((process.cpu_s - before_s) / count.number * 1e6, 1),
    )


def mllp_rounds(folder: Path, size: Size, rounds: int) -> dict[str, dict[str, list[Figure]]]:
    """Run a node's gateway and python-hl7's server in turn, for each number of connections."""
    library("hl7.mllp", "hl7")
    (port,) = free_ports(1)
    with ExitStack() as running:
        _, (node, _other) = make_nodes(folder, ("chu-a", "chu-b"))
        ours = running.enter_context(Daemon.of_node(node, core=HUB_CORE))
        program = [sys.executable, "-W", "ignore", "-c", _HL7_SERVER, str(port)]
        theirs = running.enter_context(Server.running(program, port, core=HUB_CORE))
        figures = {}
        for connections in MLLP_CONNECTIONS:
            sides = {
                OUR_GATEWAY: partial(_mllp_round, node.mllp, connections, ours, size.mllp_s),
                PYTHON_HL7: partial(_mllp_round, port, connections, theirs, size.mllp_s),
            }
            figures[f" ({connections} connections)"] = interleaved(sides, rounds)
        return figures


# ── the comparison ─────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Row:
    """One side over all rounds; ``ours_to_theirs`` compares the rates."""

    peer: str
    durable: str
    messages_per_s: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    ours_to_theirs: str


def rows_of(
    figures: dict[str, list[Figure]], ours: str, durable: dict[str, str], suffix: str = ""
) -> list[Row]:
    """Return the medians of each side, and how ours compares round by round."""
    our_rates = [figure.messages_per_s for figure in figures[ours]]

    def median(each: Sequence[float]) -> float:
        return round(statistics.median(each), 2)

    return [
        Row(
            name + suffix,
            durable.get(name, ""),
            median([figure.messages_per_s for figure in each]),
            median([figure.p50_ms for figure in each]),
            median([figure.p99_ms for figure in each]),
            median([figure.cpu_us for figure in each]),
            "" if name == ours else str(ratio(our_rates, [figure.messages_per_s for figure in each])),
        )
        for name, each in figures.items()
    ]


MAKERS: dict[str, Callable[[Path], Broker]] = {
    "nats-jetstream": JetStream,
    "rabbitmq-quorum": RabbitMq,
    "mosquitto-qos1": lambda folder: Mosquitto(folder, 1),
    "mosquitto-qos2": lambda folder: Mosquitto(folder, 2),
}


def measure(folder: Path, size: Size, rounds: int, wanted: Sequence[str]) -> tuple[list[Row], list[str]]:
    """Run all that is installed; returns the rows and what was skipped."""
    brokers = Brokers(folder, size)
    skipped: list[str] = []
    sides: dict[str, Callable[[], Figure]] = {OURS: brokers.ours}
    for name in wanted:
        if name not in MAKERS:
            continue
        try:
            asyncio.run(_try(MAKERS[name](folder / f"try-{name}")))
            sides[name] = partial(brokers.round, MAKERS[name])
        except Skipped as reason:
            skipped.append(f"{name}: {reason}")
    rows = rows_of(interleaved(sides, rounds), OURS, brokers.durable)
    if PYTHON_HL7 in wanted:
        durable = {OUR_GATEWAY: "yes", PYTHON_HL7: "stores nothing"}
        try:
            for suffix, figures in mllp_rounds(folder / "mllp", size, rounds).items():
                rows += rows_of(figures, OUR_GATEWAY, durable, suffix)
        except Skipped as reason:
            skipped.append(f"{PYTHON_HL7}: {reason}")
    return rows, skipped


async def _try(broker: Broker) -> None:
    try:
        await broker.open()
    finally:
        await broker.close()


def main(arguments: Sequence[str]) -> int:
    """Measure and print."""
    names = (*MAKERS, PYTHON_HL7)
    parser = argparse.ArgumentParser(prog="python -m benchmarks peers", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--json", action="store_true", help="print one object")
    parser.add_argument("--messages", type=int, default=MESSAGES, help="messages in each burst")
    parser.add_argument("--steady-s", type=float, default=STEADY_S, help=f"seconds at {STEADY_RATE} a second")
    parser.add_argument("--mllp-s", type=float, default=MLLP_S, help="seconds of each MLLP round")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--peers", nargs="*", default=list(names), choices=names)
    options = parser.parse_args(arguments)
    os.sched_setaffinity(0, {LOAD_CORE})
    size = Size(options.messages, options.steady_s, options.mllp_s)
    with tempfile.TemporaryDirectory(prefix="wasl-bench-") as folder:
        rows, skipped = measure(Path(folder), size, options.rounds, options.peers)
    if options.json:
        print(json.dumps({"rows": [asdict(row) for row in rows], "skipped": skipped}))
        return 0
    print(f"{'':<34}{'messages/s':>12}{'p50 ms':>9}{'p99 ms':>9}{'CPU us':>9}   ours to theirs       durable")
    for row in rows:
        print(
            f"{row.peer:<34}{row.messages_per_s:>12,.0f}{row.p50_ms:>9}{row.p99_ms:>9}{row.cpu_us:>9}"
            f"   {row.ours_to_theirs:<20} {row.durable}"
        )
    for text in skipped:
        print(f"skipped {text}")
    return 0
