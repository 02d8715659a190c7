"""``python -m benchmarks mllp``: one node's MLLP gateway alone: sealed and committed before each AA.

The hub is away, so that nothing but taking is measured. Each connection sends its next message when the
answer to the last has come, as hospital systems do.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.place import HUB_CORE, LOAD_CORE, Daemon, make_nodes, percentile

CONNECTIONS = (1, 8, 64)
TARGETS = {1: 1_800, 8: 7_000, 64: 14_000}
SECONDS = 5.0
WARM_UP_S = 1.0
_START, END = b"\x0b", b"\x1c\r"
_SEGMENTS = (
    "PID|1||{number:08}^^^CHU||SPECIMEN^AMINA||19800101|F\r"
    "OBR|1|A{number}||58410-2^NFS^LN\r"
    + "".join(f"OBX|{n}|NM|718-7^Hemoglobine^LN||12.{n}|g/dL|12-16|N|||F\r" for n in range(1, 15))
)


def oru(sender: str, recipient: str, number: int, mailbox: str = "box") -> bytes:
    """Return one ORU^R01 of about 1 KiB, framed."""
    header = (
        f"MSH|^~\\&|{mailbox}|{sender}|{mailbox}|{recipient}|20260101120000||ORU^R01^ORU_R01|{number:012}|P|2.5.1"
        "|||AL|NE||UNICODE UTF-8\r"
    )
    return _START + (header + _SEGMENTS.format(number=number)).encode() + END


class Count:
    """Numbers messages over all connections, and keeps the times of their answers."""

    def __init__(self) -> None:
        self.number = 0
        self.times_s: list[float] = []


async def _talk(port: int, count: Count, until_s: float, pair: tuple[str, str]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while time.perf_counter() < until_s:
        count.number += 1
        message = oru(*pair, count.number)
        began_s = time.perf_counter()
        writer.write(message)
        answer = await reader.readuntil(END)
        count.times_s.append(time.perf_counter() - began_s)
        if b"MSA|CA" not in answer and b"MSA|AA" not in answer:
            raise SystemExit(f"the node answered {answer!r}")
    writer.close()


async def measure(
    port: int, connections: int, count: Count, pair: tuple[str, str], seconds: float = SECONDS
) -> tuple[float, list[float]]:
    """Return messages a second and the times of the answers."""
    for lasting_s in (WARM_UP_S, seconds):
        count.times_s.clear()
        began_s = time.perf_counter()
        until_s = began_s + lasting_s
        await asyncio.gather(*(_talk(port, count, until_s, pair) for _ in range(connections)))
        took_s = time.perf_counter() - began_s
    return len(count.times_s) / took_s, count.times_s


def main(arguments: Sequence[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks mllp", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one object")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each number of connections")
    parser.add_argument("--wait", action="store_true", help="print the node's process id, for a profiler")
    options = parser.parse_args(arguments)
    os.sched_setaffinity(0, {LOAD_CORE})
    rows = []
    with tempfile.TemporaryDirectory(prefix="wasl-bench-") as folder:
        home = Path(folder)
        hub, (node, other) = make_nodes(home, ("chu-a", "chu-b"))
        del hub
        count = Count()
        with Daemon.of_node(node, core=HUB_CORE) as daemon:
            if options.wait:
                print(f"node process {daemon.pid}", file=sys.stderr)
            for connections in CONNECTIONS:
                before = daemon.cpu_s, count.number
                pair = node.facility, other.facility
                rate, times_s = asyncio.run(measure(node.mllp, connections, count, pair, options.seconds))
                cpu_s, number = daemon.cpu_s - before[0], count.number - before[1]
                rows.append(
                    {
                        "connections": connections,
                        "messages_per_s": round(rate),
                        "target": TARGETS[connections],
                        "cpu_us_per_message": round(cpu_s / number * 1e6, 1),
                        "p50_ms": round(percentile(times_s, 50) * 1000, 2),
                        "p99_ms": round(percentile(times_s, 99) * 1000, 2),
                    }
                )
    if options.json:
        print(json.dumps(rows))
        return 0
    print("".join(f"{name:>20}" for name in rows[0]))
    for row in rows:
        print("".join(f"{value:>20,}" for value in row.values()))
    return 0
