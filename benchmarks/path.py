"""``python -m benchmarks path``: MLLP in, node, hub, node, MLLP out, everything sealed and committed.

Local systems send ORU^R01 of about 1 KiB to sixteen mailboxes; a local system at the other end answers AA. A
message counts when that system has it: by then it was committed in the outbox, the spool and the inbox.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.mllp import END, oru
from benchmarks.place import Daemon, free_ports, make_nodes, percentile

MAILBOXES = tuple(f"box{n}" for n in range(16))
CONNECTIONS = 32
MESSAGES = 6_000
WARM_UP = 500
STEADY_RATE = 100
STEADY_S = 5.0
PATIENCE_S = 300.0
TARGET = 3_000


_ACK = b"\x0bMSH|^~\\&|x|x|x|x|20260101||ACK^R01^ACK|%b|P|2.5.1\rMSA|AA|%b\r"


class LocalSystem:
    """Takes messages over MLLP, answers AA, and notes when each came."""

    def __init__(self) -> None:
        self.came_s: dict[bytes, float] = {}

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        try:
            while True:
                frame = await reader.readuntil(END)
                control = frame.split(b"|", 10)[9]
                self.came_s[control] = time.perf_counter()
                writer.write(
                    b"\x0bMSH|^~\\&|x|x|x|x|20260101||ACK^R01^ACK|"
                    + control
                    + b"|P|2.5.1\rMSA|AA|"
                    + control
                    + b"\r"
                    + END
                )
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            writer.close()


class Load:
    """Sends from one facility to the other, each connection when its last message was answered."""

    def __init__(self, port: int, local: LocalSystem, pair: tuple[str, str]) -> None:
        self._port, self._local, self._pair = port, local, pair
        self._number = 0
        self.sent_s: dict[bytes, float] = {}

    async def _send(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._number += 1
        mailbox = MAILBOXES[self._number % len(MAILBOXES)]
        self.sent_s[b"%012d" % self._number] = time.perf_counter()
        writer.write(oru(*self._pair, self._number, mailbox))
        answer = await reader.readuntil(END)
        if b"MSA|CA" not in answer:
            raise SystemExit(f"the node answered {answer!r}")

    async def burst(self, messages: int) -> float:
        """Send so many as fast as they are taken; returns the seconds until the last has come."""
        self._forget()
        left = iter(range(messages))
        began_s = time.perf_counter()

        async def one() -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            for _ in left:
                await self._send(reader, writer)
            writer.close()

        await asyncio.gather(*(one() for _ in range(CONNECTIONS)))
        await self._all_there()
        return max(self._local.came_s.values()) - began_s

    async def steady(self, rate: int, seconds: float) -> list[float]:
        """Send at a steady rate; returns each message's milliseconds from end to end."""
        self._forget()
        links = [await asyncio.open_connection("127.0.0.1", self._port) for _ in range(CONNECTIONS)]
        began_s = time.perf_counter()
        tasks = []
        for number in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, began_s + number / rate - time.perf_counter()))
            tasks.append(asyncio.ensure_future(self._send(*links[number % len(links)])))
        await asyncio.gather(*tasks)
        await self._all_there()
        for _, writer in links:
            writer.close()
        return [(self._local.came_s[control] - sent_s) * 1000 for control, sent_s in self.sent_s.items()]

    def _forget(self) -> None:
        self.sent_s.clear()
        self._local.came_s.clear()

    async def _all_there(self) -> None:
        deadline_s = time.perf_counter() + PATIENCE_S
        while self.sent_s.keys() - self._local.came_s.keys():
            if time.perf_counter() > deadline_s:
                raise SystemExit(f"{len(self.sent_s) - len(self._local.came_s)} messages did not arrive")
            await asyncio.sleep(0.01)


async def measure(folder: Path, messages: int, warm_up: int, steady_s: float) -> dict[str, float]:
    """Run the network and the load."""
    local = LocalSystem()
    (taking,) = free_ports(1)
    server = await asyncio.start_server(local.talk, "127.0.0.1", taking)
    place, (one, other) = await asyncio.to_thread(
        make_nodes, folder, ("chu-a", "chu-b"), mailboxes=MAILBOXES, deliver={"chu-b": taking}
    )
    with ExitStack() as running:
        hub = running.enter_context(Daemon.of_hub(place))
        daemons = [hub, *(running.enter_context(Daemon.of_node(node)) for node in (one, other))]
        load = Load(one.mllp, local, (one.facility, other.facility))
        await load.burst(warm_up)
        cpu_s = [daemon.cpu_s for daemon in daemons]
        seconds = await load.burst(messages)
        used = [
            (daemon.cpu_s - before) / messages * 1e6 for daemon, before in zip(daemons, cpu_s, strict=True)
        ]
        steady = await load.steady(STEADY_RATE, steady_s)
        server.close()
    return {
        "messages_per_s": round(messages / seconds),
        "target": TARGET,
        "hub_cpu_us": round(used[0], 1),
        "sender_node_cpu_us": round(used[1], 1),
        "recipient_node_cpu_us": round(used[2], 1),
        "p50_ms_at_100": round(percentile(steady, 50), 2),
        "p99_ms_at_100": round(percentile(steady, 99), 2),
    }


def main(arguments: Sequence[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks path", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one object")
    parser.add_argument("--messages", type=int, default=MESSAGES)
    parser.add_argument("--warm-up", type=int, default=WARM_UP, help="messages that do not count")
    parser.add_argument("--steady-s", type=float, default=STEADY_S, help=f"seconds at {STEADY_RATE}/s")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="wasl-bench-") as folder:
        result = asyncio.run(measure(Path(folder), options.messages, options.warm_up, options.steady_s))
    if options.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:<24} {value:>12,}")
    return 0
