"""One large file from node to node, the hub killed on the way, everything measured from outside.

A proxy between the sender's node and the hub counts the bytes that cross it, so what was sent twice is known
without asking the project; VmHWM tells each process's peak memory; the file is random and compared by hash.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from config.fields import parse_size
from crypto.filestream import SEALED_CHUNK_BYTES, sealed_size
from protocols.link.limits import CHUNK_WINDOW
from tests.integration.network import Network, Node
from tests.integration.proxy import Proxy
from tests.integration.template import FACILITIES, make_template
from tests.integration.waiting import wait_until

PEAK_KIB = 200 * 1024
"""Of every process, at any size."""
WINDOW_BYTES = CHUNK_WINDOW * SEALED_CHUNK_BYTES
OVERHEAD = 0.01
"""Of the link: records, frames, tags; with room for pings, hellos and repeated offers."""
_PIECE_BYTES = 1 << 20
_TO = "labo@chu-oran"


@dataclass
class Outcome:
    """What one transfer came to; ``faults`` empty means that every promise was kept."""

    size_bytes: int
    kills: int = 0
    seconds: float = 0.0
    sealing_s: float = 0.0
    resent_up_bytes: int = 0
    resent_down_bytes: int = 0
    peak_kib: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """Return it for people."""
        peaks = ", ".join(f"{name} {kib / 1024:.0f}" for name, kib in self.peak_kib.items())
        return (
            f"{self.size_bytes / 2**20:.1f} MiB, hub killed {self.kills} times: sealed in "
            f"{self.sealing_s:.1f} s, then {self.seconds:.1f} s "
            f"({self.size_bytes / 1e6 / self.seconds:.1f} MB/s); sent again "
            f"{self.resent_up_bytes / 2**20:.2f} MiB up, {self.resent_down_bytes / 2**20:.2f} MiB down "
            f"(window {WINDOW_BYTES / 2**20:.2f}); peak MiB: {peaks}; {len(self.faults)} faults"
        )


class Transfer:
    """A hub between two nodes that reach it through proxies; ``root`` is empty."""

    def __init__(self, root: Path, template: Path) -> None:
        self.root = root
        self.network = Network(root, template, FACILITIES[:2])
        self.sender, self.recipient = self.network.nodes.values()
        self._up = Proxy(self.network.hub_port)
        self._down = Proxy(self.network.hub_port)
        self.sender.configure(hub_port=self._up.port)
        self.recipient.configure(hub_port=self._down.port)

    def close(self) -> None:
        """End everything."""
        self.network.close()
        self._up.close()
        self._down.close()

    def run(self, size_bytes: int, kill_at: tuple[float, ...], timeout_s: float) -> Outcome:
        """Send a file; the hub dies when these parts of it (0 to 1 up, 1 to 2 down) have crossed."""
        outcome = Outcome(size_bytes)
        path, digest = random_file(self.root / "large.bin", size_bytes)
        self.network.start()
        idle_up, idle_down = self._up.up_bytes, self._down.down_bytes
        began_s = time.monotonic()
        ran = self.sender.run("send", "--to", _TO, "--file", path, "--json", timeout_s=timeout_s)
        assert ran.code == 0, ran
        identifier = ran.json()["id"]
        outcome.sealing_s = time.monotonic() - began_s
        began_s = time.monotonic()
        for part in kill_at:
            self._wait_for_part(part, size_bytes, (idle_up, idle_down), timeout_s)
            self.network.hub.kill()
            outcome.kills += 1
            self.network.hub.start()
        self.sender.wait_state(identifier, "delivered", timeout_s)
        outcome.seconds = time.monotonic() - began_s
        sealed = sealed_size(size_bytes)
        outcome.resent_up_bytes = self._up.up_bytes - idle_up - sealed
        outcome.resent_down_bytes = self._down.down_bytes - idle_down - sealed
        outcome.faults += self._faults(outcome, identifier, digest)
        return outcome

    def _wait_for_part(self, part: float, size_bytes: int, idle: tuple[int, int], timeout_s: float) -> None:
        count: Callable[[], int]
        if part < 1:
            count, wanted = (lambda: self._up.up_bytes - idle[0]), part * size_bytes
        else:
            count, wanted = (lambda: self._down.down_bytes - idle[1]), (part - 1) * size_bytes
        wait_until(f"{part:.0%} have crossed", lambda: count() >= wanted, timeout_s, 0.01)

    def _faults(self, outcome: Outcome, identifier: str, digest: bytes) -> list[str]:
        faults = []
        for daemon in self.network.daemons():
            peak = max(daemon.peak_rss_kib, daemon.rss_peak_kib())
            outcome.peak_kib[daemon.home.name] = peak
            if peak > PEAK_KIB:
                faults.append(f"{daemon.home.name} had {peak / 1024:.0f} MiB resident")
        if arrived_digests(self.recipient, identifier) != [digest]:
            faults.append("the file arrived otherwise than it was sent, or not once")
        allowed = sealed_size(outcome.size_bytes) * OVERHEAD + outcome.kills * WINDOW_BYTES + _PIECE_BYTES
        for way, resent in (("up", outcome.resent_up_bytes), ("down", outcome.resent_down_bytes)):
            if resent > allowed:
                faults.append(f"{resent} bytes more than the file crossed {way}, allowed are {allowed:.0f}")
        return faults


def random_file(path: Path, size_bytes: int) -> tuple[Path, bytes]:
    """Write ``size_bytes`` of random; returns the path and the SHA-256."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for at in range(0, size_bytes, _PIECE_BYTES):
            piece = os.urandom(min(_PIECE_BYTES, size_bytes - at))
            digest.update(piece)
            file.write(piece)
    return path, digest.digest()


def arrived_digests(node: Node, identifier: str) -> list[bytes]:
    """Return the SHA-256 of every file of a message that arrived, in order."""
    rows = node.rows(
        "SELECT f.path FROM inbox i JOIN inbox_files f ON f.inbox_seq = i.seq WHERE i.id = ?"
        " ORDER BY i.seq, f.position",
        bytes.fromhex(identifier.replace("-", "")),
    )
    digests = []
    for (path,) in rows:
        with (node.home / path).open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").digest())
    return digests


def main(arguments: list[str]) -> int:
    """Run a transfer by command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture files")
    parser.add_argument("--size", type=parse_size, default=parse_size("2GiB"))
    options = parser.parse_args(arguments)
    root = Path(tempfile.mkdtemp(prefix="wasl-files-"))
    print(f"homes and logs in {root}", flush=True)
    (root / "template").mkdir()
    (root / "network").mkdir()
    transfer = Transfer(root / "network", make_template(root / "template"))
    try:
        outcome = transfer.run(options.size, (0.25, 0.7, 1.5), timeout_s=1_800)
    finally:
        transfer.close()
    print(outcome)
    print("\n".join(outcome.faults))
    return 1 if outcome.faults else 0
