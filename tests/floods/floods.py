"""What floods do to others: messages of two honest nodes, timed from door to door, while somebody floods.

A hub with the settings it comes with (but for the disk floor), two nodes, and ``chu-setif``, whose keys are
in evil hands. A probe sends over MLLP at one node and receives over MLLP at the other, ``PER_SECOND``
messages a second whether or not the earlier ones have arrived, so that a stall is seen in full; the time of
each is that from when it was due to its arrival. The facts go to :mod:`tests.checker`.
"""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from crypto import filestream
from crypto.filestream import CHUNK_BYTES
from nodes.link.identity import load_identity
from protocols.link import frames as f
from tests.attack.evil import EvilNode
from tests.checker import History, Verdict, check
from tests.integration.daemons import PROJECT, environment
from tests.integration.hospital import FROM, TO
from tests.integration.localsystems import Receiver, Sender, acknowledge, control_id, message
from tests.integration.network import FACILITIES, Network
from tests.integration.waiting import wait_until

PER_SECOND: Final = 20
LINES: Final = 4
"""MLLP connections of the probe: one that waits for its answer does not hold up the next message."""
ARRIVAL_S: Final = 60.0
EVIL: Final = "chu-setif"
UNREAD: Final = 600
"""Messages for the node that never reads: more than its window."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Times from door to door, ms; ``hub_cpu_share`` of one core; ``told`` by who floods."""

    flood: str
    messages: int
    p50_ms: float
    p99_ms: float
    longest_ms: float
    hub_cpu_share: float
    hub_rss_mib: int
    told: str

    def __str__(self) -> str:
        """Return one line of a table."""
        return (
            f"{self.flood:12} {self.messages:5} messages  p50 {self.p50_ms:6.1f}  p99 {self.p99_ms:6.1f}  "
            f"longest {self.longest_ms:6.1f} ms  hub {self.hub_cpu_share:4.0%} of a core, "
            f"{self.hub_rss_mib} MiB  {self.told}"
        )


class Floods:
    """The network and the probe; ``root`` is empty."""

    def __init__(self, root: Path, template: Path) -> None:
        self.network = Network(root, template, FACILITIES)
        self.network.configure_hub("")
        self.history = History()
        self._arrived_s: dict[str, float] = {}
        self.receiver = Receiver(self._note)
        self._number = 0
        alger, oran, _ = self.network.nodes.values()
        alger.configure(acknowledge="stored")
        oran.configure(deliver={"cardio": self.receiver.port})
        self._honest = (alger, oran)

    def start(self) -> None:
        """Start the hub and the honest nodes."""
        for daemon in (self.network.hub, *self._honest):
            daemon.start(wait=False)
        for node in self._honest:
            node.wait_ready()
            node.wait_connected()

    def close(self) -> None:
        """End everything."""
        self.network.close()
        self.receiver.close()

    def measure(self, name: str, seconds: float) -> Measured:
        """Flood for so long and measure; AssertionError if a message does not arrive at all."""
        with FLOODS[name](self) as said:
            began_s, cpu_s = time.monotonic(), self._hub_cpu_s()
            times_ms = sorted(self._probe(seconds))
            share = (self._hub_cpu_s() - cpu_s) / (time.monotonic() - began_s)
            told = said()
        assert self.network.hub.running
        return Measured(
            name,
            len(times_ms),
            times_ms[len(times_ms) // 2],
            times_ms[len(times_ms) * 99 // 100],
            times_ms[-1],
            share,
            self.network.hub.rss_peak_kib() >> 10,
            told,
        )

    def judge(self) -> Verdict:
        """Return what became of the probe's messages."""
        history = self.history.copy()
        for payload in self.receiver.distinct():
            history.received(control_id(payload).partition("-")[0], payload)
        return check(history)

    def _note(self, payload: bytes) -> bytes | None:
        self._arrived_s.setdefault(control_id(payload), time.monotonic())
        return acknowledge("AA")(payload)

    def _probe(self, seconds: float) -> list[float]:
        """Send at an even pace over all lines; return the times of all, in ms."""
        offered_s: dict[str, float] = {}
        count = int(seconds * PER_SECOND)
        first = self._number
        self._number += count
        began_s = time.monotonic()

        def line(number: int) -> None:
            with Sender(self._honest[0].mllp_port) as system:
                for n in range(number, count, LINES):
                    time.sleep(max(0.0, began_s + n / PER_SECOND - time.monotonic()))
                    payload = message(FROM, TO, f"line{number}-{first + n}")
                    self.history.attempted(f"line{number}", payload)
                    # From when it was due, not from when the line was free again.
                    offered_s[control_id(payload)] = began_s + n / PER_SECOND
                    assert system.code(payload) == "AA"
                    self.history.acknowledged(f"line{number}", payload)

        threads = [threading.Thread(target=line, args=(number,)) for number in range(LINES)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wait_until("all have arrived", lambda: offered_s.keys() <= self._arrived_s.keys(), ARRIVAL_S)
        assert len(offered_s) == count
        return [(self._arrived_s[one] - at_s) * 1000 for one, at_s in offered_s.items()]

    def _hub_cpu_s(self) -> float:
        process = self.network.hub._process
        assert process is not None
        fields = Path(f"/proc/{process.pid}/stat").read_text("ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    # ── who floods ─────────────────────────────────────────────────────────────────────

    @contextmanager
    def strangers(self, kind: str, number: int) -> Iterator[Callable[[], str]]:
        """Let strangers knock (:mod:`tests.floods.strangers`)."""
        key = load_identity(self.network.nodes[EVIL].home).hub_key
        command = [sys.executable, "-m", "tests.floods.strangers", kind, str(self.network.hub_port)]
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        process = subprocess.Popen(
            [*command, bytes(key).hex(), str(number)],
            stdout=subprocess.PIPE,
            env=environment(),
            cwd=PROJECT,
            text=True,
        )
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert process.stdout is not None
        lines: list[str] = [process.stdout.readline()]
        reader = threading.Thread(target=lambda: lines.extend(process.stdout or ()), daemon=True)
        reader.start()
        began_s, made = time.monotonic(), int(lines[0].split()[0])

        def said() -> str:
            now, standing = map(int, lines[-1].split())
            rate = (now - made) / max(0.1, time.monotonic() - began_s)
            return f"{rate:.0f} connections a second, {standing} stand"

        try:
            yield said
        finally:
            process.kill()
            process.wait()
            reader.join()
            process.stdout.close()

    @contextmanager
    def never_reads(self) -> Iterator[Callable[[], str]]:
        """Let the evil node connect, be written to, and read nothing; it writes pings all the while."""
        alger = self._honest[0]
        letter = self.network.root / "unread.hl7"
        with EvilNode(self.network.nodes[EVIL].home, self.network.hub_port) as evil:
            evil.say(f.Resume())
            with Sender(alger.mllp_port) as system:
                for number in range(UNREAD):
                    self._number += 1
                    payload = message(FROM, f"labo@{EVIL}", f"unread-{self._number}", "x" * 4_000)
                    assert system.code(payload) == "AA", number
            stop = threading.Event()

            def ping() -> None:
                evil.socket.settimeout(0.2)
                while not stop.wait(0.001):
                    with contextlib.suppress(OSError):
                        evil.session._writer.put(f.encode_frame(f.Ping(1)))
                        evil.socket.sendall(evil.session.data_to_send(64))

            thread = threading.Thread(target=ping)
            thread.start()
            try:
                yield lambda: f"{UNREAD} messages wait for it"
            finally:
                stop.set()
                thread.join()
        letter.unlink(missing_ok=True)

    @contextmanager
    def huge_claims(self) -> Iterator[Callable[[], str]]:
        """Let the evil node offer files of 2^32 chunks and chunks far behind their end, again and again."""
        stop, count = threading.Event(), [0]

        def claim() -> None:
            while not stop.is_set():
                with contextlib.suppress(OSError, AssertionError), self._evil() as evil:
                    while not stop.is_set() and not evil.closed:
                        evil.say(*_claims())
                        count[0] += 4
                        evil.pump(0.01)
                stop.wait(0.3)

        thread = threading.Thread(target=claim)
        thread.start()
        try:
            yield lambda: f"{count[0]} claims"
        finally:
            stop.set()
            thread.join()

    def _evil(self) -> EvilNode:
        return EvilNode(self.network.nodes[EVIL].home, self.network.hub_port)


def _claims() -> list[Any]:
    identifier = os.urandom(16)
    sealed = filestream.ChunkSealer(os.urandom(32)).seal(0, True, b"x")  # noqa: FBT003 - the last chunk
    return [
        f.Offer(os.urandom(16), (1 << 32) * CHUNK_BYTES, bytes(32)),
        f.Offer(identifier, CHUNK_BYTES, bytes(32)),
        f.Chunk(identifier, (1 << 32) - 1, sealed),
        f.Offer(os.urandom(16), 1 << 46, bytes(32)),
    ]


@contextmanager
def _nobody(_floods: Floods) -> Iterator[Callable[[], str]]:
    yield lambda: ""


FLOODS: Final[dict[str, Callable[[Floods], contextlib.AbstractContextManager[Callable[[], str]]]]] = {
    "nobody": _nobody,
    "handshakes": lambda floods: floods.strangers("handshakes", 5_000),
    "loris": lambda floods: floods.strangers("loris", 2_000),
    "never-reads": Floods.never_reads,
    "huge-claims": Floods.huge_claims,
}
