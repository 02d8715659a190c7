"""``python -m benchmarks files``: one large file from node to node, beside scp, sftp and magic-wormhole.

Ours is sealed end to end: sealed and synced in the sender's home, stored and synced at the hub, opened,
checked and synced in the recipient's home, and its receipt is back at the sender before the clock stops. scp
does not sync what it wrote, sftp does (``put -f``), magic-wormhole does not; it goes through its relay here.
Servers of the others run on free loopback ports with throw-away keys. What is not installed is skipped:

    apt-get install openssh-server
    pip install magic-wormhole magic-wormhole-mailbox-server magic-wormhole-transit-relay
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from benchmarks.compare import interleaved, ratio
from benchmarks.place import Daemon, NodePlace, free_ports, make_nodes
from benchmarks.processes import Command, MemoryWatch, Server, Skipped, need

SIZE_MIB = 1_024
ROUNDS = 3
MIB = 1_024 * 1_024
OURS = "wasl"
TARGET_MB_PER_S = 121
"""magic-wormhole through its relay on the machine that the targets were set on."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One transfer."""

    mb_per_s: float
    cpu_s: float
    peak_mib: float


Transfer = Callable[[Path], Figure]
"""Brings a file to the other side, checks that it came, and removes it there."""


def make_file(path: Path, size_bytes: int) -> Path:
    """Write ``size_bytes`` that no compression makes smaller."""
    block = secrets.token_bytes(MIB)
    with path.open("wb") as file:
        for start in range(0, size_bytes, MIB):
            file.write((start.to_bytes(8, "big") + block)[: min(MIB, size_bytes - start)])
        file.flush()
        os.fsync(file.fileno())
    return path


def _figure(size_bytes: int, seconds: float, cpu_s: float, peak_kib: int) -> Figure:
    return Figure(round(size_bytes / seconds / 1e6, 1), round(cpu_s, 2), round(peak_kib / 1_024, 1))


# ── ours ───────────────────────────────────────────────────────────────────────────────────


@contextmanager
def wasl(folder: Path) -> Iterator[Transfer]:
    """Run two nodes and a hub."""
    place, (one, other) = make_nodes(folder, ("chu-a", "chu-b"))
    with ExitStack() as running:
        daemons = [running.enter_context(Daemon.of_hub(place))]
        daemons += [running.enter_context(Daemon.of_node(node)) for node in (one, other)]
        yield partial(_send, daemons, one, other)


def _send(daemons: Sequence[Daemon], one: NodePlace, other: NodePlace, file: Path) -> Figure:
    size_bytes = file.stat().st_size
    before_s = sum(daemon.cpu_s for daemon in daemons)
    with MemoryWatch([daemon.pid for daemon in daemons]) as memory:
        address = f"box@{other.facility}"
        command = Command(
            [sys.executable, "-m", "nodes", "send", "--home", one.home, "--to", address, "--file", file,
             "--wait", "delivered"],
        )  # fmt: skip
        memory.also(command.pid)
        done = command.wait()
    cpu_s = done.cpu_s + sum(daemon.cpu_s for daemon in daemons) - before_s
    incoming = [path for path in (other.home / "incoming").iterdir() if path.stat().st_size == size_bytes]
    if len(incoming) != 1:
        raise SystemExit(f"{len(incoming)} files of {size_bytes} bytes have come, not 1")
    incoming[0].unlink()  # the message stays; its file would fill the disk, round after round
    for path in (one.home / "outgoing").iterdir():
        path.unlink()
    return _figure(size_bytes, done.seconds, cpu_s, memory.peak_kib)


# ── OpenSSH ────────────────────────────────────────────────────────────────────────────────

_SSHD = """
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host
AuthorizedKeysFile {folder}/user.pub
PidFile none
UsePAM no
StrictModes no
PermitRootLogin prohibit-password
Subsystem sftp internal-sftp
"""
_SSH = """
Host there
HostName 127.0.0.1
Port {port}
IdentityFile {folder}/user
IdentitiesOnly yes
UserKnownHostsFile {folder}/known
StrictHostKeyChecking accept-new
"""


@contextmanager
def openssh(folder: Path) -> Iterator[dict[str, Transfer]]:
    """Run a sshd of our own; yields scp and sftp."""
    sshd = need("sshd", "apt-get install openssh-server")
    need("scp", "apt-get install openssh-client")
    folder.mkdir()
    for name in ("host", "user"):
        quiet = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(quiet, check=True)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd's privilege separation wants it
    (port,) = free_ports(1)
    (folder / "sshd_config").write_text(_SSHD.format(port=port, folder=folder))
    (folder / "ssh_config").write_text(_SSH.format(port=port, folder=folder))
    there = folder / "came"
    with Server.running([sshd, "-D", "-e", "-f", folder / "sshd_config"], port) as server:

        def scp(file: Path) -> Figure:
            arguments: list[str | Path] = ["scp", "-q", "-F", folder / "ssh_config", file, f"there:{there}"]
            return _by_ssh(server, arguments, file, there)

        def sftp(file: Path) -> Figure:
            batch = folder / "batch"
            batch.write_text(f"put -f {file} {there}\n")
            arguments: list[str | Path] = ["sftp", "-q", "-F", folder / "ssh_config", "-b", batch, "there"]
            return _by_ssh(server, arguments, file, there)

        yield {"scp": scp, "sftp": sftp}


def _by_ssh(server: Server, arguments: Sequence[str | Path], file: Path, there: Path) -> Figure:
    before_s = server.cpu_s
    with MemoryWatch([server.pid]) as memory:
        command = Command(arguments)
        memory.also(command.pid)
        done = command.wait()
    return _came(file, there, done.seconds, done.cpu_s + server.cpu_s - before_s, memory.peak_kib)


def _came(file: Path, there: Path, seconds: float, cpu_s: float, peak_kib: int) -> Figure:
    size_bytes = file.stat().st_size
    if there.stat().st_size != size_bytes:
        raise SystemExit(f"{there.stat().st_size} bytes have come, not {size_bytes}")
    there.unlink()
    return _figure(size_bytes, seconds, cpu_s, peak_kib)


# ── magic-wormhole ─────────────────────────────────────────────────────────────────────────

_INSTALL_WORMHOLE = (
    "pip install magic-wormhole magic-wormhole-mailbox-server magic-wormhole-transit-relay, "
    "in this environment or one whose bin is on PATH"
)


@contextmanager
def wormhole(folder: Path) -> Iterator[Transfer]:
    """Run its mailbox server and its relay; neither end listens, so that the relay carries everything."""
    program = Path(_beside_python("wormhole"))
    twist = program.with_name("twist")
    known = subprocess.run([twist, "--help"], capture_output=True, text=True, check=False).stdout
    if "transitrelay" not in known or "wormhole-mailbox" not in known:
        raise Skipped(f"magic-wormhole's servers are not installed: {_INSTALL_WORMHOLE}")
    folder.mkdir()
    mailbox_port, relay_port = free_ports(2)
    local = "tcp:{}:interface=127.0.0.1"
    with ExitStack() as running:
        mailbox: list[str | Path] = [twist, "wormhole-mailbox", "--port", local.format(mailbox_port)]
        relay: list[str | Path] = [twist, "transitrelay", "--port", local.format(relay_port)]
        servers = [
            running.enter_context(Server.running(mailbox, mailbox_port, folder=folder)),
            running.enter_context(Server.running(relay, relay_port, folder=folder)),
        ]
        common: list[str | Path] = [
            program, "--relay-url", f"ws://127.0.0.1:{mailbox_port}/v1",
            "--transit-helper", f"tcp:127.0.0.1:{relay_port}",
        ]  # fmt: skip
        yield partial(_through_wormhole, servers, common, folder / "came")


def _beside_python(program: str) -> str:
    beside = Path(sys.executable).with_name(program)
    return str(beside) if beside.exists() else need(program, _INSTALL_WORMHOLE)


def _through_wormhole(
    servers: Sequence[Server], common: Sequence[str | Path], there: Path, file: Path
) -> Figure:
    code = f"{secrets.randbelow(9_000) + 1_000}-{secrets.token_hex(4)}-{secrets.token_hex(4)}"
    before_s = sum(server.cpu_s for server in servers)
    quiet = ["--hide-progress", "--no-listen"]
    with MemoryWatch([server.pid for server in servers]) as memory:
        sender = Command([*common, "send", *quiet, "--code", code, file])
        receiver = Command([*common, "receive", *quiet, "--accept-file", "-o", there, code])
        memory.also(sender.pid)
        memory.also(receiver.pid)
        ends = [receiver.wait(), sender.wait()]
    cpu_s = sum(end.cpu_s for end in ends) + sum(server.cpu_s for server in servers) - before_s
    return _came(file, there, max(end.seconds for end in ends), cpu_s, memory.peak_kib)


# ── the comparison ─────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Row:
    """One way to bring a file, over all rounds; ``ours_to_theirs`` compares the rates."""

    way: str
    mb_per_s: float
    cpu_s: float
    peak_mib: float
    ours_to_theirs: str


def rows_of(figures: dict[str, list[Figure]]) -> list[Row]:
    """Return the medians of each way and how ours compares, round by round."""
    ours = [figure.mb_per_s for figure in figures[OURS]]
    rows = []
    for way, each in figures.items():
        rates = [figure.mb_per_s for figure in each]
        rows.append(
            Row(
                way,
                round(statistics.median(rates), 1),
                round(statistics.median(figure.cpu_s for figure in each), 2),
                round(max(figure.peak_mib for figure in each), 1),
                "" if way == OURS else str(ratio(ours, rates)),
            )
        )
    return rows


def measure(folder: Path, size_bytes: int, rounds: int) -> tuple[list[Row], list[str]]:
    """Run every way that is installed; returns the rows and what was skipped."""
    file = make_file(folder / "scan.bin", size_bytes)
    skipped: list[str] = []
    with ExitStack() as running:
        ways = {OURS: running.enter_context(wasl(folder / "wasl"))}
        try:
            ways |= running.enter_context(openssh(folder / "ssh"))
        except Skipped as reason:
            skipped.append(f"scp, sftp: {reason}")
        try:
            ways["wormhole-relay"] = running.enter_context(wormhole(folder / "wormhole"))
        except Skipped as reason:
            skipped.append(f"magic-wormhole: {reason}")
        figures = interleaved({name: partial(way, file) for name, way in ways.items()}, rounds)
    return rows_of(figures), skipped


def main(arguments: Sequence[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks files", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--json", action="store_true", help="print one object")
    parser.add_argument("--size-mib", type=int, default=SIZE_MIB)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--folder", type=Path, help="where to work: a disk with ten times the size free")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="wasl-bench-", dir=options.folder) as folder:
        needed = 10 * options.size_mib * MIB
        if shutil.disk_usage(folder).free < needed:
            raise SystemExit(f"{folder}: {needed // MIB} MiB must be free; name another --folder")
        rows, skipped = measure(Path(folder), options.size_mib * MIB, options.rounds)
    if options.json:
        print(
            json.dumps(
                {"size_mib": options.size_mib, "rows": [asdict(row) for row in rows], "skipped": skipped}
            )
        )
        return 0
    print(f"{'':<16}{'MB/s':>10}{'CPU s':>10}{'peak MiB':>12}   ours to theirs")
    for row in rows:
        print(f"{row.way:<16}{row.mb_per_s:>10}{row.cpu_s:>10}{row.peak_mib:>12}   {row.ours_to_theirs}")
    print(f"target: {TARGET_MB_PER_S} MB/s")
    for text in skipped:
        print(f"skipped {text}")
    return 0
