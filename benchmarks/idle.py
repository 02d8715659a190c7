"""``python -m benchmarks idle``: what nodes cost a hub that only stay connected, and how fast all come back.

All nodes of the directory hold a session and say nothing but what the link's own timers ask. Measured are the
hub's memory with and without them, its CPU at rest, and the time from SIGKILL until every node has a session
with the hub that is started again at once. The nodes wait between attempts as real ones do (``Uplink``'s
back-off), and each asks for the address book from the version that it has, as real ones do.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.light import LightNode, node_session
from benchmarks.place import HUB_CORE, LOAD_CORE, Daemon, Member, Place, make_hub, open_many_files, say
from nodes.link.uplink import FIRST_RETRY_S, RETRY_CAP_S
from protocols.link import frames as f
from protocols.link.session import Broken, Opened, PeerLeft
from runtime.backoff import Backoff

NODES = 10_000
REST_S = 60.0
SETTLE_S = 8.0
PATIENCE_S = 300.0
TARGET_MIB = 160
NODES_AN_ADDRESS = 5_000
"""Each has a port of its own on a loopback address; one address has about 28,000 of them."""


class _Call(LightNode):
    """One connection of an idle node."""

    def __init__(self, node: IdleNode) -> None:
        super().__init__(node.session)
        self._node = node

    def connection_made(self, transport: Any) -> None:
        """Call."""
        super().connection_made(transport)
        transport.write(self._node.first_packet)

    def data_received(self, data: bytes) -> None:
        """Act on what the hub says."""
        self._node.answered = True
        for event in self.session.receive(data):
            if isinstance(event, Opened):
                assert event.welcome is not None
                self.say(f.DirectoryWanted(event.welcome.directory_version))
                self._node.opened()
            elif isinstance(event, PeerLeft):
                self._node.told_to_wait_s = float(event.end.retry_after_s)
                self.hang_up()
            elif isinstance(event, Broken):
                self.hang_up()
        self.flush_soon()

    def connection_lost(self, _reason: object) -> None:
        """Come back later."""
        self._node.lost()


class IdleNode:
    """A facility's node that stays connected: one call after another."""

    def __init__(self, crowd: Crowd, member: Member, address: str) -> None:
        self._crowd = crowd
        self._member = member
        self._address = address
        self._backoff = Backoff(base_s=FIRST_RETRY_S, cap_s=RETRY_CAP_S, random=crowd.random)
        self._connected = False
        self.told_to_wait_s = 0.0
        self.answered = False
        self._prepare()

    def _prepare(self) -> None:
        self.session = node_session(self._crowd.place, self._member)
        self.first_packet = self.session.data_to_send()

    def opened(self) -> None:
        """Count: there is a session."""
        self._connected = True
        self._backoff.reset()
        self._crowd.opened()

    def lost(self) -> None:
        """Call again after a random wait."""
        if self._connected:
            self._connected = False
            self._crowd.open -= 1
        if self.answered:
            # Of a call that the hub did not answer the session is as it was: to make it anew is a real node's
            # work, and ten thousand of them do not share one processor.
            self.answered = False
            self._prepare()
        wait_s = self._backoff.next_s() + self.told_to_wait_s * self._crowd.random.uniform(0.5, 1.0)
        self.told_to_wait_s = 0.0
        if not self._crowd.over:
            asyncio.get_running_loop().call_later(wait_s, self.call)

    def call(self) -> None:
        """Call the hub now."""
        self._crowd.attempts += 1
        self._crowd.keep(asyncio.ensure_future(self._call()))

    async def _call(self) -> None:
        place = self._crowd.place
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: _Call(self),
                "127.0.0.1",
                place.port,
                local_addr=(self._address, 0),
            )
        except OSError:
            self.lost()


class Crowd:
    """All idle nodes."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.random = random.Random(1)
        self.open = 0
        self.attempts = 0
        self.over = False
        self.opened_s: list[float] = []
        self._all_open: asyncio.Future[None] | None = None
        self._tasks: set[asyncio.Future[None]] = set()
        self.nodes = [
            IdleNode(self, member, f"127.0.0.{2 + n // NODES_AN_ADDRESS}")
            for n, member in enumerate(place.members)
        ]

    def keep(self, task: asyncio.Future[None]) -> None:
        """Hold a task as long as it runs."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def opened(self) -> None:
        """Note one more session."""
        self.open += 1
        self.opened_s.append(time.perf_counter())
        if self.open == len(self.nodes) and self._all_open is not None and not self._all_open.done():
            self._all_open.set_result(None)

    async def everybody(self) -> None:
        """Wait until every node has a session."""
        if self.open < len(self.nodes):
            self._all_open = asyncio.get_running_loop().create_future()
            await asyncio.wait_for(self._all_open, PATIENCE_S)

    def forget(self) -> None:
        """Begin to count anew."""
        self.attempts = 0
        self.opened_s.clear()


def busiest_second(moments_s: Sequence[float]) -> int:
    """Return how many of these moments fell into the fullest whole second."""
    return max(Counter(int(moment_s) for moment_s in moments_s).values(), default=0)


def _turned_away(place: Place) -> int:
    """Return how many callers the hub's door has closed upon, as its own metrics say."""
    with urllib.request.urlopen(f"http://127.0.0.1:{place.http}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    found = [line for line in lines if "handshakes" in line and 'result="limited"' in line]
    return int(float(found[0].rpartition(" ")[2])) if found else 0


def _run_hub(place: Place) -> Daemon:
    return Daemon(["-m", "hub", "run", "--home", str(place.home)], place.http, core=HUB_CORE)


async def measure(place: Place, rest_s: float) -> dict[str, Any]:
    """Let all nodes come, rest, kill the hub, start it again, and let all nodes come back."""
    hub = _run_hub(place)
    crowd = Crowd(place)
    try:
        await asyncio.sleep(SETTLE_S)
        alone_kib = hub.resident_kib
        cpu_s = hub.cpu_s
        began_s = time.perf_counter()
        for node in crowd.nodes:
            node.call()
        await crowd.everybody()
        came_s, came_cpu_s = time.perf_counter() - began_s, hub.cpu_s - cpu_s
        await asyncio.sleep(SETTLE_S)
        full_kib = hub.resident_kib
        cpu_s = hub.cpu_s
        await asyncio.sleep(rest_s)
        cpu_s = hub.cpu_s - cpu_s
        crowd.forget()
        killed_s = time.perf_counter()
        hub.kill()
        hub = await asyncio.to_thread(_run_hub, place)
        started_s = time.perf_counter()
        await crowd.everybody()
        back_s = time.perf_counter()
        nodes = len(crowd.nodes)
        return {
            "nodes": nodes,
            "hub_mib": round(full_kib / 1024, 1),
            "target_mib": TARGET_MIB,
            "hub_alone_mib": round(alone_kib / 1024, 1),
            "kib_per_node": round((full_kib - alone_kib) / nodes, 2),
            "rest_cpu_s_per_minute": round(cpu_s / rest_s * 60, 2),
            "first_arrival_s": round(came_s, 1),
            "arrival_cpu_us": round(came_cpu_s / nodes * 1e6),
            "hub_start_s": round(started_s - killed_s, 1),
            "all_back_s": round(back_s - killed_s, 1),
            "handshakes_per_s": round(nodes / (back_s - crowd.opened_s[0])),
            "handshakes_per_s_busiest": busiest_second(crowd.opened_s),
            "attempts_per_node": round(crowd.attempts / nodes, 1),
            "turned_away": _turned_away(place),
        }
    finally:
        crowd.over = True
        hub.kill()


def main(arguments: Sequence[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks idle", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one object")
    parser.add_argument("--nodes", type=int, default=NODES)
    parser.add_argument(
        "--rest-s", type=float, default=REST_S, help="seconds of rest over which CPU is counted"
    )
    options = parser.parse_args(arguments)
    os.sched_setaffinity(0, {LOAD_CORE})
    open_many_files(options.nodes)
    with tempfile.TemporaryDirectory(prefix="wasl-bench-") as folder:
        place = make_hub(Path(folder) / "hub", [f"n{number:05}" for number in range(options.nodes)])
        result = asyncio.run(measure(place, options.rest_s))
    if options.json:
        print(json.dumps(result))
    else:
        say(result)
    return 0
